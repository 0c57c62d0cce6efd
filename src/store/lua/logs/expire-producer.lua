#!lua flags=allow-oom
--- @include "lib/log-producer"
--[[ Deletes what a log knows of a producer that has not used it for a given time. Runs at the memory limit, as it frees memory.

     KEYS    1 partition
     ARGV    1 producer id  2 time without use, ms
     Returns { 'OK', last use here in ms, or 0 = this log does not know the producer (any more) }
     Errors  none ]]
local id, unused_ms = ARGV[1], tonumber(ARGV[2])

local state = producer.find(id)
if not state then return { 'OK', 0 } end
if now_ms - state.used < unused_ms then return { 'OK', state.used } end
redis.call('HDEL', log.producers, id)
return { 'OK', 0 }

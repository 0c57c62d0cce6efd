#!lua flags=allow-oom
--- @include "lib/log-producer"
--[[ Forgets a producer that was idle here for long enough. Let through at the memory limit, as it only makes room.
     KEYS    1 partition
     ARGV    1 producer id  2 how long it may be idle, ms
     Returns { 'OK', when it was last used here, ms; 0 = this log does not know it (any more) }
     Errors  none ]]
local state = producer.find(ARGV[1])
if not state then return { 'OK', 0 } end
if now_ms - state.used < tonumber(ARGV[2]) then return { 'OK', state.used } end
redis.call('HDEL', log.producers, ARGV[1])
return { 'OK', 0 }

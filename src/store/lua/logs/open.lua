#!lua
--- @include "lib/log-keys"
--- @include "lib/clock"
--[[ Creates an empty log for one partition; an existing one stays as it is. A log that the store has lost is created again,
     with two exceptions. One that was removed a moment ago is refused: the caller saw its topic in the tree, and the topic
     may have been deleted since. One that has batches but no bounds is refused, too: a loss of the latest writes cannot
     leave that, so an operator has to look at it.

     KEYS    1 partition
     ARGV    1 'new' or 'lost'
     Returns { 'OK', 'opened' | 'there' | 'refused' }
     Errors  none ]]
local reason = ARGV[1]

if redis.call('EXISTS', log.partition) == 1 then return { 'OK', 'there' } end
if reason == 'lost' and redis.call('EXISTS', log.removed, log.batches, log.compacted) > 0 then return { 'OK', 'refused' } end
redis.call('HSET', log.partition, 'start', 0, 'next', 0, 'total', 0, 'trimmed', 0, 'created_at', now_ms)
return { 'OK', 'opened' }

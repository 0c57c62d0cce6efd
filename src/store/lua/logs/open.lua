#!lua
--- @include "lib/log-keys"
--- @include "lib/clock"
--[[ Makes an empty log for one partition; one that is there already stays as it is. A log that the store has lost is opened
     anew, but not one that was removed a moment ago: who opens it saw its topic in the tree, and it may have been deleted since;
     nor one that has batches without bounds, which no loss in the order of writes leaves, so that is for people to look at.
     KEYS    1 partition
     ARGV    1 'new', or 'lost'
     Returns { 'OK', 'opened', 'there' or 'refused' }
     Errors  none ]]
if redis.call('EXISTS', log.partition) == 1 then return { 'OK', 'there' } end
if ARGV[1] == 'lost' and redis.call('EXISTS', log.removed, log.batches, log.compacted) > 0 then return { 'OK', 'refused' } end
redis.call('HSET', log.partition, 'start', 0, 'next', 0, 'total', 0, 'trimmed', 0, 'created_at', now_ms)
return { 'OK', 'opened' }

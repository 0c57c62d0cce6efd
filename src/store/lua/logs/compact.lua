#!lua flags=allow-oom
--- @include "lib/log"
--[[ One step of compaction (docs/adr/005): puts new batches in the place of old ones, if nothing has changed since these were
     read, and no other run of Redis has taken over, which may have lost some of what was read. Let through at the memory limit, as it makes room in the end.
     KEYS    1 partition
     ARGV    1 leader epoch of the caller  2 the run of the broker that it is
             3 the run of Redis that the batches were read from  4 generation that they were read at
             5 offset up to which the log is compacted now; those of the stream below it are let go of
             6 when the oldest tombstones were first compacted, ms, 0 = there are none, or '' = not known yet
             7 bytes of the compacted batches that go  8 their number  9… the offset of the last record of each
             …  the new batches, two words each: offset of the last record; member of the sorted set (keys.ts: compacted)
     Returns { 'OK', generation, or -1 if the log has changed meanwhile and nothing was done }
     Errors  UNKNOWN_TOPIC, STALE_LEADER_EPOCH (field leaderEpoch) ]]
local bounds = log.bounds()
if not bounds then return log.unknown() end
local problem = log.fence_leader(tonumber(ARGV[1]), ARGV[2])
if problem then return problem end
if log.redis_run() ~= ARGV[3] or bounds.generation ~= tonumber(ARGV[4]) then return { 'OK', -1 } end

local FIRST = 9
local count = tonumber(ARGV[8])
for i = FIRST, FIRST + count - 1 do redis.call('ZREMRANGEBYSCORE', log.compacted, ARGV[i], ARGV[i]) end
bounds.compacted = bounds.compacted - tonumber(ARGV[7])
local cleaned = tonumber(ARGV[5])
if cleaned > bounds.cleaned then
  redis.call('XTRIM', log.batches, 'MINID', whole(cleaned + 1))
  local first = redis.call('XRANGE', log.batches, '-', '+', 'COUNT', 1)[1]
  bounds.trimmed = first and log.batch(first).before or bounds.total
  bounds.cleaned = cleaned
end
for i = FIRST + count, #ARGV, 2 do
  redis.call('ZADD', log.compacted, ARGV[i], ARGV[i + 1])
  bounds.compacted = bounds.compacted + #ARGV[i + 1] - string.find(ARGV[i + 1], '\n', 1, true)
end
bounds.generation = bounds.generation + 1
redis.call('HSET', log.partition, 'cleaned', whole(bounds.cleaned), 'compacted', whole(bounds.compacted),
  'trimmed', whole(bounds.trimmed), 'generation', whole(bounds.generation))
-- Behind the last record that is left there is nothing to be read, though the log ends later.
if bounds.cleaned >= bounds.next then
  local last = redis.call('ZRANGE', log.compacted, -1, -1, 'WITHSCORES')[2]
  redis.call('HSET', log.partition, 'records_end', last and whole(tonumber(last) + 1) or 0)
end
if ARGV[6] ~= '' then redis.call('HSET', log.partition, 'tombstones_since', ARGV[6]) end
return { 'OK', bounds.generation }

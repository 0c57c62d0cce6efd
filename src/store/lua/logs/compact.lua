#!lua flags=allow-oom
--- @include "lib/log"
--[[ One step of compaction (docs/adr/005): replaces old batches by new ones, if nothing has changed since the old ones were
     read, and Redis is still the same run: another run may have lost some of what was read. Runs at the memory limit, as it
     frees memory in the end.

     KEYS    1 partition
     ARGV    1 leader epoch of the caller  2 run of the caller's broker
             3 run of Redis that the batches were read from  4 generation that they were read at
             5 offset up to which the log is compacted now; batches of the stream below it are deleted
             6 when the oldest tombstones were first compacted, ms; 0 = there are none, '' = not known yet
             7 bytes of the compacted batches to replace  8 their number  9… offset of the last record of each
             …  the new batches, 2 values each: offset of the last record; member of the sorted set (keys.ts: compacted)
     Returns { 'OK', generation, or -1 if the log has changed and nothing was done }
     Errors  UNKNOWN_TOPIC, STALE_LEADER_EPOCH (field leaderEpoch)
     Emits   one message of log.announce_removal(), if anything was done ]]
local leader_epoch, leader_run, redis_run, generation = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
local cleaned, tombstones_since_ms = tonumber(ARGV[5]), ARGV[6]
local old_bytes, old_count = tonumber(ARGV[7]), tonumber(ARGV[8])
local FIRST = 9

local bounds = log.bounds()
if not bounds then return log.unknown() end
local problem = log.fence_leader(leader_epoch, leader_run)
if problem then return problem end
if log.redis_run() ~= redis_run or bounds.generation ~= generation then return { 'OK', -1 } end

for i = FIRST, FIRST + old_count - 1 do redis.call('ZREMRANGEBYSCORE', log.compacted, ARGV[i], ARGV[i]) end
bounds.compacted = bounds.compacted - old_bytes
if cleaned > bounds.cleaned then
  redis.call('XTRIM', log.batches, 'MINID', whole(cleaned + 1))
  local first = redis.call('XRANGE', log.batches, '-', '+', 'COUNT', 1)[1]
  bounds.trimmed = first and log.batch(first).before or bounds.total
  bounds.cleaned = cleaned
end
for i = FIRST + old_count, #ARGV, 2 do
  redis.call('ZADD', log.compacted, ARGV[i], ARGV[i + 1])
  bounds.compacted = bounds.compacted + #ARGV[i + 1] - string.find(ARGV[i + 1], '\n', 1, true)
end
bounds.generation = bounds.generation + 1
redis.call('HSET', log.partition, 'cleaned', whole(bounds.cleaned), 'compacted', whole(bounds.compacted),
  'trimmed', whole(bounds.trimmed), 'generation', whole(bounds.generation))
-- Compaction may remove the last records: then nothing follows the last one left, although the log ends later.
if bounds.cleaned >= bounds.next then
  local last = redis.call('ZRANGE', log.compacted, -1, -1, 'WITHSCORES')[2]
  redis.call('HSET', log.partition, 'records_end', last and whole(tonumber(last) + 1) or 0)
end
if tombstones_since_ms ~= '' then redis.call('HSET', log.partition, 'tombstones_since', tombstones_since_ms) end
log.announce_removal(bounds)
return { 'OK', bounds.generation }

#!lua flags=allow-oom
--- @include "lib/log"
--- @include "lib/clock"
--[[ Lets go of the oldest batches that are outside the limits, a bounded number (and log.WALK_BYTES_MAX) a call. A batch
     goes when all of its records are older than the one limit, or when what is left without it still fills the other:
     so no record that is inside both limits is ever taken (guarantee L5). A batch with a timestamp that would not be taken today is
     as old as its append: else one in microseconds would keep all behind it for ever, and one in seconds would go at once.
     KEYS    1 partition
     ARGV    1 leader epoch of the caller  2 the run of the broker that it is  3 how long records are kept, ms, or -1
             4 how many bytes are kept, or -1  5 most batches to let go of
             6 by how much a timestamp may be after the append, ms, or -1  7 '1' if one before 1973 is meant as such
     Returns { 'OK', start, end offset, more ('1'/'0'), how long until the oldest batch is too old, ms, or -1 }
     Errors  UNKNOWN_TOPIC, STALE_LEADER_EPOCH (field leaderEpoch) ]]
local bounds = log.bounds()
if not bounds then return log.unknown() end
local problem = log.fence_leader(tonumber(ARGV[1]), ARGV[2])
if problem then return problem end
local retention_ms, retention_bytes = tonumber(ARGV[3]), tonumber(ARGV[4])

-- A timestamp below this was probably meant in seconds (src/core/records/request-batches.ts).
local SECONDS_BELOW = 100000000000
local after, takes_old = tonumber(ARGV[6]), ARGV[7] == '1'

--- The moment that a batch's age counts from.
local function moment_of(batch)
  local appended = tonumber(batch.time)
  if after >= 0 and batch.max > appended + after then return appended end
  if batch.max < SECONDS_BELOW and not takes_old then return appended end
  return batch.max
end

local bytes = bounds.compacted + bounds.total - bounds.trimmed
local function is_due(batch)
  if retention_ms >= 0 and now_ms - moment_of(batch) > retention_ms then return true end
  return retention_bytes >= 0 and bytes - #batch.records >= retention_bytes
end

local offset, more, due_in = bounds.start, '1', -1
local bytes_left = log.WALK_BYTES_MAX
local following = log.walk(offset, bounds)
for _ = 1, tonumber(ARGV[5]) do
  local batch = offset < bounds.next and following(1)[1]
  if not batch or not is_due(batch) then
    more = '0'
    if batch and retention_ms >= 0 then due_in = moment_of(batch) + retention_ms - now_ms + 1 end
    break
  end
  offset = batch.base + batch.count
  bytes = bytes - #batch.records
  bytes_left = bytes_left - #batch.records
  if bytes_left <= 0 then break end
end
if offset > bounds.start and log.trim(offset, bounds) then more = '1' end
return { 'OK', bounds.start, bounds.next, more, due_in }

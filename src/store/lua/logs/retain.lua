#!lua flags=allow-oom
--- @include "lib/log"
--- @include "lib/clock"
--[[ Deletes the oldest batches that are outside the retention limits, a bounded number (and log.WALK_BYTES_MAX) a call. A
     batch is deleted when all of its records are older than the one limit, or when the log without it still fills the other.
     So a record inside both limits is never deleted (guarantee L5). A batch with a timestamp that would be refused today
     counts as old as its append: else one in microseconds would retain all batches after it for ever, and one in seconds
     would be deleted at once.

     KEYS    1 partition
     ARGV    1 leader epoch of the caller  2 run of the caller's broker  3 retention time, ms, or -1
             4 retention size, bytes, or -1  5 most batches to delete
             6 how far a timestamp may be after its append, ms, or -1  7 '1' if a timestamp before 1973 is meant as such
     Returns { 'OK', start offset, end offset, more are due ('1'/'0'), time until the oldest batch is due in ms, or -1 }
     Errors  UNKNOWN_TOPIC, STALE_LEADER_EPOCH (field leaderEpoch)
     Emits   one message of log.announce_removal(), if anything was removed ]]
local leader_epoch, leader_run = tonumber(ARGV[1]), ARGV[2]
local retention_ms, retention_bytes, batches_max = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local after_ms, takes_old = tonumber(ARGV[6]), ARGV[7] == '1'

local bounds = log.bounds()
if not bounds then return log.unknown() end
local problem = log.fence_leader(leader_epoch, leader_run)
if problem then return problem end

-- A timestamp below this was probably meant in seconds (src/core/records/request-batches.ts).
local SECONDS_BELOW = 100000000000

--- The moment from which a batch's age counts.
local function moment_of(batch)
  local appended = tonumber(batch.time)
  if after_ms >= 0 and batch.max > appended + after_ms then return appended end
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
for _ = 1, batches_max do
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
if offset > bounds.start then
  if log.trim(offset, bounds) then more = '1' end
  log.announce_removal(bounds)
end
return { 'OK', bounds.start, bounds.next, more, due_in }

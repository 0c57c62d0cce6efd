#!lua flags=allow-oom
--- @include "lib/log"
--- @include "lib/clock"
--[[ Lets go of the oldest batches that are outside the limits, a bounded number (and log.WALK_BYTES_MAX) a call. A batch
     goes when all of its records are older than the one limit, or when what is left without it still fills the other:
     so no record that is inside both limits is ever taken (guarantee L5).
     KEYS    1 partition
     ARGV    1 how long records are kept, ms, or -1  2 how many bytes are kept, or -1  3 most batches to let go of
     Returns { 'OK', start, end offset, more ('1'/'0') }
     Errors  UNKNOWN_TOPIC ]]
local bounds = log.bounds()
if not bounds then return log.unknown() end
local retention_ms, retention_bytes = tonumber(ARGV[1]), tonumber(ARGV[2])

local function is_due(batch)
  if retention_ms >= 0 and now_ms - batch.max > retention_ms then return true end
  return retention_bytes >= 0 and bounds.total - batch.before - #batch.records >= retention_bytes
end

local offset, more = bounds.start, '1'
local bytes_left = log.WALK_BYTES_MAX
for _ = 1, tonumber(ARGV[3]) do
  local batch = offset < bounds.next and log.batch_at(offset)
  if not batch or not is_due(batch) then
    more = '0'
    break
  end
  offset = batch.base + batch.count
  bytes_left = bytes_left - #batch.records
  if bytes_left <= 0 then break end
end
if offset > bounds.start then log.trim(offset, bounds) end
return { 'OK', bounds.start, bounds.next, more }

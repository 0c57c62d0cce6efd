#!lua flags=no-writes
--- @include "lib/log"
--[[ Looks for the first batch, from an offset on, with a record that is not older than a moment. Batches are in the order of
     offsets, and clients give records any timestamp: so it reads one batch after the other, a bounded number (and
     log.WALK_BYTES_MAX) a call.

     KEYS    1 partition
     ARGV    1 offset to begin at; below the log it is the log's start  2 moment, ms  3 most batches to read
     Returns { 'OK', 'found', base offset, number of records, time in ms, records }
             { 'OK', 'more', offset to continue at }
             { 'OK', 'end', end offset }
     Errors  UNKNOWN_TOPIC ]]
local begin, moment_ms, batches_max = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

local bounds = log.bounds()
if not bounds then return log.unknown() end
local offset = math.max(begin, bounds.start)
local bytes_left = log.WALK_BYTES_MAX
local following = log.walk(offset, bounds)
for _ = 1, batches_max do
  local batch = following(1)[1]
  if not batch then return { 'OK', 'end', bounds.next } end
  if batch.max >= moment_ms then return { 'OK', 'found', batch.base, batch.count, batch.time, batch.records } end
  offset = batch.base + batch.count
  bytes_left = bytes_left - #batch.records
  if bytes_left <= 0 then break end
end
return { 'OK', 'more', offset }

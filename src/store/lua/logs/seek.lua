#!lua flags=no-writes
--- @include "lib/log"
--[[ Looks for the first batch, from an offset on, with a record that is not older than a moment. Batches lie in the order
     of their offsets, and clients may give records any timestamp, so it looks at one after the other, a bounded number
     (and log.WALK_BYTES_MAX) a call.
     KEYS    1 partition
     ARGV    1 offset to look from; below the log it is the log's start  2 moment, ms  3 most batches to look at
     Returns { 'OK', 'found', base offset, number of records, time ms, records } | { 'OK', 'more', offset to go on from }
             | { 'OK', 'end', end offset }
     Errors  UNKNOWN_TOPIC ]]
local bounds = log.bounds()
if not bounds then return log.unknown() end
local offset, moment = math.max(tonumber(ARGV[1]), bounds.start), tonumber(ARGV[2])
local bytes_left = log.WALK_BYTES_MAX
local following = log.walk(offset, bounds)
for _ = 1, tonumber(ARGV[3]) do
  local batch = following(1)[1]
  if not batch then return { 'OK', 'end', bounds.next } end
  if batch.max >= moment then return { 'OK', 'found', batch.base, batch.count, batch.time, batch.records } end
  offset = batch.base + batch.count
  bytes_left = bytes_left - #batch.records
  if bytes_left <= 0 then break end
end
return { 'OK', 'more', offset }

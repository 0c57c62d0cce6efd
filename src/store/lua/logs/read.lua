#!lua flags=no-writes
--- @include "lib/log"
--[[ Reads batches from the one that holds an offset on, until there are enough records or bytes; one batch always fits.
     KEYS    1 partition
     ARGV    1 offset, or 'earliest', or 'latest'  2 most records  3 most bytes
     Returns { 'OK', offset, start, end offset, complete ('1'/'0': nothing follows in the log, though it may end later, where
             compaction has removed its last records), (base offset, number of records, time ms, records)… }
     Errors  UNKNOWN_TOPIC, OFFSET_OUT_OF_RANGE (fields logStartOffset, endOffset) ]]
-- A batch may be large: reading ahead is bounded, so that the store's memory is.
local READ_AHEAD_MAX = 16
local bounds = log.bounds()
if not bounds then return log.unknown() end
local offset
if ARGV[1] == 'earliest' then
  offset = bounds.start
elseif ARGV[1] == 'latest' then
  offset = bounds.next
else
  offset = tonumber(ARGV[1])
end
if offset < bounds.start or offset > bounds.next then return log.out_of_range(offset, bounds) end

local reply = { 'OK', offset, bounds.start, bounds.next, '1' }
-- At the end there is nothing to look for, and a long poll asks this often.
if offset == bounds.next then return reply end
local records_left = tonumber(ARGV[2])
local bytes_left = tonumber(ARGV[3])
local largest, room, reached = 1, true, offset

--- Adds a batch to the reply; whether there is room for more.
local function take(it)
  local n = #reply
  reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = it.base, it.count, it.time, it.records
  reached = it.base + it.count
  records_left = records_left - (reached - math.max(it.base, offset))
  bytes_left = bytes_left - #it.records
  largest = math.max(largest, #it.records)
  return records_left > 0 and bytes_left > 0
end

local following = log.walk(offset, bounds)
-- One at first: how large they are is not known yet.
local count = 1
while room do
  local batches = following(count)
  if #batches == 0 then return reply end
  for _, batch in ipairs(batches) do
    room = take(batch)
    if not room then break end
  end
  count = math.min(READ_AHEAD_MAX, math.max(1, math.ceil(bytes_left / largest)))
end
if reached < bounds.next then reply[5] = '0' end
return reply

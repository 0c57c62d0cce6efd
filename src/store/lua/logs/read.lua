#!lua flags=no-writes
--- @include "lib/log"
--[[ Reads batches from the one that holds an offset on, until there are enough records or bytes; one batch always fits.
     KEYS    1 partition
     ARGV    1 offset, or 'earliest', or 'latest'  2 most records  3 most bytes
     Returns { 'OK', offset, start, end offset, (base offset, number of records, time ms, records)… }
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

local reply = { 'OK', offset, bounds.start, bounds.next }
-- At the end there is nothing to look for, and a long poll asks this often.
local batch = offset < bounds.next and log.batch_at(offset)
if not batch then return reply end
local records_left = tonumber(ARGV[2])
local bytes_left = tonumber(ARGV[3])
local largest = 1

--- Adds a batch to the reply; whether there is room for more.
local function take(it)
  local n = #reply
  reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = it.base, it.count, it.time, it.records
  records_left = records_left - (it.base + it.count - math.max(it.base, offset))
  bytes_left = bytes_left - #it.records
  largest = math.max(largest, #it.records)
  return records_left > 0 and bytes_left > 0
end

local room = take(batch)
while room do
  local count = math.min(READ_AHEAD_MAX, math.ceil(bytes_left / largest))
  local entries = redis.call('XRANGE', log.batches, '(' .. batch.id, '+', 'COUNT', count)
  if #entries == 0 then break end
  for _, entry in ipairs(entries) do
    batch = log.batch(entry)
    room = take(batch)
    if not room then break end
  end
end
return reply

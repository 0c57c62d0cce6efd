#!lua flags=no-writes
--- @include "lib/log"
--[[ Reads batches from the one that holds an offset on, until there are enough records or bytes; one batch always fits.
     KEYS    1 partition
     ARGV    1 offset, or 'earliest', or 'latest'  2 most records  3 most bytes
     Returns { 'OK', offset, start, end offset, complete ('1'/'0': nothing follows in the log, though it may end later, where
             compaction has removed its last records), heads, records }: of each batch `<base offset> <count> <time ms> <bytes>` and a
             line feed in the heads, and its records in the records, one behind the other. Two texts, as a client takes
             long over many small ones
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

local heads, records = {}, {}
local function reply(complete)
  return { 'OK', offset, bounds.start, bounds.next, complete, table.concat(heads), table.concat(records) }
end
-- At the end there is nothing to look for, and a long poll asks this often.
if offset == bounds.next then return reply('1') end
local records_left = tonumber(ARGV[2])
local bytes_left = tonumber(ARGV[3])
local largest, room, reached = 1, true, offset

--- Adds a batch to the reply; whether there is room for more.
local function take(it)
  local n = #heads + 1
  heads[n] = whole(it.base) .. ' ' .. whole(it.count) .. ' ' .. it.time .. ' ' .. whole(#it.records) .. '\n'
  records[n] = it.records
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
  if #batches == 0 then return reply('1') end
  for _, batch in ipairs(batches) do
    room = take(batch)
    if not room then break end
  end
  count = math.min(READ_AHEAD_MAX, math.max(1, math.ceil(bytes_left / largest)))
end
return reply(reached < bounds.next and '0' or '1')

#!lua flags=no-writes
--- @include "lib/log"
--[[ Reads batches from the one that holds an offset on, until there are enough records or bytes; one batch always fits.
     KEYS    1 partition
     ARGV    1 offset, or 'earliest', or 'latest'  2 most records  3 most bytes
     Returns { 'OK', offset, start, end offset, complete ('1'/'0': nothing follows in the log, though it may end later, where
             compaction has removed its last records), heads, records, records, … }: of each batch `<base offset> <count> <time ms>
             <bytes>` and a line feed in the heads; then the records of all, one behind the other, in texts that end where a
             batch does
     Errors  UNKNOWN_TOPIC, OFFSET_OUT_OF_RANGE (fields logStartOffset, endOffset) ]]
-- A batch may be large: reading ahead is bounded, so that the store's memory is.
local READ_AHEAD_MAX = 16
-- Small batches are joined up to that many bytes, as a client takes long over many small texts; large ones are not, as to
-- join them took the store longer than all the rest.
local TEXT_BYTES = 4096
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

local heads, texts = {}, {}
local small, small_bytes = {}, 0

local function join_small()
  if small_bytes == 0 then return end
  texts[#texts + 1] = #small == 1 and small[1] or table.concat(small)
  small, small_bytes = {}, 0
end

local function reply(complete)
  join_small()
  local answer = { 'OK', offset, bounds.start, bounds.next, complete, table.concat(heads) }
  for i = 1, #texts do answer[6 + i] = texts[i] end
  return answer
end
-- At the end there is nothing to look for, and a long poll asks this often.
if offset == bounds.next then return reply('1') end
local records_left = tonumber(ARGV[2])
local bytes_left = tonumber(ARGV[3])
local largest, room, reached = 1, true, offset

--- Adds a batch to the reply; whether there is room for more.
local function take(it)
  local length = #it.records
  heads[#heads + 1] = whole(it.base) .. ' ' .. whole(it.count) .. ' ' .. it.time .. ' ' .. whole(length) .. '\n'
  small[#small + 1] = it.records
  small_bytes = small_bytes + length
  if small_bytes >= TEXT_BYTES then join_small() end
  reached = it.base + it.count
  records_left = records_left - (reached - math.max(it.base, offset))
  bytes_left = bytes_left - length
  largest = math.max(largest, length)
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

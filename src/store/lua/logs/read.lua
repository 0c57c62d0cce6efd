#!lua flags=no-writes
--- @include "lib/log"
--[[ Reads batches, from the one that holds an offset on, until there are enough records or bytes. The first batch always fits.

     KEYS    1 partition
     ARGV    1 offset, or 'earliest', or 'latest'  2 most records  3 most bytes
             4 '1' if the last batch may not exceed these, unless it is the first; else '0'
     Returns { 'OK', offset, start offset, end offset, offset up to which the log is compacted, time of its creation in ms,
             complete ('1'/'0'), offset from which on the sizes of batches are known, or -1, bytes of the largest of these, heads,
             records, records, … }
             complete: no batch follows. The log may end later, where compaction has removed its last records.
             heads: of each batch `<base offset> <count> <time ms> <bytes>` and a line feed
             records: those of all batches, in texts that each end where a batch does
     Errors  UNKNOWN_TOPIC, OFFSET_OUT_OF_RANGE (fields logStartOffset, endOffset) ]]
local asked, records_left, bytes_left, within_limits = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1'

-- How many batches one command reads: a batch may be large, and the store's memory is bounded.
local READ_AHEAD_MAX = 16
-- Small batches are joined into texts of about that many bytes, because the broker decodes many small texts slowly. Large
-- ones are not joined: that took the store longer than everything else here.
local TEXT_BYTES = 4096
local bounds = log.bounds()
if not bounds then return log.unknown() end
local offset
if asked == 'earliest' then
  offset = bounds.start
elseif asked == 'latest' then
  offset = bounds.next
else
  offset = tonumber(asked)
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
  local values = {
    'OK', offset, bounds.start, bounds.next, bounds.cleaned, bounds.created_at, complete, bounds.sized_from or -1, bounds.largest,
    table.concat(heads),
  }
  for i = 1, #texts do values[10 + i] = texts[i] end
  return values
end
-- A long poll often asks for the end of the log, where there is nothing to read.
if offset == bounds.next then return reply('1') end
local largest, has_room, reached = 1, true, offset

--- Adds a batch to the reply. Returns whether there is room for more.
local function take(batch)
  local length = #batch.records
  heads[#heads + 1] = whole(batch.base) .. ' ' .. whole(batch.count) .. ' ' .. batch.time .. ' ' .. whole(length) .. '\n'
  small[#small + 1] = batch.records
  small_bytes = small_bytes + length
  if small_bytes >= TEXT_BYTES then join_small() end
  reached = batch.base + batch.count
  records_left = records_left - (reached - math.max(batch.base, offset))
  bytes_left = bytes_left - length
  largest = math.max(largest, length)
  return records_left > 0 and bytes_left > 0
end

local following = log.walk(offset, bounds)
-- One batch at first: their size is not known yet.
local count = 1
while has_room do
  local batches = following(count)
  if #batches == 0 then return reply('1') end
  for _, batch in ipairs(batches) do
    if within_limits and #heads > 0 and (batch.count > records_left or #batch.records > bytes_left) then return reply('0') end
    has_room = take(batch)
    if not has_room then break end
  end
  count = math.min(READ_AHEAD_MAX, math.max(1, math.ceil(bytes_left / largest)))
end
return reply(reached < bounds.next and '0' or '1')

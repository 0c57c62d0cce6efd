#!lua flags=no-writes
--- @include "lib/events"
--[[ Reads a page of one history backwards, for people who look at what happened. A page is bounded by count and by bytes, as one
     transaction may be as large as thousands of others. The first entry may also have transactions that are not before the given
     one, and the last entry more than the page.

     KEYS    1 root
     ARGV    1 'main' or 'offsets'  2 zxid before which the page begins  3 transactions and 4 bytes after which it ends
     Returns { 'OK', older ones may follow (0 or 1), id, fields, … } of each entry of the stream, the newest first
     Errors  none ]]
local history, before_id, before, left, bytes_max = ARGV[1], ARGV[2], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

local key = history == 'main' and keys.events or keys.offset_events
local reply, bytes = { 'OK', 0 }, 0

--- Adds an entry. Returns whether the page has ended.
local function add(entry, head)
  reply[#reply + 1], reply[#reply + 2] = entry[1], entry[2]
  bytes = bytes + head.size
  left = left - head.transactions
  reply[2] = (left <= 0 or bytes >= bytes_max) and 1 or 0
  return reply[2] == 1
end

-- An entry that ends behind the given zxid may have begun before it.
local around = redis.call('XRANGE', key, before_id, '+', 'COUNT', 1)[1]
if around then
  local head = events.head_of(around)
  if head.first < before and add(around, head) then return reply end
end
local up_to, step = '(' .. before_id .. '-0', 1
repeat
  local entries = redis.call('XREVRANGE', key, up_to, '-', 'COUNT', step)
  for _, entry in ipairs(entries) do
    if add(entry, events.head_of(entry)) then return reply end
    up_to = '(' .. entry[1]
  end
  local is_last = #entries < step
  step = math.min(step * 2, 16)
until is_last
return reply

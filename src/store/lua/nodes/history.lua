#!lua flags=no-writes
--- @include "lib/events"
--[[ Reads a page of one history, for watchers that catch up. A page is bounded by count and by bytes, as one transaction may
     be as large as thousands of others. The first entry may also have transactions before the page, and the last one others
     behind it.

     KEYS    1 root
     ARGV    1 'main' or 'offsets'  2 zxid after which the page begins  3 zxid up to which it goes  4 transactions and
             5 bytes after which the page ends
     Returns { 'OK', more may follow (0 or 1), id, fields, … } of each entry of the stream
     Errors  none ]]
local history, begin_after, up_to, left, bytes_max = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])

local key = history == 'main' and keys.events or keys.offset_events
local from = '(' .. begin_after
local reply = { 'OK', 0 }
-- Few entries at first: their size is known only after they are read.
local step, bytes = 1, 0
repeat
  local entries = redis.call('XRANGE', key, from, '+', 'COUNT', step)
  for _, entry in ipairs(entries) do
    local head = events.head_of(entry)
    if head.first > up_to then return reply end
    reply[#reply + 1], reply[#reply + 2] = entry[1], entry[2]
    from = '(' .. entry[1]
    if head.zxid >= up_to then return reply end
    bytes = bytes + #entry[2][2]
    left = left - head.transactions
    if left <= 0 or bytes >= bytes_max then
      reply[2] = 1
      return reply
    end
  end
  local is_last = #entries < step
  local average = 2 * bytes / #reply
  step = math.min(step * 2, 16, math.ceil((bytes_max - bytes) / average))
until is_last
return reply

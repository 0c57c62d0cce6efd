#!lua flags=no-writes
--- @include "lib/keys"
--[[ Reads a page of one history, for watchers that catch up. A page is bounded by count and by bytes, as one transaction may
     be as large as thousands of others.

     KEYS    1 root
     ARGV    1 'main' or 'offsets'  2 zxid after which the page begins  3 zxid up to which it goes  4 most transactions
             5 bytes after which the page ends
     Returns { 'OK', more may follow (0 or 1), id, fields, … } of each entry of the stream
     Errors  none ]]
local history, begin_after, up_to, left, bytes_left = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])

local key = history == 'main' and keys.events or keys.offset_events
local from = '(' .. begin_after
local reply = { 'OK', 0 }
-- Few entries at first: their size is known only after they are read.
local step = 1
while true do
  local count = math.min(step, left)
  local entries = redis.call('XRANGE', key, from, up_to, 'COUNT', count)
  for _, entry in ipairs(entries) do
    reply[#reply + 1], reply[#reply + 2] = entry[1], entry[2]
    bytes_left = bytes_left - #entry[2][2]
  end
  if #entries < count then break end
  from = '(' .. entries[count][1]
  left = left - count
  if left == 0 or bytes_left <= 0 then
    reply[2] = 1
    break
  end
  step = math.min(step * 2, 16)
end
return reply

#!lua flags=allow-oom
--- @include "lib/events"
--[[ Migrates the oldest entries of a history to layout 4, where one entry may hold several transactions, and moves them to the
     stream of that layout. In layout 3 each transaction is an entry with the same id, whose field begins with the running sum
     of bytes only.

     KEYS    1 root
     ARGV    1 'main' or 'offsets'  2 bytes after which the call ends
     Returns { 'OK', whether entries are left (0 or 1) }
     Errors  none ]]
local history, bytes_left = ARGV[1], tonumber(ARGV[2])

local ENTRIES_MAX = 500
local SUM_BYTES = 8
local is_main = history == 'main'
local from = is_main and keys.older_events or keys.older_offset_events
local to = is_main and keys.events or keys.offset_events
-- The stream of offsets had no floor: at its full length, all before its first entry may have been deleted.
local OFFSETS_KEPT = 10000

local moved
for _ = 1, ENTRIES_MAX do
  local entry = redis.call('XRANGE', from, moved and whole(moved + 1) or '-', '+', 'COUNT', 1)[1]
  if not entry then
    redis.call('DEL', from)
    return { 'OK', 0 }
  end
  local zxid, stored = tonumber(string.match(entry[1], '^%d+')), entry[2][2]
  if not is_main and redis.call('XLEN', from) >= OFFSETS_KEPT then
    redis.call('HSETNX', keys.root, 'offset_events_floor', whole(zxid - 1))
  end
  local body = string.sub(stored, SUM_BYTES + 1)
  local sums = {
    bytes = is_main and struct.unpack('>d', stored) or redis.call('HINCRBY', keys.root, 'offset_event_bytes', #body),
    count = redis.call('HINCRBY', keys.root, is_main and 'event_count' or 'offset_event_count', 1),
  }
  redis.call('XADD', to, entry[1], 'events', events.entry(zxid, body, sums), unpack(entry[2], 3))
  moved = zxid
  bytes_left = bytes_left - #stored
  if bytes_left <= 0 then break end
end
redis.call('XTRIM', from, 'MINID', whole(moved + 1))
return { 'OK', 1 }

#!lua flags=no-writes
--- @include "lib/keys"
--[[ Reads one page of a node's children, by name in byte order. A page ends early where names are long.

     KEYS    1 root
     ARGV    1 path of the node  2 name after which the page starts, or ''  3 most names  4 '1' = with stats
     Returns { 'OK', zxid, packed stat of the node (lib/stat.lua), more follow ('1'/'0'), name, (packed stat,) name, (packed stat,) … }
     Errors  NO_NODE (field zxid) ]]
local parent, start_after, limit, with_stats = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4] == '1'

local zxid = tonumber(redis.call('HGET', keys.root, 'zxid') or '0')
local stat = redis.call('HGET', keys.node(parent), 'stat')
if not stat then return { 'NO_NODE', 'Node ' .. parent .. ' does not exist.', 'path', parent, 'zxid', zxid } end
-- How many names one command reads, and after how many bytes of names a page ends.
local AT_ONCE, NAMES_BYTES = 200, 1048576
local from = start_after == '' and '-' or '(' .. start_after
local reply = { 'OK', zxid, stat, '0' }
local prefix = parent == '/' and '/' or parent .. '/'
local count, bytes = 0, 0
repeat
  local wanted = math.min(AT_ONCE, limit - count)
  -- One more than wanted tells whether there is another page.
  local names = redis.call('ZRANGE', keys.children(parent), from, '+', 'BYLEX', 'LIMIT', 0, wanted + 1)
  local more = #names > wanted
  for i = 1, math.min(#names, wanted) do
    local name = names[i]
    count, bytes = count + 1, bytes + #name
    reply[#reply + 1] = name
    if with_stats then reply[#reply + 1] = redis.call('HGET', keys.node(prefix .. name), 'stat') end
    if bytes > NAMES_BYTES and (i < #names) then
      more, limit = true, count
      break
    end
  end
  reply[4] = more and '1' or '0'
  from = '(' .. (names[math.min(#names, wanted)] or '')
until not more or count >= limit
return reply

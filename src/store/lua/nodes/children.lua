#!lua flags=no-writes
--- @include "lib/keys"
--[[ One page of a node's children, by name in byte order; it ends early where the names are long.
     KEYS    1 root
     ARGV    1 path  2 name after which to start, or ''  3 most names  4 '1' = with stats
     Returns { 'OK', zxid, stat, more ('1'/'0'), name, (stat,) name, (stat,) … }
     Errors  NO_NODE, with the field zxid ]]
local zxid = tonumber(redis.call('HGET', keys.root, 'zxid') or '0')
local stat = redis.call('HGET', keys.node(ARGV[1]), 'stat')
if not stat then return { 'NO_NODE', 'Node ' .. ARGV[1] .. ' does not exist.', 'path', ARGV[1], 'zxid', zxid } end
-- So many names are read at once, and no more once a page has so many bytes of them.
local AT_ONCE, NAMES_BYTES = 1000, 1048576
local limit = tonumber(ARGV[3])
local from = ARGV[2] == '' and '-' or '(' .. ARGV[2]
local reply = { 'OK', zxid, stat, '0' }
local prefix = ARGV[1] == '/' and '/' or ARGV[1] .. '/'
local count, bytes = 0, 0
repeat
  local wanted = math.min(AT_ONCE, limit - count)
  -- One more than wanted tells whether there is another page.
  local names = redis.call('ZRANGE', keys.children(ARGV[1]), from, '+', 'BYLEX', 'LIMIT', 0, wanted + 1)
  local more = #names > wanted
  for i = 1, math.min(#names, wanted) do
    local name = names[i]
    count, bytes = count + 1, bytes + #name
    reply[#reply + 1] = name
    if ARGV[4] == '1' then reply[#reply + 1] = redis.call('HGET', keys.node(prefix .. name), 'stat') end
    if bytes > NAMES_BYTES and (i < #names) then
      more, limit = true, count
      break
    end
  end
  reply[4] = more and '1' or '0'
  from = '(' .. (names[math.min(#names, wanted)] or '')
until not more or count >= limit
return reply

#!lua flags=no-writes
--- @include "lib/keys"
--[[ One page of a node's children, by name in byte order.
     KEYS    1 root
     ARGV    1 path  2 name after which to start, or ''  3 most names  4 '1' = with stats
     Returns { 'OK', zxid, stat, more ('1'/'0'), name, (stat,) name, (stat,) … }
     Errors  NO_NODE, with the field zxid ]]
local zxid = tonumber(redis.call('HGET', keys.root, 'zxid') or '0')
local stat = redis.call('HGET', keys.node(ARGV[1]), 'stat')
if not stat then return { 'NO_NODE', 'Node ' .. ARGV[1] .. ' does not exist.', 'path', ARGV[1], 'zxid', zxid } end
local limit = tonumber(ARGV[3])
local from = ARGV[2] == '' and '-' or '(' .. ARGV[2]
local names = redis.call('ZRANGE', keys.children(ARGV[1]), from, '+', 'BYLEX', 'LIMIT', 0, limit + 1)
local reply = { 'OK', zxid, stat, #names > limit and '1' or '0' }
local prefix = ARGV[1] == '/' and '/' or ARGV[1] .. '/'
for i = 1, math.min(#names, limit) do
  reply[#reply + 1] = names[i]
  if ARGV[4] == '1' then reply[#reply + 1] = redis.call('HGET', keys.node(prefix .. names[i]), 'stat') end
end
return reply

#!lua flags=no-writes
--- @include "lib/keys"
--[[ Reads a node and the newest zxid at one moment.
     KEYS    1 root
     ARGV    1 path  2 'data' or 'stat'
     Returns { 'OK', zxid, stat, content type, data }; the last two only for 'data'
     Errors  NO_NODE, with the field zxid ]]
local zxid = tonumber(redis.call('HGET', keys.root, 'zxid') or '0')
local fields
if ARGV[2] == 'data' then
  fields = redis.call('HMGET', keys.node(ARGV[1]), 'stat', 'type', 'data')
else
  fields = redis.call('HMGET', keys.node(ARGV[1]), 'stat')
end
if not fields[1] then
  return { 'NO_NODE', 'Node ' .. ARGV[1] .. ' does not exist.', 'path', ARGV[1], 'zxid', zxid }
end
return { 'OK', zxid, unpack(fields) }

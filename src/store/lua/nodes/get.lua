#!lua flags=no-writes
--- @include "lib/keys"
--[[ Reads nodes and the newest zxid at one moment.
     KEYS    1 root
     ARGV    of each node: 1 path  2 'data' or 'stat'
     Returns { 'OK', zxid, answer, … }, of each node its stat, packed (lib/stat.lua), for 'data' with the content type and
             the data, and before all that the lengths of stat and content type; or an error
     Errors  NO_NODE, with the field zxid ]]
local zxid = tonumber(redis.call('HGET', keys.root, 'zxid') or '0')
local reply = { 'OK', zxid }
for at = 1, #ARGV, 2 do
  local path, packed, content_type, data = ARGV[at], nil, '', ''
  if ARGV[at + 1] == 'data' then
    packed, content_type, data = unpack(redis.call('HMGET', keys.node(path), 'stat', 'type', 'data'))
  else
    packed = redis.call('HGET', keys.node(path), 'stat')
  end
  if packed then
    reply[#reply + 1] = struct.pack('>BI2', #packed, #content_type) .. packed .. content_type .. data
  else
    reply[#reply + 1] = { 'NO_NODE', 'Node ' .. path .. ' does not exist.', 'path', path, 'zxid', zxid }
  end
end
return reply

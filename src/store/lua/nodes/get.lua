#!lua flags=no-writes
--- @include "lib/keys"
--[[ Reads nodes and the newest zxid at one moment.
     KEYS    1 root
     ARGV    of each node: 1 path  2 'data' or 'stat'
     Returns { 'OK', zxid, answer, … }, of each node its stat, packed (lib/stat.lua), for 'data' with the content type and
             the data, and before all that the lengths of stat and content type; or an error; or 0 where it does not fit into this
             reply any more: ask again
     Errors  NO_NODE, with the field zxid ]]
-- Nodes may be large, and many reads may share this call: the first always fits.
local REPLY_BYTES = 4194304
local zxid = tonumber(redis.call('HGET', keys.root, 'zxid') or '0')
local reply = { 'OK', zxid }
local bytes = 0
for at = 1, #ARGV, 2 do
  local path, packed, content_type, data = ARGV[at], nil, '', ''
  local node = keys.node(path)
  if ARGV[at + 1] == 'data' then
    local length = bytes > 0 and redis.call('HSTRLEN', node, 'data') or 0
    if bytes + length > REPLY_BYTES then
      packed = 0
    else
      packed, content_type, data = unpack(redis.call('HMGET', node, 'stat', 'type', 'data'))
    end
  else
    packed = redis.call('HGET', node, 'stat')
  end
  if packed == 0 then
    reply[#reply + 1] = 0
  elseif packed then
    bytes = bytes + #data
    reply[#reply + 1] = struct.pack('>BI2', #packed, #content_type) .. packed .. content_type .. data
  else
    reply[#reply + 1] = { 'NO_NODE', 'Node ' .. path .. ' does not exist.', 'path', path, 'zxid', zxid }
  end
end
return reply

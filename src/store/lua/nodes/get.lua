#!lua flags=no-writes
--- @include "lib/keys"
--[[ Reads nodes and the newest zxid at one moment.
     KEYS    1 root
     ARGV    of each node: 1 path  2 'data' or 'stat'
     Returns { 'OK', answer, … }, of each node { 'OK', zxid, stat, content type, data } (the last two only for 'data') or
             an error
     Errors  NO_NODE, with the field zxid ]]
local zxid = tonumber(redis.call('HGET', keys.root, 'zxid') or '0')
local reply = { 'OK' }
for at = 1, #ARGV, 2 do
  local path, fields = ARGV[at], nil
  if ARGV[at + 1] == 'data' then
    fields = redis.call('HMGET', keys.node(path), 'stat', 'type', 'data')
  else
    fields = redis.call('HMGET', keys.node(path), 'stat')
  end
  if fields[1] then
    reply[#reply + 1] = { 'OK', zxid, unpack(fields) }
  else
    reply[#reply + 1] = { 'NO_NODE', 'Node ' .. path .. ' does not exist.', 'path', path, 'zxid', zxid }
  end
end
return reply

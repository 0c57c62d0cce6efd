#!lua flags=no-writes
--- @include "lib/keys"
--[[ Reads nodes and the newest zxid at one moment.

     KEYS    1 root
     ARGV    of each node: path; 'data', 'stat', or 'all' (as 'data', however large)
     Returns { 'OK', zxid, result, … } with one result for each node: lengths of stat and content type, packed stat (lib/stat.lua),
             content type and data, the last two empty for 'stat'; or an error; or 0 if the data do not fit into this reply:
             read that node again
     Errors  NO_NODE (field zxid) ]]
-- Nodes may be large, and many reads may share this call. The first node always fits.
local REPLY_BYTES = 4194304
local zxid = tonumber(redis.call('HGET', keys.root, 'zxid') or '0')
local reply = { 'OK', zxid }
local bytes = 0

local function fits(path)
  return bytes == 0 or bytes + redis.call('HSTRLEN', keys.node(path), 'data') <= REPLY_BYTES
end

local function read(path, with_data)
  if not with_data then return redis.call('HGET', keys.node(path), 'stat'), '', '' end
  return unpack(redis.call('HMGET', keys.node(path), 'stat', 'type', 'data'))
end

for at = 1, #ARGV, 2 do
  local path, view = ARGV[at], ARGV[at + 1]
  local with_data = view ~= 'stat'
  if view == 'data' and not fits(path) then
    reply[#reply + 1] = 0
  else
    local packed, content_type, data = read(path, with_data)
    if packed then
      bytes = bytes + #data
      reply[#reply + 1] = struct.pack('>BI2', #packed, #content_type) .. packed .. content_type .. data
    else
      reply[#reply + 1] = { 'NO_NODE', 'Node ' .. path .. ' does not exist.', 'path', path, 'zxid', zxid }
    end
  end
end
return reply

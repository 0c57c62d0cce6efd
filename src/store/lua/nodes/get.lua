#!lua flags=no-writes
--- @include "lib/keys"
--[[ Reads nodes and the newest zxid at one moment.

     KEYS    1 root
     ARGV    of each node: path; 'data', 'stat', or 'all' (as 'data', however large)
     Returns { 'OK', zxid, result, … } with one result for each node: lengths of stat and content type, packed stat (lib/stat.lua),
             content type and data, the last two empty for 'stat'; or an error; or the size of the data if they are large, so
             that the node has to be read with 'all' where there is room for it
     Errors  NO_NODE (field zxid) ]]
-- Up to so many bytes, reads share a call (src/store/tree/namespace.ts).
local SMALL_BYTES = 65536
local zxid = tonumber(redis.call('HGET', keys.root, 'zxid') or '0')
local reply = { 'OK', zxid }

local function read(path, with_data)
  if not with_data then return redis.call('HGET', keys.node(path), 'stat'), '', '' end
  return unpack(redis.call('HMGET', keys.node(path), 'stat', 'type', 'data'))
end

for at = 1, #ARGV, 2 do
  local path, view = ARGV[at], ARGV[at + 1]
  local with_data = view ~= 'stat'
  local size = view == 'data' and redis.call('HSTRLEN', keys.node(path), 'data') or 0
  if size > SMALL_BYTES then
    reply[#reply + 1] = size
  else
    local packed, content_type, data = read(path, with_data)
    if packed then
      reply[#reply + 1] = struct.pack('>BI2', #packed, #content_type) .. packed .. content_type .. data
    else
      reply[#reply + 1] = { 'NO_NODE', 'Node ' .. path .. ' does not exist.', 'path', path, 'zxid', zxid }
    end
  end
end
return reply

#!lua flags=no-writes
--- @include "lib/keys"
--- @include "lib/stat"
--- @include "lib/reserved"
--[[ Reads a part of a subtree with its data, each node before its children, names in byte order. The next part begins behind the last
     path of this one, which need not exist any more. Nodes of the service are left out, unless the subtree is one of them.

     KEYS    1 root
     ARGV    1 path at the top  2 path behind which the part begins, '' = with the top  3 '1' = pass over all that is below that path
             4 most nodes  5 bytes of data and paths after which the part ends; its first node may exceed them
     Returns { 'OK', zxid, more follow ('1'/'0'), number of subtrees of the service that were left out,
             path, packed stat (lib/stat.lua), content type, data, … }; an ephemeral node without its data
     Errors  NO_NODE (the top, in the first part; field zxid) ]]
local top, after, passes_over, most, bytes_max = ARGV[1], ARGV[2], ARGV[3] == '1', tonumber(ARGV[4]), tonumber(ARGV[5])

-- How many names one command reads.
local NAMES_AT_ONCE = 100
local zxid = tonumber(redis.call('HGET', keys.root, 'zxid') or '0')
local reply = { 'OK', zxid, '0', 0 }
local count, bytes = 0, 0
-- Subtrees of the service that were passed since the last node that was added: the next part passes them again if none is.
local passed = 0
-- From the top down to where the walk is, the nodes whose children are being read: path, prefix of the children's paths, from where on.
local open = {}

local function enter(path, after_name)
  open[#open + 1] = { path = path, prefix = path == '/' and '/' or path .. '/', from = after_name and '(' .. after_name or '-', names = {}, at = 1 }
end

--- Adds a node, and enters it if it has children. Returns false if it does not fit any more.
local function add(path)
  local packed = redis.call('HGET', keys.node(path), 'stat')
  local node = stat.parse(packed)
  local size = #path + (node.owner and 0 or node.data_length)
  if count > 0 and (count == most or bytes + size > bytes_max) then return false end
  local content_type, data = '', ''
  if not node.owner then
    content_type, data = unpack(redis.call('HMGET', keys.node(path), 'type', 'data'))
  end
  count, bytes = count + 1, bytes + size
  local at = #reply
  reply[at + 1], reply[at + 2], reply[at + 3], reply[at + 4] = path, packed, content_type, data
  if node.num_children > 0 then enter(path) end
  return true
end

--- The next name of the children that are read last; nil if there is none.
local function next_name(parent)
  if parent.at > #parent.names then
    if parent.is_last then return nil end
    parent.names = redis.call('ZRANGE', keys.children(parent.path), parent.from, '+', 'BYLEX', 'LIMIT', 0, NAMES_AT_ONCE)
    parent.at = 1
    parent.is_last = #parent.names < NAMES_AT_ONCE
    if not parent.names[1] then return nil end
    parent.from = '(' .. parent.names[#parent.names]
  end
  parent.at = parent.at + 1
  return parent.names[parent.at - 1]
end

if after == '' then
  if redis.call('EXISTS', keys.node(top)) == 0 then
    return { 'NO_NODE', 'Node ' .. top .. ' does not exist.', 'path', top, 'zxid', zxid }
  end
  add(top)
else
  local at = top
  for name in string.gmatch(string.sub(after, #top + 1), '[^/]+') do
    enter(at, name)
    at = open[#open].prefix .. name
  end
  if not passes_over then enter(at) end
end

while #open > 0 do
  local parent = open[#open]
  local name = next_name(parent)
  if not name then
    open[#open] = nil
  elseif parent.path == '/' and RESERVED[name] then
    passed = passed + 1
  elseif add(parent.prefix .. name) then
    reply[4], passed = reply[4] + passed, 0
  else
    reply[3], passed = '1', 0
    break
  end
end
reply[4] = reply[4] + passed
return reply

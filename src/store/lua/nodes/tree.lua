#!lua flags=no-writes
--- @include "lib/keys"
--[[ Reads the subtree of a node at one moment, breadth first, bounded by depth, by number of nodes and by bytes of paths.

     KEYS    1 root
     ARGV    1 path of the node  2 levels below it to read  3 most nodes
     Returns { 'OK', zxid, truncated ('1'/'0'), path, packed stat (lib/stat.lua), path, packed stat, … }, parents before
             children, names in byte order
     Errors  NO_NODE (field zxid) ]]
local top, levels, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

local zxid = tonumber(redis.call('HGET', keys.root, 'zxid') or '0')
local stat = redis.call('HGET', keys.node(top), 'stat')
if not stat then return { 'NO_NODE', 'Node ' .. top .. ' does not exist.', 'path', top, 'zxid', zxid } end
-- How many names one command reads, and after how many bytes of paths the reply ends.
local AT_ONCE, PATHS_BYTES = 200, 1048576
local reply = { 'OK', zxid, '0', top, stat }
local level, count, bytes = { top }, 1, 0
for _ = 1, levels do
  local below = {}
  for _, parent in ipairs(level) do
    local prefix = parent == '/' and '/' or parent .. '/'
    local rank = 0
    repeat
      local names = redis.call('ZRANGE', keys.children(parent), rank, rank + math.min(AT_ONCE, limit - count + 1) - 1)
      for _, name in ipairs(names) do
        if count == limit or bytes > PATHS_BYTES then
          reply[3] = '1'
          return reply
        end
        local path = prefix .. name
        count, bytes = count + 1, bytes + #path
        below[#below + 1] = path
        reply[#reply + 1] = path
        reply[#reply + 1] = redis.call('HGET', keys.node(path), 'stat')
      end
      rank = rank + AT_ONCE
    until #names < AT_ONCE
  end
  if #below == 0 then return reply end
  level = below
end
return reply

#!lua flags=no-writes
--- @include "lib/keys"
--[[ The subtree of a node at one moment, breadth first, bounded in depth and number, and by what its paths weigh.
     KEYS    1 root
     ARGV    1 path  2 levels below the node  3 most nodes
     Returns { 'OK', zxid, truncated ('1'/'0'), path, stat, path, stat, … }, parents before children, names in order
     Errors  NO_NODE, with the field zxid ]]
local zxid = tonumber(redis.call('HGET', keys.root, 'zxid') or '0')
local stat = redis.call('HGET', keys.node(ARGV[1]), 'stat')
if not stat then return { 'NO_NODE', 'Node ' .. ARGV[1] .. ' does not exist.', 'path', ARGV[1], 'zxid', zxid } end
-- So many names are read at once, and no more nodes once their paths have so many bytes.
local AT_ONCE, PATHS_BYTES = 1000, 1048576
local depth_max, limit = tonumber(ARGV[2]), tonumber(ARGV[3])
local reply = { 'OK', zxid, '0', ARGV[1], stat }
local level, count, bytes = { ARGV[1] }, 1, 0
for _ = 1, depth_max do
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

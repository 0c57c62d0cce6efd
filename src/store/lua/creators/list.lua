#!lua flags=no-writes
--- @include "lib/require-open"
--- @include "lib/creators"
--[[ Reads a page of the creators, by their numbers, which begin with 1 and have no gaps.

     KEYS    1 root
     ARGV    1 the first number  2 how many
     Returns { 'OK', (name, nodes, bytes, partitions, log bytes, limit of bytes or -1)… } with fewer than asked for at the end
     Errors  none ]]
local first, count = tonumber(ARGV[1]), tonumber(ARGV[2])

local reply = { 'OK' }
for number = first, first + count - 1 do
  local creator = creators.get(whole(number))
  if not creator then break end
  for _, field in ipairs({ 'name', 'nodes', 'bytes', 'partitions', 'log_bytes', 'max_bytes' }) do
    reply[#reply + 1] = creator[field]
  end
end
return reply

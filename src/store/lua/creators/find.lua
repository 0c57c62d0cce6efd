#!lua flags=no-writes
--- @include "lib/require-open"
--- @include "lib/creators"
--[[ Reads what counts against one creator.

     KEYS    1 root
     ARGV    1 its name
     Returns { 'OK', name, nodes, bytes, partitions, log bytes, limit of bytes or -1 }; { 'OK' } if it has none
     Errors  none ]]
local name = ARGV[1]

local creator = creators.get(redis.call('HGET', keys.creators, name) or nil)
if not creator then return { 'OK' } end
return { 'OK', creator.name, creator.nodes, creator.bytes, creator.partitions, creator.log_bytes, creator.max_bytes }

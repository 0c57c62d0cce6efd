--- @include "lib/keys"
--- The fields of the root that every script which changes the tree needs: read by one command, before the script changes anything. A
--- field that the root does not have is false.
local root = {}
do
  local fields = redis.call('HMGET', keys.root, 'run', 'layout', 'zxid', 'event_bytes', 'event_count', 'creators', 'reaped_at', 'written_at', 'nodes', 'ephemeral_nodes')
  root.run, root.layout, root.zxid, root.event_bytes, root.event_count, root.creators = unpack(fields, 1, 6)
  root.reaped_at, root.written_at, root.nodes, root.ephemeral_nodes = unpack(fields, 7, 10)
end

--- @include "lib/keys"
--- The fields of the root that every script which changes the tree needs: read by one command, before the script changes anything. A
--- field that the root does not have is false.
local root
do
  local fields = redis.call('HMGET', keys.root, 'run', 'layout', 'zxid', 'event_bytes', 'event_count', 'creators', 'reaped_at', 'written_at', 'nodes', 'ephemeral_nodes')
  root = {
    run = fields[1], layout = fields[2], zxid = fields[3], event_bytes = fields[4], event_count = fields[5], creators = fields[6],
    reaped_at = fields[7], written_at = fields[8], nodes = fields[9], ephemeral_nodes = fields[10],
  }
end

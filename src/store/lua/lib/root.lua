--- @include "lib/keys"
--- The fields of the root that every script reads which changes the tree, as they were at its begin: by one command for all. Those
--- that the root does not have are false.
local root = {}
do
  local fields = redis.call('HMGET', keys.root, 'run', 'layout', 'zxid', 'event_bytes', 'event_count')
  root.run, root.layout, root.zxid, root.event_bytes, root.event_count = unpack(fields)
end

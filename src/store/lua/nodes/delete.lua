#!lua flags=allow-oom
--- @include "lib/ops"
--[[ Deletes a node, or a whole subtree, as one transaction. A script of its own so that it is let through when the
     store is at its memory limit: deleting is how a user makes room.
     KEYS    1 root
     ARGV    as nodes/write.lua, with the operations delete and delete-recursive only
     Returns { 'OK', 0, zxid, 'delete', path, stat }
     Errors  INVALID_PATH, BAD_REQUEST (the root), NO_NODE, RESERVED_PATH, BAD_VERSION, NOT_EMPTY,
             TOO_LARGE (more nodes than one transaction deletes)
     Emits   one transaction of deleted, children before parents ]]
return ops.run(7, { privileged = ARGV[1] == '1', max_node_bytes = tonumber(ARGV[2]), event_retention = tonumber(ARGV[3]) })

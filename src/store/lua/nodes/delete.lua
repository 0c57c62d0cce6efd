#!lua flags=allow-oom
--- @include "lib/requests"
--[[ Deletes nodes, or whole subtrees. A script of its own so that it is let through when the store is at its memory limit:
     deleting is how a user makes room.
     KEYS    1 root
     ARGV    lib/requests.lua, with the operations delete and delete-recursive only
     Returns as nodes/write.lua
     Errors  IDEMPOTENCY_KEY_REUSED, TOO_MANY_REQUESTS (kept responses); BAD_REQUEST (the root), NO_NODE, RESERVED_PATH, BAD_VERSION, NOT_EMPTY,
             TOO_LARGE (more nodes than one transaction deletes)
     Emits   for each request one transaction of deleted, children before parents ]]
return requests.run()

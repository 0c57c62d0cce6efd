#!lua flags=allow-oom
--- @include "lib/requests"
--[[ Deletes nodes and subtrees. It does the same as nodes/write.lua, and runs at the memory limit, because
     deleting is how a user frees memory.

     KEYS    1 root
     ARGV    as lib/requests.lua, with the operations delete and delete-recursive only
     Returns as lib/requests.lua
     Errors  IDEMPOTENCY_KEY_REUSED, TOO_MANY_REQUESTS (stored responses); with a sequence SESSION_EXPIRED, SESSION_MOVED,
             OUT_OF_ORDER_SEQUENCE (fields seq, lastSeq, zxid); then of the first operation that fails, with its index
             in the field failed: BAD_REQUEST (the root), NO_NODE, RESERVED_PATH, BAD_VERSION, NOT_EMPTY, TOO_LARGE (more
             nodes or bytes than one transaction deletes)
     Emits   one transaction of deleted for each request, children before parents ]]
return requests.run()

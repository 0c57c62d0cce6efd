#!lua
--- @include "lib/requests"
--[[ Applies requests to the tree. The operations of one request are one transaction: all or nothing, one zxid.

     KEYS    1 root
     ARGV    as lib/requests.lua
     Returns as lib/requests.lua
     Errors  IDEMPOTENCY_KEY_REUSED, TOO_MANY_REQUESTS (stored responses); with a sequence SESSION_EXPIRED, SESSION_MOVED,
             OUT_OF_ORDER_SEQUENCE (fields seq, lastSeq, zxid); then of the first operation that fails, with its index
             in the field failed:
             create: SESSION_EXPIRED, SESSION_MOVED, NO_PARENT, RESERVED_PATH, NODE_EXISTS, NO_CHILDREN_FOR_EPHEMERALS, TOO_LARGE,
                     QUOTA_EXCEEDED
             set:    SESSION_EXPIRED, SESSION_MOVED, NO_NODE, RESERVED_PATH, NODE_EXISTS (of another kind), TOO_LARGE, QUOTA_EXCEEDED, BAD_VERSION
             delete: BAD_REQUEST (the root), NO_NODE, RESERVED_PATH, BAD_VERSION, NOT_EMPTY
             check:  NODE_EXISTS, NO_NODE, BAD_VERSION
             partitions: INVALID_PARTITIONS, QUOTA_EXCEEDED
     Emits   one transaction of created, changed, deleted for each request ]]
return requests.run()

#!lua
--- @include "lib/requests"
--- @include "lib/transfers"
--[[ Imports nodes, copies and moves subtrees (lib/transfers.lua). The operations of one request are one transaction.

     KEYS    1 root
     ARGV    as lib/requests.lua, with the operations import, copy and move only
     Returns as lib/requests.lua
     Errors  IDEMPOTENCY_KEY_REUSED, TOO_MANY_REQUESTS (stored responses); then of the first operation that fails, with its index in
             the field failed:
             import: NO_PARENT, RESERVED_PATH, NODE_EXISTS (with other content, or of another kind), NO_CHILDREN_FOR_EPHEMERALS,
                     TOO_LARGE, QUOTA_EXCEEDED
             copy, move: RESERVED_PATH, NO_NODE, NO_PARENT, NODE_EXISTS, NO_CHILDREN_FOR_EPHEMERALS (also: an ephemeral node is not
                     moved), TOO_LARGE, INVALID_PATH (a new path is too long), QUOTA_EXCEEDED
     Emits   one transaction of created, changed, deleted for each request; created parents before children, deleted the reverse ]]
return requests.run()

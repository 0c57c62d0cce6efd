#!lua
--- @include "lib/ops"
--- @include "lib/idempotency"
--[[ Applies one or more operations on the tree as one transaction: all or nothing, one zxid.
     KEYS    1 root
     ARGV    1 privileged ('1' = may write reserved paths)  2 largest data of a node, bytes  3 transactions to keep
             4 idempotency key or ''  5 fingerprint of the request  6 how long to keep the answer, ms
             7… the operations, ops.WIDTH words each (lib/ops.lua, ops.read)
     Returns { 'OK', replayed, zxid, (op, path, stat)… }
     Errors  IDEMPOTENCY_KEY_REUSED; then of the first operation that fails, with its index in `failed`:
             create: SESSION_EXPIRED, NO_PARENT, RESERVED_PATH, INVALID_PATH, NODE_EXISTS,
                     NO_CHILDREN_FOR_EPHEMERALS, TOO_LARGE
             set:    INVALID_PATH, NO_NODE, RESERVED_PATH, TOO_LARGE, BAD_VERSION
             delete: INVALID_PATH, BAD_REQUEST (the root), NO_NODE, RESERVED_PATH, BAD_VERSION, NOT_EMPTY
             check:  INVALID_PATH, NODE_EXISTS, NO_NODE, BAD_VERSION
     Emits   one transaction of created, changed, deleted ]]
local replay = idempotency.find(ARGV[4], ARGV[5])
if replay then return replay end
local reply = ops.run(7, {
  privileged = ARGV[1] == '1',
  max_node_bytes = tonumber(ARGV[2]),
  event_retention = tonumber(ARGV[3]),
})
if reply[1] == 'OK' then idempotency.keep(ARGV[4], ARGV[5], ARGV[6], reply) end
return reply

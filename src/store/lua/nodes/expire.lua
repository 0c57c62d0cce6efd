#!lua flags=allow-oom
--- @include "lib/require-open"
--- @include "lib/txn"
--[[ Removes containers and TTL nodes that are due (guarantee N7): a container once it has no children, if it ever had one or
     was never used for a while; a TTL node without children that was not set for its time. Brokers call it in turn; it
     decides by what it finds, so calls at once do no harm. A node that is not due yet is looked at again when it may be; one
     with children when they change, as every change of a container or TTL node puts it back on the list (lib/txn.lua, store).
     KEYS    1 root
     ARGV    1 most nodes to look at  2 how long a container that was never used is kept, ms  3 transactions to keep
     Returns { 'OK', looked at, removed }
     Errors  none
     Emits   one transaction of deleted, if any was due ]]
local limit, unused_ms = tonumber(ARGV[1]), tonumber(ARGV[2])
local due = redis.call('ZRANGE', keys.transients, '-inf', now_ms, 'BYSCORE', 'LIMIT', 0, limit)
local removed = 0
for _, path in ipairs(due) do
  local node = txn.node(path)
  local due_ms
  if not node or node.num_children > 0 then
    redis.call('ZREM', keys.transients, path)
  elseif node.mode == 'ttl' then
    due_ms = node.mtime + node.ttl_ms
  else
    due_ms = node.created > 0 and now_ms or node.ctime + unused_ms
  end
  if due_ms and due_ms <= now_ms then
    txn.delete(node)
    removed = removed + 1
  elseif due_ms then
    redis.call('ZADD', keys.transients, due_ms, path)
  end
end
txn.commit(tonumber(ARGV[3]))
return { 'OK', #due, removed }

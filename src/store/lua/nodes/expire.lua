#!lua flags=allow-oom
--- @include "lib/require-open"
--- @include "lib/txn"
--[[ Deletes containers and TTL nodes that are due (guarantee N7): a container without children, if it had one before or was
     never used for a while; a TTL node without children whose time has passed since it was last set. All
     brokers call it at intervals. Calls at the same time do no harm, as each reads the nodes before it deletes them. A node
     that is not due yet stays in the set of due times, at a later time. A node with children leaves the set; the next change
     of the node or of its children adds it again (lib/txn.lua, store).

     KEYS    1 root
     ARGV    1 most nodes to check  2 time that a container without use is kept, ms  3 transactions to retain in the event stream
     Returns { 'OK', number of nodes checked, number of nodes deleted }
     Errors  none
     Emits   one transaction of deleted, if any node was due ]]
local limit, unused_ms, event_retention = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

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
txn.commit(event_retention)
return { 'OK', #due, removed }

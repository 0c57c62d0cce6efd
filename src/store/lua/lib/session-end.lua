--- @include "lib/require-open"
--- @include "lib/txn"
--- @include "lib/session"
--- Ends a session and deletes its ephemeral nodes in one transaction (guarantee N5), which the caller writes. Returns their number.
function session.finish(id)
  local paths = redis.call('SMEMBERS', keys.ephemerals(id))
  table.sort(paths)
  for _, path in ipairs(paths) do
    local node = txn.node(path)
    if node and node.owner == id then txn.delete(node) end
  end
  redis.call('DEL', keys.session(id), keys.ephemerals(id), keys.results(id))
  redis.call('HDEL', keys.ephemeral_bytes, id)
  redis.call('ZREM', keys.sessions, id)
  txn.finish()
  return #paths
end

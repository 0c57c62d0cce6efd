--- @include "lib/keys"
--- @include "lib/clock"
--- @include "lib/text"
--- @include "lib/stat"
--- @include "lib/events"
--[[ Transactions on the tree: a unit of work. Nodes are loaded once and changed in memory, so that later operations see
     earlier ones; a failed operation is answered before anything was written, and so changes nothing (guarantee N4).
     Each transaction that is finished is one zxid and one entry of the event stream.

     A script may finish several transactions before it writes: to the store a script is one moment, so nobody sees less of
     it, and a node that several of them change is written once. Redis has no rollback: whatever can fail must fail before
     write(), and the events are its last write. ]]
local txn = {
  -- By path: the node, or false if there is none; as all transactions up to now have left it.
  loaded = {},
  -- Nodes that differ from what is stored.
  touched = {},
  -- Transactions that were finished and not written.
  finished = {},
  -- By session: how many ephemeral nodes it has, where that was asked for.
  owned = {},
}

--- The zxid of the newest transaction, finished ones with it.
function txn.newest()
  if not txn.newest_zxid then
    local zxid, event_bytes = unpack(redis.call('HMGET', keys.root, 'zxid', 'event_bytes'))
    txn.newest_zxid, txn.event_bytes = tonumber(zxid or '0'), tonumber(event_bytes or '0')
  end
  return txn.newest_zxid
end

--- The zxid of this transaction, if it changes anything.
function txn.zxid() return txn.newest() + 1 end

--- The node as this transaction sees it, or nil. The result is shared: change it only through the functions below.
function txn.node(path)
  local node = txn.loaded[path]
  if node == nil then
    local packed = redis.call('HGET', keys.node(path), 'stat')
    node = packed and stat.parse(packed) or false
    if node then
      node.path, node.stored = path, true
    end
    txn.loaded[path] = node
  end
  if not node or node.deleted then return nil end
  return node
end

--- How many ephemeral nodes a session has, as this transaction sees it.
function txn.owned_by(session_id)
  local count = txn.owned[session_id]
  if not count then
    count = redis.call('SCARD', keys.ephemerals(session_id))
    txn.owned[session_id] = count
  end
  return count
end

local function touch(node)
  node.stat = nil
  if not node.touched then
    node.touched = true
    txn.touched[#txn.touched + 1] = node
  end
end

function txn.parent_path(path)
  local parent = string.match(path, '^(.*)/[^/]*$')
  return parent == '' and '/' or parent
end

function txn.name(path) return string.match(path, '[^/]*$') end

--- Creates a node; the caller has made sure that it may. `owner` is a session id for ephemeral nodes.
function txn.create(path, data, content_type, mode, ttl_ms, owner)
  local zxid = txn.zxid()
  local parent = txn.node(txn.parent_path(path))
  local before = txn.loaded[path]
  if owner then txn.owned[owner] = txn.owned_by(owner) + 1 end
  local node = {
    path = path,
    czxid = zxid,
    mzxid = zxid,
    pzxid = zxid,
    ctime = now_ms,
    mtime = now_ms,
    version = 0,
    created = 0,
    data_length = #data,
    num_children = 0,
    owner = owner,
    mode = mode,
    ttl_ms = ttl_ms or 0,
    data = data,
    content_type = content_type,
    -- Deleted and created again before anything was written: what is stored must be cleared first, and its owner let go.
    replaces = before and (before.replaces or (before.stored and before)) or nil,
  }
  txn.loaded[path] = node
  touch(node)
  parent.created = parent.created + 1
  parent.num_children = parent.num_children + 1
  parent.pzxid = zxid
  touch(parent)
  events.created(node)
  return node
end

function txn.set(node, data, content_type)
  node.mzxid = txn.zxid()
  node.mtime = now_ms
  node.version = stat.next_version(node.version)
  node.data_length = #data
  node.data, node.content_type = data, content_type
  touch(node)
  events.changed(node)
end

--- Deletes a node; the caller has made sure that it has no children left.
function txn.delete(node)
  local parent = txn.node(txn.parent_path(node.path))
  local zxid = txn.zxid()
  node.deleted = true
  if node.owner then txn.owned[node.owner] = txn.owned_by(node.owner) - 1 end
  touch(node)
  parent.num_children = parent.num_children - 1
  parent.pzxid = zxid
  touch(parent)
  events.deleted(node)
end

local function erase(node)
  redis.call('DEL', keys.node(node.path))
  redis.call('ZREM', keys.children(txn.parent_path(node.path)), txn.name(node.path))
  if node.owner then redis.call('SREM', keys.ephemerals(node.owner), node.path) end
  if node.mode == 'container' or node.mode == 'ttl' then redis.call('ZREM', keys.transients, node.path) end
end

local function store(node)
  local fresh = not node.stored
  if node.replaces then erase(node.replaces) end
  if node.data then
    redis.call('HSET', keys.node(node.path), 'stat', stat.of(node), 'data', node.data, 'type', node.content_type)
  else
    redis.call('HSET', keys.node(node.path), 'stat', stat.of(node))
  end
  if fresh then
    if node.path ~= '/' then redis.call('ZADD', keys.children(txn.parent_path(node.path)), 0, txn.name(node.path)) end
    if node.owner then redis.call('SADD', keys.ephemerals(node.owner), node.path) end
  end
  -- The housekeeper looks at a container or TTL node when it may be due; a change only ever moves that later.
  if node.mode == 'ttl' then
    redis.call('ZADD', keys.transients, node.mtime + node.ttl_ms, node.path)
  elseif node.mode == 'container' then
    redis.call('ZADD', keys.transients, now_ms, node.path)
  end
  node.stored, node.data, node.replaces = true, nil, nil
end

--- Ends the transaction and begins the next. Returns its zxid; an empty one is none, and has the zxid of the last.
function txn.finish()
  local entry = events.take()
  if entry then
    entry.zxid = txn.zxid()
    txn.newest_zxid = entry.zxid
    txn.finished[#txn.finished + 1] = entry
  end
  return txn.newest()
end

--- Forgets what the transaction has changed so far. Only for one that began with everything written: what it has changed
--- in memory cannot be told from what earlier ones have.
function txn.abandon()
  if events.take() then txn.loaded, txn.touched, txn.owned = {}, {}, {} end
end

--- Writes all finished transactions; there must be no unfinished one. `retention` = how many transactions to keep for
--- watchers that resume.
function txn.write(retention)
  if #txn.finished == 0 then return end
  for _, node in ipairs(txn.touched) do
    node.touched = nil
    if txn.loaded[node.path] == node then
      if not node.deleted then
        store(node)
      else
        local stored = node.stored and node or node.replaces
        if stored then erase(stored) end
        txn.loaded[node.path] = false
      end
    end
  end
  for _, entry in ipairs(txn.finished) do
    txn.event_bytes = txn.event_bytes + #entry.main
    entry.total = txn.event_bytes
  end
  redis.call('HSET', keys.root, 'zxid', whole(txn.newest_zxid), 'event_bytes', whole(txn.event_bytes))
  events.append(txn.finished, retention)
  txn.touched, txn.finished = {}, {}
end

--- Ends the transaction and writes it. Returns its zxid, as finish().
function txn.commit(retention)
  local zxid = txn.finish()
  txn.write(retention)
  return zxid
end

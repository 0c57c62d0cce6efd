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
  -- By session: how many ephemeral nodes it has, and the bytes of the transaction that deletes them, where that was asked for.
  owned = {},
}

--- What the deletion of a node counts for in the bytes of a transaction: its path, and its event (lib/events.lua, lib/stat.lua).
function txn.deletion_bytes(path) return 2 * #path + 96 end

-- So many members of a command at once: Lua's stack has room for some thousands.
local BATCH = 500

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

--- How many partitions there are in the cluster, as this transaction sees it.
function txn.partition_count()
  if txn.partitions then return txn.partitions end
  local stored = redis.call('HGET', keys.root, 'partitions')
  if stored then return tonumber(stored) end
  local count = 0
  for _, topic in ipairs(redis.call('ZRANGE', keys.children('/brokers/topics'), 0, -1)) do
    local packed = redis.call('HGET', keys.node('/brokers/topics/' .. topic .. '/partitions'), 'stat')
    if packed then count = count + stat.parse(packed).num_children end
  end
  return count
end

--- The bytes of the transaction that ends a session with these nodes.
local function weight_of(paths)
  local bytes = 0
  for _, path in ipairs(paths) do bytes = bytes + txn.deletion_bytes(path) end
  return bytes
end

--- What a session owns, as this transaction sees it: { count, bytes }. The bytes are kept beside the sessions; where they are not,
--- as the nodes are older than that, they are counted once.
function txn.owned_by(session_id)
  local owned = txn.owned[session_id]
  if not owned then
    local count = redis.call('SCARD', keys.ephemerals(session_id))
    local bytes = 0
    if count > 0 then
      bytes = redis.call('HGET', keys.ephemeral_bytes, session_id)
        or weight_of(redis.call('SMEMBERS', keys.ephemerals(session_id)))
    end
    owned = { count = count, bytes = tonumber(bytes) }
    txn.owned[session_id] = owned
  end
  return owned
end

--- Notes that a session has one node more (1) or less (-1).
local function own(session_id, path, by)
  local owned = txn.owned_by(session_id)
  owned.count = owned.count + by
  owned.bytes = owned.bytes + by * txn.deletion_bytes(path)
  owned.changed = true
end

local function touch(node)
  node.stat = nil
  if not node.touched then
    node.touched = true
    txn.touched[#txn.touched + 1] = node
  end
end

--- Where the last slash is. A pattern would look at each letter for it, and paths may be long.
local function last_slash(path)
  local at, found = 1, 1
  while found do
    at = found
    found = string.find(path, '/', at + 1, true)
  end
  return at
end

function txn.parent_path(path)
  local at = last_slash(path)
  return at == 1 and '/' or string.sub(path, 1, at - 1)
end

--- Creates a node; the caller has made sure that it may. `owner` is a session id for ephemeral nodes.
function txn.create(path, data, content_type, mode, ttl_ms, owner)
  local zxid = txn.zxid()
  local parent = txn.node(txn.parent_path(path))
  local before = txn.loaded[path]
  if owner then own(owner, path, 1) end
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
  if node.owner then own(node.owner, node.path, -1) end
  touch(node)
  parent.num_children = parent.num_children - 1
  parent.pzxid = zxid
  touch(parent)
  events.deleted(node)
end

--- Adds a member to the list that `lists` has for a key.
local function add(lists, key, member)
  local list = lists[key]
  if not list then
    list = {}
    lists[key] = list
  end
  list[#list + 1] = member
end

--- One command for many members of a key, as a call costs more than a member.
local function for_each(lists, command)
  for key, members in pairs(lists) do
    for i = 1, #members, BATCH do redis.call(command, key, unpack(members, i, math.min(i + BATCH - 1, #members))) end
  end
end

local function erase(node, gone)
  local at = last_slash(node.path)
  gone.nodes[#gone.nodes + 1] = keys.node(node.path)
  add(gone.children, keys.children(at == 1 and '/' or string.sub(node.path, 1, at - 1)), string.sub(node.path, at + 1))
  if node.owner then add(gone.ephemerals, keys.ephemerals(node.owner), node.path) end
  if node.mode == 'container' or node.mode == 'ttl' then redis.call('ZREM', keys.transients, node.path) end
end

local function store(node, fresh)
  if node.data then
    redis.call('HSET', keys.node(node.path), 'stat', stat.of(node), 'data', node.data, 'type', node.content_type)
  else
    redis.call('HSET', keys.node(node.path), 'stat', stat.of(node))
  end
  if not node.stored then
    if node.path ~= '/' then
      local at = last_slash(node.path)
      local children = keys.children(at == 1 and '/' or string.sub(node.path, 1, at - 1))
      -- Each with its score before it.
      add(fresh.children, children, 0)
      add(fresh.children, children, string.sub(node.path, at + 1))
    end
    if node.owner then add(fresh.ephemerals, keys.ephemerals(node.owner), node.path) end
  end
  -- The housekeeper looks at a container or TTL node when it may be due; a change only ever moves that later.
  if node.mode == 'ttl' then
    redis.call('ZADD', keys.transients, node.mtime + node.ttl_ms, node.path)
  elseif node.mode == 'container' then
    redis.call('ZADD', keys.transients, now_ms, node.path)
  end
  node.stored, node.data, node.replaces = true, nil, nil
end

--- Writes the nodes that differ from what is stored. What goes is gone before anything comes in its place.
local function write_nodes()
  local gone = { nodes = {}, children = {}, ephemerals = {} }
  for _, node in ipairs(txn.touched) do
    node.touched = nil
    if txn.loaded[node.path] == node then
      local stored = node.deleted and node.stored and node or node.replaces
      if stored then erase(stored, gone) end
      if node.deleted then txn.loaded[node.path] = false end
    end
  end
  for i = 1, #gone.nodes, BATCH do
    redis.call('DEL', unpack(gone.nodes, i, math.min(i + BATCH - 1, #gone.nodes)))
  end
  for_each(gone.children, 'ZREM')
  for_each(gone.ephemerals, 'SREM')
  local fresh = { children = {}, ephemerals = {} }
  for _, node in ipairs(txn.touched) do
    if txn.loaded[node.path] == node then store(node, fresh) end
  end
  for_each(fresh.children, 'ZADD')
  for_each(fresh.ephemerals, 'SADD')
  for session_id, owned in pairs(txn.owned) do
    if owned.changed then
      if owned.count > 0 then
        redis.call('HSET', keys.ephemeral_bytes, session_id, whole(owned.bytes))
      else
        redis.call('HDEL', keys.ephemeral_bytes, session_id)
      end
      owned.changed = nil
    end
  end
end

--- Ends the transaction and begins the next. Returns its zxid; an empty one is none, and has the zxid of the last.
function txn.finish()
  local entry = events.take()
  txn.finished_partitions = txn.partitions
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
  -- Those that finished before it have counted, and are perhaps not written yet.
  txn.partitions = txn.finished_partitions
  if events.take() then txn.loaded, txn.touched, txn.owned = {}, {}, {} end
end

--- Writes all finished transactions; there must be no unfinished one. `retention` = how many transactions to keep for
--- watchers that resume.
function txn.write(retention)
  if #txn.finished == 0 then return end
  write_nodes()
  for _, entry in ipairs(txn.finished) do
    txn.event_bytes = txn.event_bytes + #entry.main
    entry.total = txn.event_bytes
  end
  if txn.partitions then redis.call('HSET', keys.root, 'partitions', whole(txn.partitions)) end
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

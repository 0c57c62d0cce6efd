--- @include "lib/keys"
--- @include "lib/root"
--- @include "lib/clock"
--- @include "lib/text"
--- @include "lib/stat"
--- @include "lib/events"
--- @include "lib/creators"
--- @include "lib/late"
--[[ Transactions on the tree: a unit of work. Nodes are loaded once and changed in memory, so that later operations see the
     changes of earlier ones. An operation fails before anything is written, and so changes nothing (guarantee N4). Each
     finished transaction has one zxid. Those that are written together are one entry of the event stream (lib/events.lua).

     A script may finish several transactions before it writes: scripts are atomic, so no reader sees a part of them, and a
     node that several of them change is written once. Redis has no rollback: whatever can fail must fail before write(),
     and the events are its last write. ]]
local txn = {
  -- By path: the node after all transactions so far, or false if there is none.
  loaded = {},
  -- Nodes that differ from what is stored.
  touched = {},
  -- How many transactions are finished and not yet written.
  finished = 0,
  -- By session, where it was read: the number of its ephemeral nodes, and the bytes of the transaction that deletes them.
  owned = {},
  -- How many nodes, and how many ephemeral ones among them, there are more than stored; and with the finished transactions only.
  added = 0, added_ephemerals = 0, finished_added = 0, finished_added_ephemerals = 0,
  -- Whether stored nodes are to be erased.
  has_gone = false,
  -- What newest() and partition_count() return, once it is known; the second also with the finished transactions only.
  newest_zxid = false, partitions = false, finished_partitions = false,
}

-- As src/broker/sessions/session-reaper.ts has it.
local OUTAGE_MS = 1000

--- Whether the store was of no use for longer than `outage_ms` until now: no expired sessions were searched, and nothing was
--- written to the tree. While there are writes, sessions can be renewed, however late the search is: it may wait behind large
--- transactions. A store that was never searched is a new one.
function txn.was_outage(outage_ms)
  if not root.reaped_at then return false end
  local reaped_at = tonumber(root.reaped_at)
  return reaped_at == 0 or now_ms - math.max(reaped_at, tonumber(root.written_at or '0')) > outage_ms
end

--- The bytes of a node's deletion within a transaction: its path, and its event (lib/events.lua, lib/stat.lua).
function txn.deletion_bytes(path) return 2 * #path + 96 end

-- How many members one command gets: Lua's stack holds some thousands.
local BATCH = 500

--- The zxid of the newest transaction, finished ones included.
function txn.newest()
  if not txn.newest_zxid then
    txn.newest_zxid = tonumber(root.zxid or '0')
  end
  return txn.newest_zxid
end

--- The zxid of this transaction, if it changes anything.
function txn.zxid() return txn.newest() + 1 end

--- The node as this transaction sees it, or nil. The result is shared: change it only through the functions below.
function txn.node(path)
  local node = txn.loaded[path]
  if node == nil then
    local packed, creator
    if root.creators then
      packed, creator = unpack(redis.call('HMGET', keys.node(path), 'stat', 'creator'))
    else
      packed = redis.call('HGET', keys.node(path), 'stat')
    end
    node = packed and stat.parse(packed) or false
    if node then
      node.path = path
      if creator then node.creator = creator end
    end
    txn.loaded[path] = node
  end
  if not node or node.deleted then return nil end
  return node
end

--- The bytes of a node that count against its creator (lib/creators.lua).
function txn.counted_bytes(path, data_length) return #path + data_length end

local function touch(node)
  node.stat = nil
  if not node.touched then
    node.touched = true
    txn.touched[#txn.touched + 1] = node
  end
end

--- The position of the last slash. A pattern would examine each character, and paths may be long.
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

--- Creates a node. The caller has checked that this is allowed. `owner` is the session id of an ephemeral node, else nil; `creator`
--- is against whom it counts, or nil.
function txn.create(path, data, content_type, mode, ttl_ms, owner, creator)
  local zxid = txn.zxid()
  local parent = txn.node(txn.parent_path(path))
  local before = txn.loaded[path]
  if owner then txn.own(owner, path, 1) end
  txn.added = txn.added + 1
  if creator then
    creators.count(creator, 'nodes', 1)
    creators.count(creator, 'bytes', txn.counted_bytes(path, #data))
  end
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
    mode = mode,
    data = data,
    content_type = content_type,
    is_new = true,
  }
  if owner then node.owner = owner end
  if creator then node.creator = creator.number end
  if mode == 'ttl' then node.ttl_ms = ttl_ms end
  -- The stored node that this one replaces, if it was deleted and created again before the write: it must be erased first.
  if before then node.replaces = before.replaces or not before.is_new and before or nil end
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
  if node.creator then creators.count(creators.get(node.creator), 'bytes', #data - node.data_length) end
  node.data_length = #data
  node.data, node.content_type = data, content_type
  touch(node)
  events.changed(node)
end

--- Appends members to the list of a key in `lists`.
local function add(lists, key, member, second)
  local list = lists[key]
  if not list then
    list = {}
    lists[key] = list
  end
  local count = #list
  list[count + 1], list[count + 2] = member, second
end

--- Calls one command for many members of a key, as a call costs more than a member.
local function for_each(lists, command)
  for key, members in pairs(lists) do
    for i = 1, #members, BATCH do redis.call(command, key, unpack(members, i, math.min(i + BATCH - 1, #members))) end
  end
end

local function store(node, fresh)
  if node.data and node.creator and node.is_new then
    redis.call('HSET', keys.node(node.path), 'stat', stat.of(node), 'data', node.data, 'type', node.content_type, 'creator', node.creator)
  elseif node.data then
    redis.call('HSET', keys.node(node.path), 'stat', stat.of(node), 'data', node.data, 'type', node.content_type)
  else
    redis.call('HSET', keys.node(node.path), 'stat', stat.of(node))
  end
  if node.is_new then
    if node.path ~= '/' then
      local at = last_slash(node.path)
      local children = keys.children(at == 1 and '/' or string.sub(node.path, 1, at - 1))
      -- Each name follows its score, as ZADD takes them.
      add(fresh.children, children, 0, string.sub(node.path, at + 1))
    end
    if node.owner then add(fresh.ephemerals, keys.ephemerals(node.owner), node.path) end
  end
  -- The housekeeper looks at a container or TTL node when it may be due; a change only ever moves that later.
  if node.mode == 'ttl' then
    redis.call('ZADD', keys.transients, node.mtime + node.ttl_ms, node.path)
  elseif node.mode == 'container' then
    redis.call('ZADD', keys.transients, now_ms, node.path)
  end
  if node.is_new then node.is_new, node.replaces = nil, nil end
  node.data = nil
end

--- Writes the nodes that differ from what is stored. Deletions come first: a new node may have the path of a deleted one.
local function write_nodes()
  if txn.has_gone then txn.erase_gone() end
  local fresh = { children = {}, ephemerals = {} }
  for _, node in ipairs(txn.touched) do
    node.touched = nil
    if txn.loaded[node.path] == node then store(node, fresh) end
  end
  for_each(fresh.children, 'ZADD')
  for_each(fresh.ephemerals, 'SADD')
  if next(txn.owned) then txn.write_owned() end
end

--- Ends the transaction and begins the next. Returns its zxid; an empty transaction gets none, and returns the newest zxid.
function txn.finish()
  txn.finished_partitions = txn.partitions
  txn.finished_added, txn.finished_added_ephemerals = txn.added, txn.added_ephemerals
  if events.any() then
    local zxid = txn.zxid()
    events.finish(zxid)
    txn.newest_zxid = zxid
    txn.finished = txn.finished + 1
  end
  return txn.newest()
end

--- Writes all finished transactions; there must be no unfinished one. `retention` = how many transactions the event stream
--- retains for watchers that resume.
function txn.write(retention)
  if txn.finished == 0 then return end
  write_nodes()
  if creators.has_changed then creators.write() end
  local fields = { 'zxid', whole(txn.newest_zxid), 'written_at', whole(now_ms) }
  -- The first script after an outage may be a write: the next search for expired sessions must still find out.
  if txn.was_outage(OUTAGE_MS) then
    fields[#fields + 1] = 'reaped_at'
    fields[#fields + 1] = '0'
  end
  events.add_root_fields(fields)
  if txn.added ~= 0 then
    root.nodes = whole(root.nodes + txn.added)
    fields[#fields + 1] = 'nodes'
    fields[#fields + 1] = root.nodes
  end
  if txn.added_ephemerals ~= 0 then
    root.ephemeral_nodes = whole(root.ephemeral_nodes + txn.added_ephemerals)
    fields[#fields + 1] = 'ephemeral_nodes'
    fields[#fields + 1] = root.ephemeral_nodes
  end
  txn.added, txn.added_ephemerals, txn.finished_added, txn.finished_added_ephemerals = 0, 0, 0, 0
  if txn.partitions then
    fields[#fields + 1] = 'partitions'
    fields[#fields + 1] = whole(txn.partitions)
  end
  redis.call('HSET', keys.root, unpack(fields))
  events.append(retention)
  txn.touched, txn.finished = {}, 0
end

--- Ends the transaction and writes it. Returns the same zxid as finish().
function txn.commit(retention)
  local zxid = txn.finish()
  txn.write(retention)
  return zxid
end

late(txn, function()
  --- The number of partitions in the cluster, as this transaction sees it.
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

  --- The ephemeral nodes of a session, as this transaction sees them: { count, bytes }. The bytes are stored; for nodes that an
  --- older version created they are not, and are counted once.
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

  --- Counts one ephemeral node more (by = 1) or less (by = -1) of a session.
  function txn.own(session_id, path, by)
    txn.added_ephemerals = txn.added_ephemerals + by
    local owned = txn.owned_by(session_id)
    owned.count = owned.count + by
    owned.bytes = owned.bytes + by * txn.deletion_bytes(path)
    owned.changed = true
  end

  --- Deletes a node. The caller has checked that it has no children.
  function txn.delete(node)
    local parent = txn.node(txn.parent_path(node.path))
    local zxid = txn.zxid()
    node.deleted, txn.has_gone = true, true
    if node.owner then txn.own(node.owner, node.path, -1) end
    txn.added = txn.added - 1
    if node.creator then
      local creator = creators.get(node.creator)
      creators.count(creator, 'nodes', -1)
      creators.count(creator, 'bytes', -txn.counted_bytes(node.path, node.data_length))
    end
    touch(node)
    parent.num_children = parent.num_children - 1
    parent.pzxid = zxid
    touch(parent)
    events.deleted(node)
  end

  local function erase(node, gone)
    local at = last_slash(node.path)
    gone.nodes[#gone.nodes + 1] = keys.node(node.path)
    add(gone.children, keys.children(at == 1 and '/' or string.sub(node.path, 1, at - 1)), string.sub(node.path, at + 1))
    if node.owner then add(gone.ephemerals, keys.ephemerals(node.owner), node.path) end
    if node.mode == 'container' or node.mode == 'ttl' then redis.call('ZREM', keys.transients, node.path) end
  end

  --- Erases the stored nodes that were deleted, or deleted and created again.
  function txn.erase_gone()
    local gone = { nodes = {}, children = {}, ephemerals = {} }
    for _, node in ipairs(txn.touched) do
      if txn.loaded[node.path] == node then
        local stored = node.deleted and not node.is_new and node or node.replaces
        if stored then erase(stored, gone) end
        if node.deleted then txn.loaded[node.path] = false end
      end
    end
    for i = 1, #gone.nodes, BATCH do
      redis.call('DEL', unpack(gone.nodes, i, math.min(i + BATCH - 1, #gone.nodes)))
    end
    for_each(gone.children, 'ZREM')
    for_each(gone.ephemerals, 'SREM')
    txn.has_gone = false
  end

  --- Writes what sessions own, where it has changed.
  function txn.write_owned()
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

  --- Discards the changes of the transaction. Only for a transaction that began when everything was written: changes in
  --- memory do not say to which transaction they belong.
  function txn.abandon()
    -- Keeps the count of earlier transactions, which may not be written yet.
    txn.partitions = txn.finished_partitions
    txn.added, txn.added_ephemerals = txn.finished_added, txn.finished_added_ephemerals
    if events.any() then
      events.discard()
      txn.loaded, txn.touched, txn.owned = {}, {}, {}
      if creators.has_changed then creators.abandon() end
    end
  end
end)

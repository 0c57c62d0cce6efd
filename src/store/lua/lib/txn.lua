--- @include "lib/keys"
--- @include "lib/clock"
--- @include "lib/text"
--- @include "lib/stat"
--[[ One transaction on the tree: a unit of work. Nodes are loaded once and changed in memory, so that later operations
     see earlier ones; a failed operation is answered before anything was written, and so changes nothing (guarantee
     N4). commit() writes what changed and appends the events as its last write. Every commit is one zxid.
     Redis has no rollback: whatever can fail must fail before commit(). ]]
local txn = { now_ms = now_ms }

--- Begins the next transaction, in a script that makes several: what the last one has loaded is no longer so.
function txn.begin()
  txn.loaded, txn.touched, txn.events, txn.next_zxid = {}, {}, {}, nil
end
txn.begin()

local EVENT_DATA_BYTES_MAX = 16384
-- Trimming looks at the history once in so many transactions, as it costs more than it saves at every one; and after a
-- large one, as so many of those would be gigabytes.
local TRIM_EVERY = 128
local TRIM_AFTER_BYTES = 262144
local EVENTS_BYTES_MAX = 67108864

function txn.zxid()
  if not txn.next_zxid then txn.next_zxid = tonumber(redis.call('HGET', keys.root, 'zxid') or '0') + 1 end
  return txn.next_zxid
end

--- The node as this transaction sees it, or nil. The result is shared: change it only through the functions below.
function txn.node(path)
  local node = txn.loaded[path]
  if node == nil then
    local text = redis.call('HGET', keys.node(path), 'stat')
    node = text and stat.parse(text) or false
    if node then
      node.path, node.stored = path, true
    end
    txn.loaded[path] = node
  end
  if not node or node.deleted then return nil end
  return node
end

local function touch(node)
  node.stat = nil
  if not node.touched then
    node.touched = true
    txn.touched[#txn.touched + 1] = node
  end
end

local function emit(kind, node, data)
  txn.events[#txn.events + 1] = { kind = kind, node = node, data = data, stat = stat.of(node) }
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
  local node = {
    path = path,
    czxid = zxid,
    mzxid = zxid,
    pzxid = zxid,
    ctime = now_ms,
    mtime = now_ms,
    version = 0,
    created = 0,
    aversion = 0,
    data_length = #data,
    num_children = 0,
    owner = owner,
    mode = mode,
    ttl_ms = ttl_ms or 0,
    data = data,
    content_type = content_type,
    -- Deleted and created again in one transaction: what is stored must be cleared first, and its owner let go.
    replaces = before and (before.replaces or (before.stored and before)) or nil,
  }
  txn.loaded[path] = node
  touch(node)
  parent.created = parent.created + 1
  parent.num_children = parent.num_children + 1
  parent.pzxid = zxid
  touch(parent)
  emit('created', node, data)
  return node
end

function txn.set(node, data, content_type)
  node.mzxid = txn.zxid()
  node.mtime = now_ms
  node.version = stat.next_version(node.version)
  node.data_length = #data
  node.data, node.content_type = data, content_type
  touch(node)
  emit('changed', node, data)
end

--- Deletes a node; the caller has made sure that it has no children left.
function txn.delete(node)
  local parent = txn.node(txn.parent_path(node.path))
  local zxid = txn.zxid()
  node.deleted = true
  touch(node)
  parent.num_children = parent.num_children - 1
  parent.pzxid = zxid
  touch(parent)
  emit('deleted', node)
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
end

--- One event as the streams keep it: a head line of kind and length, then path, stat and (where data was written)
--- content type and data, one a line. All events of a transaction are one field, however many there are.
local function encode(event)
  local node, data = event.node, event.data
  local value = node.path .. '\n' .. event.stat
  if data then value = value .. '\n' .. node.content_type .. '\n' .. string.sub(data, 1, EVENT_DATA_BYTES_MAX) end
  return event.kind .. ' ' .. #value .. '\n' .. value
end

--[[ Offset commits would drown the history, so their events have a short stream of their own: what stands below
     /consumers/{group}/offsets goes there, the rest to the main stream. An entry's id is its zxid in both. Returns the bytes of the latter. ]]
local function append_events(zxid)
  local main, offsets = {}, {}
  for _, event in ipairs(txn.events) do
    local into = string.find(event.node.path, '^/consumers/[^/]+/offsets/') and offsets or main
    into[#into + 1] = encode(event)
  end
  local id = whole(zxid) .. '-0'
  -- A reader that got one half by itself is told so, and asks again: a transaction is never split (guarantee W2).
  local half = #offsets > 0 and #main > 0 and { 'half', '1' } or {}
  if #offsets > 0 then
    local events = table.concat(offsets)
    redis.call('XADD', keys.offset_events, 'MAXLEN', '~', keys.OFFSET_EVENTS_MAX, id, 'events', events, unpack(half))
  end
  if #main > 0 then
    local events = table.concat(main)
    local total = redis.call('HINCRBY', keys.root, 'event_bytes', #events)
    redis.call('XADD', keys.events, id, 'events', events, 'total', whole(total), unpack(half))
    return #events
  end
  return 0
end

--- Forgets the oldest history beyond the limits. `total` of an entry is the running sum of bytes up to and with it, so
--- what is kept weighs the newest sum less the oldest. `events_floor` is the zxid up to which history is forgotten:
--- who resumes from before it gets COMPACTED.
local function trim_events(retention)
  local forgotten = redis.call('XTRIM', keys.events, 'MAXLEN', '~', retention)
  local newest = tonumber(redis.call('HGET', keys.root, 'event_bytes') or '0')
  local first
  for _ = 1, 16 do
    local oldest = redis.call('XRANGE', keys.events, '-', '+', 'COUNT', 1)[1]
    if not oldest then return end
    first = tonumber(string.match(oldest[1], '^%d+'))
    local kept = newest - tonumber(oldest[2][4])
    local length = redis.call('XLEN', keys.events)
    if kept <= EVENTS_BYTES_MAX or length <= 1 then break end
    forgotten = forgotten
      + redis.call('XTRIM', keys.events, 'MAXLEN', math.floor(length * EVENTS_BYTES_MAX / kept * 0.9))
  end
  if forgotten > 0 then redis.call('HSET', keys.root, 'events_floor', whole(first - 1)) end
end

--- Writes the transaction. `retention` = how many transactions to keep for watchers that resume.
--- Returns its zxid; an empty transaction writes nothing and has the zxid of the last one.
function txn.commit(retention)
  if #txn.events == 0 then return txn.zxid() - 1 end
  local zxid = txn.zxid()
  redis.call('HSET', keys.root, 'zxid', whole(zxid))
  for _, node in ipairs(txn.touched) do
    if not node.deleted then
      if txn.loaded[node.path] == node then store(node) end
    elseif txn.loaded[node.path] == node then
      local stored = node.stored and node or node.replaces
      if stored then erase(stored) end
    end
  end
  local bytes = append_events(zxid)
  if zxid % TRIM_EVERY == 0 or bytes >= TRIM_AFTER_BYTES then trim_events(retention) end
  return zxid
end

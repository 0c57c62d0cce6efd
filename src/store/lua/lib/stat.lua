--[[ A node's stat as it is stored: packed, as every change reads and writes at least one. src/store/tree/node-codec.ts reads the
     same bytes. `created` counts successful child creations: it is ZooKeeper's stored cversion, and the sequence counter. The
     cversion that users get is 2 * created - num_children. There is no aversion, as nodes have no access lists. ]]
local stat = {}

-- In this order: czxid mzxid pzxid ctime mtime created, exact up to 2^53; version data_length num_children, 32 bits; mode. Then
-- its milliseconds for mode ttl, its session for mode ephemeral. Without these it is shorter than the 64 bytes up to which
-- Redis stores a small hash as a listpack.
local FORMAT = '>ddddddi4I4I4B'
local MODES = { 'persistent', 'ephemeral', 'container', 'ttl' }
local CODES = { persistent = 1, ephemeral = 2, container = 3, ttl = 4 }
local EPHEMERAL, TTL = 2, 4

--- The mode of a code; src/store/tree/node-codec.ts has the same order.
function stat.mode(code) return MODES[code] end

--- The fields of a node that every one has; with `path`, `data`, `content_type` and `touched` (lib/txn.lua) they are as many as
--- fit into a table of 16, the next larger of which takes twice the memory and time. So what few nodes have is left out: `owner`,
--- and `ttl_ms`.
function stat.parse(packed)
  local czxid, mzxid, pzxid, ctime, mtime, created, version, data_length, num_children, code, rest =
    struct.unpack(FORMAT, packed)
  local node = {
    czxid = czxid,
    mzxid = mzxid,
    pzxid = pzxid,
    ctime = ctime,
    mtime = mtime,
    created = created,
    version = version,
    data_length = data_length,
    num_children = num_children,
    mode = MODES[code],
    stat = packed,
  }
  if code == EPHEMERAL then
    node.owner = string.sub(packed, rest)
  elseif code == TTL then
    node.ttl_ms = struct.unpack('>d', packed, rest)
  end
  return node
end

--- The packed stat of a node. The store, the event and the result all need it, so it is cached until the node changes
--- (lib/txn.lua, touch).
function stat.of(node)
  if node.stat then return node.stat end
  local packed = struct.pack(
    FORMAT,
    node.czxid,
    node.mzxid,
    node.pzxid,
    node.ctime,
    node.mtime,
    node.created,
    node.version,
    node.data_length,
    node.num_children,
    CODES[node.mode]
  )
  if node.mode == 'ephemeral' then
    packed = packed .. node.owner
  elseif node.mode == 'ttl' then
    packed = packed .. struct.pack('>d', node.ttl_ms)
  end
  node.stat = packed
  return packed
end

--- ZooKeeper's version counter: signed 32 bits, wrapping, and never -1, which means "any" (ZOOKEEPER-4743).
function stat.next_version(version)
  if version == 2147483647 then return -2147483648 end
  if version == -2 then return 0 end
  return version + 1
end

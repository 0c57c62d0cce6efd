--- @include "lib/reserved"
--- @include "lib/txn"
--- @include "lib/session"
--[[ What the operations of the tree check (lib/ops.lua, lib/transfers.lua). Each function returns an error reply
     { code, detail, field, value, … }, or nil if nothing speaks against the operation. None changes anything. ]]
-- They are deleted in one transaction when the session ends (guarantee N5), which takes as long.
local EPHEMERALS_MAX = 8000
-- Most bytes of paths and events of one transaction; src/store/tree/transaction-limits.ts limits what a request contains.
local TRANSACTION_BYTES_MAX = 4194304
-- How many names of children one command reads, as names may be long.
local PAGE = 256

local function reserved_problem(path, privileged)
  if privileged or not RESERVED[string.match(path, '^/([^/]*)')] then return nil end
  return { 'RESERVED_PATH', path .. ' is kept by the service; it can be read and watched, not written.', 'path', path }
end

local function no_node(path)
  return { 'NO_NODE', 'Node ' .. path .. ' does not exist.', 'path', path }
end

--- Nodes of the service itself have limits of their own, such as the subscriptions of a group.
local function size_problem(op, limits)
  local max_node_bytes = limits.max_node_bytes
  if limits.privileged or #op.data <= max_node_bytes then return nil end
  return {
    'TOO_LARGE',
    op.path .. ' was given ' .. #op.data .. ' bytes; a node holds at most ' .. whole(max_node_bytes) .. '.',
    'path', op.path,
    'maxBytes', max_node_bytes,
  }
end

--- Sessions of the service itself are exempt: a member of a group owns no more nodes than there are partitions.
local function ephemerals_problem(op, privileged)
  if op.mode ~= 'ephemeral' or privileged then return nil end
  local owned = txn.owned_by(op.session)
  if owned.count >= EPHEMERALS_MAX then
    return {
      'TOO_LARGE',
      'Session ' .. op.session .. ' has ' .. whole(owned.count) .. ' ephemeral nodes; at most ' .. EPHEMERALS_MAX
        .. ' can end together. Use another session.',
      'path', op.path,
      'maxNodes', EPHEMERALS_MAX,
    }
  end
  if owned.bytes + txn.deletion_bytes(op.path) <= TRANSACTION_BYTES_MAX then return nil end
  return {
    'TOO_LARGE',
    'Session ' .. op.session .. ' has ' .. whole(owned.count) .. ' ephemeral nodes; with this one, the transaction that ends it would have'
      .. ' more than ' .. TRANSACTION_BYTES_MAX .. ' bytes, mostly paths. Use shorter names or another session.',
    'path', op.path,
    'bytes', owned.bytes,
    'maxBytes', TRANSACTION_BYTES_MAX,
  }
end

local function version_problem(op, node)
  local asked, is
  if op.version and op.version ~= -1 and op.version ~= node.version then
    asked, is = 'version ' .. whole(op.version), 'version ' .. whole(node.version)
  elseif op.mzxid and op.mzxid ~= node.mzxid then
    asked, is = 'mzxid ' .. whole(op.mzxid), 'mzxid ' .. whole(node.mzxid)
  end
  if not asked then return nil end
  return {
    'BAD_VERSION',
    'Node ' .. node.path .. ' is at ' .. is .. ', not at ' .. asked .. '; read it again.',
    'path', node.path,
    'version', node.version,
    'mzxid', node.mzxid,
  }
end

local function ephemeral_parent_problem(parent)
  if parent.mode ~= 'ephemeral' then return nil end
  return {
    'NO_CHILDREN_FOR_EPHEMERALS',
    'Node ' .. parent.path .. ' is ephemeral and cannot have children.',
    'path', parent.path,
  }
end

--- The missing ancestors of a path, topmost first, and the nearest one that exists.
local function missing_parents(path)
  local missing, at = {}, txn.parent_path(path)
  while not txn.node(at) do
    table.insert(missing, 1, at)
    at = txn.parent_path(at)
  end
  return missing, txn.node(at)
end

--- The error if a node and its missing parents are more than their creator may have, or nil.
local function creation_problem(creator, path, data, missing)
  if not creator then return nil end
  local bytes = txn.counted_bytes(path, #data)
  for _, ancestor in ipairs(missing) do bytes = bytes + txn.counted_bytes(ancestor, 0) end
  return creators.problem(creator, #missing + 1, bytes)
end

--- The error if data is more than the creator of the node may have, or nil. The limits are those of that identity, whoever writes.
local function growth_problem(op, node, limits)
  local creator = not limits.privileged and creators.get(node.creator) or nil
  if not creator then return nil end
  local wanted = limits.creator
  if wanted and wanted.name == creator.name then creator = creators.of(wanted) end
  return creators.problem(creator, 0, #op.data - node.data_length)
end

--- The kind of a node in words: its mode, with its session or ttl.
local function kind_of(mode, owner, ttl_ms)
  if mode == 'ephemeral' then return 'ephemeral of session ' .. owner end
  return mode == 'ttl' and 'ttl of ' .. whole(ttl_ms) .. ' ms' or mode
end

--- Setting data does not change the kind of a node, so a request for another kind fails: a node of that name exists.
local function kind_problem(op, node)
  local owner = op.mode == 'ephemeral' and op.session or nil
  if not op.mode or (op.mode == node.mode and (op.ttl_ms or 0) == (node.ttl_ms or 0) and owner == node.owner) then return nil end
  return {
    'NODE_EXISTS',
    'Node ' .. op.path .. ' exists as ' .. kind_of(node.mode, node.owner, node.ttl_ms) .. ', not as '
      .. kind_of(op.mode, op.session, op.ttl_ms) .. ' as asked for; leave mode, ttl and session out to set its data, or delete it first.',
    'path', op.path,
  }
end

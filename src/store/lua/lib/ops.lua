--- @include "lib/txn"
--- @include "lib/session"
--[[ The operations of the tree: each checks in ZooKeeper's order (guarantee N3), then changes the transaction. Each
     returns a result { op, path, stat }, or nil and an error reply { code, detail, field, value, … }. ]]
local ops = {}

local RESERVED = {
  brokers = true,
  controller = true,
  controller_epoch = true,
  cluster = true,
  consumers = true,
  config = true,
  admin = true,
}
-- One script must not hold the store for long: about 10 us a node, so a tenth of a second at this size.
local RECURSIVE_DELETE_MAX = 10000

--- How an operation comes in ARGV: ops.WIDTH strings from `first` on; '' stands for "not given".
ops.WIDTH = 14
function ops.read(first)
  return {
    op = ARGV[first],
    path = ARGV[first + 1],
    path_problem = ARGV[first + 2],
    data = ARGV[first + 3],
    content_type = ARGV[first + 4],
    mode = ARGV[first + 5],
    ttl_ms = tonumber(ARGV[first + 6]),
    session = ARGV[first + 7],
    secret_hash = ARGV[first + 8],
    sequential = ARGV[first + 9] == '1',
    parents = ARGV[first + 10] == '1',
    version = tonumber(ARGV[first + 11]),
    mzxid = tonumber(ARGV[first + 12]),
    -- Only for check: a czxid, or 'absent'.
    expected = ARGV[first + 13],
  }
end

local function reserved_problem(op, privileged)
  if privileged or not RESERVED[string.match(op.path, '^/([^/]*)')] then return nil end
  return { 'RESERVED_PATH', op.path .. ' is kept by the service; it can be read and watched, not written.', 'path', op.path }
end

local function path_problem(op)
  if op.path_problem == '' then return nil end
  return { 'INVALID_PATH', op.path_problem, 'path', op.path }
end

local function no_node(path)
  return { 'NO_NODE', 'Node ' .. path .. ' does not exist.', 'path', path }
end

local function size_problem(op, max_node_bytes)
  if #op.data <= max_node_bytes then return nil end
  return {
    'TOO_LARGE',
    op.path .. ' was given ' .. #op.data .. ' bytes; a node holds at most ' .. whole(max_node_bytes) .. '.',
    'path', op.path,
    'maxBytes', max_node_bytes,
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

function ops.create(op, limits)
  if op.session ~= '' then
    local problem = session.problem(op.session, op.secret_hash)
    if problem then return nil, problem end
  end
  local parent_path = txn.parent_path(op.path)
  if not parent_path then return nil, path_problem(op) end
  local parent, missing = txn.node(parent_path), {}
  if not parent then
    if op.parents and op.path_problem ~= '' then
      return nil, reserved_problem(op, limits.privileged) or path_problem(op)
    end
    if not op.parents then
      return nil, {
        'NO_PARENT',
        'The parent of ' .. op.path .. ' does not exist; create it first, or add parents=true.',
        'path', op.path,
      }
    end
    missing, parent = missing_parents(op.path)
  end
  local path = op.path
  if op.sequential then
    -- The counter is ZooKeeper's signed 32-bit cversion: it counts every child created, and wraps (items 18-22).
    local counter = #missing > 0 and 0 or parent.created % 4294967296
    if counter > 2147483647 then counter = counter - 4294967296 end
    path = path .. string.format('%010d', counter)
  end
  local problem = reserved_problem(op, limits.privileged) or path_problem(op)
  if problem then return nil, problem end
  if txn.node(path) then return nil, { 'NODE_EXISTS', 'Node ' .. path .. ' exists already.', 'path', path } end
  problem = ephemeral_parent_problem(parent) or size_problem(op, limits.max_node_bytes)
  if problem then return nil, problem end

  for _, ancestor in ipairs(missing) do txn.create(ancestor, '', 'text/plain; charset=utf-8', 'persistent') end
  local owner = op.mode == 'ephemeral' and op.session or nil
  local node = txn.create(path, op.data, op.content_type, op.mode, op.ttl_ms, owner)
  return { 'create', path, stat.of(node) }
end

function ops.set(op, limits)
  local problem = path_problem(op)
  if problem then return nil, problem end
  local node = txn.node(op.path)
  if not node then return nil, no_node(op.path) end
  problem = reserved_problem(op, limits.privileged) or size_problem(op, limits.max_node_bytes) or version_problem(op, node)
  if problem then return nil, problem end
  txn.set(node, op.data, op.content_type)
  return { 'set', op.path, stat.of(node) }
end

--- Sets the data, or creates the node if it is absent.
function ops.put(op, limits)
  if op.path_problem == '' and txn.node(op.path) then
    if op.session ~= '' then
      local problem = session.problem(op.session, op.secret_hash)
      if problem then return nil, problem end
    end
    return ops.set(op, limits)
  end
  return ops.create(op, limits)
end

local function delete_problem(op, limits)
  local problem = path_problem(op)
  if problem then return problem end
  if op.path == '/' then return { 'BAD_REQUEST', 'The root node cannot be deleted.', 'path', op.path } end
  if not txn.node(txn.parent_path(op.path)) then return no_node(op.path) end
  problem = reserved_problem(op, limits.privileged)
  if problem then return problem end
  local node = txn.node(op.path)
  if not node then return no_node(op.path) end
  return version_problem(op, node)
end

function ops.delete(op, limits)
  local problem = delete_problem(op, limits)
  if problem then return nil, problem end
  local node = txn.node(op.path)
  if node.num_children > 0 then
    return nil, {
      'NOT_EMPTY',
      'Node ' .. op.path .. ' has ' .. whole(node.num_children) .. ' children; delete them first, or add recursive=true.',
      'path', op.path,
      'numChildren', node.num_children,
    }
  end
  txn.delete(node)
  return { 'delete', op.path, stat.of(node) }
end

--- Every node from `path` down, parents before children, or nil if there are more than `max`. It reads the stored
--- child lists, so it must come first in its transaction.
local function subtree(path, max)
  local found, at = { path }, 1
  while at <= #found do
    local prefix = found[at] == '/' and '/' or found[at] .. '/'
    -- One more than still fits tells that there are too many without reading a child list of millions.
    for _, name in ipairs(redis.call('ZRANGE', keys.children(found[at]), 0, max - #found)) do
      found[#found + 1] = prefix .. name
    end
    if #found > max then return nil end
    at = at + 1
  end
  return found
end

ops['delete-recursive'] = function(op, limits)
  local problem = delete_problem(op, limits)
  if problem then return nil, problem end
  local paths = subtree(op.path, RECURSIVE_DELETE_MAX)
  if not paths then
    return nil, {
      'TOO_LARGE',
      op.path .. ' has more than ' .. RECURSIVE_DELETE_MAX .. ' nodes below it; delete its branches one by one.',
      'path', op.path,
      'maxNodes', RECURSIVE_DELETE_MAX,
    }
  end
  for i = #paths, 1, -1 do txn.delete(txn.node(paths[i])) end
  return { 'delete', op.path, '' }
end

function ops.check(op)
  local problem = path_problem(op)
  if problem then return nil, problem end
  local node = txn.node(op.path)
  if op.expected == 'absent' then
    if node then return nil, { 'NODE_EXISTS', 'Node ' .. op.path .. ' exists, and should not.', 'path', op.path } end
    return { 'check', op.path, '' }
  end
  if not node then return nil, no_node(op.path) end
  problem = version_problem(op, node)
  if problem then return nil, problem end
  local czxid = tonumber(op.expected)
  if czxid and czxid ~= node.czxid then
    return nil, {
      'BAD_VERSION',
      'Node ' .. op.path .. ' was created by ' .. whole(node.czxid) .. ', not by ' .. whole(czxid) .. '.',
      'path', op.path,
      'czxid', node.czxid,
    }
  end
  return { 'check', op.path, stat.of(node) }
end

--- Applies `count` operations in ARGV from `first` on, and commits; or changes nothing and answers the first failure with
--- its index in the field `failed` and the newest zxid in `zxid`.
--- Returns { 'OK', replayed, zxid, op, path, stat, op, path, stat, … }.
function ops.run(first, count, limits)
  local reply = { 'OK', 0, 0 }
  for index = 0, count - 1 do
    local op = ops.read(first + index * ops.WIDTH)
    local result, problem = ops[op.op](op, limits)
    if problem then
      problem[#problem + 1] = 'failed'
      problem[#problem + 1] = index
      problem[#problem + 1] = 'zxid'
      problem[#problem + 1] = txn.zxid() - 1
      return problem
    end
    for _, word in ipairs(result) do reply[#reply + 1] = word end
  end
  reply[3] = txn.commit(limits.event_retention)
  return reply
end

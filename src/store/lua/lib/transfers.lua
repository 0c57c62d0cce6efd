--- @include "lib/ops"
--[[ Operations that bring many nodes at once, in a script of their own (nodes/transfer.lua), so that others do not load them: an import
     of one node among others, and a copy or move of a subtree. As the others they check everything first.

     New names that end in a sequence number raise the counter of their parent beyond it. So a sequential node that is created later
     never gets a name that was brought here. ]]
local SAME, SKIPPED, COPIED = 5, 6, 7
-- What an import does if the node exists with other content (src/store/tree/op-codec.ts); 0 = it fails.
local SKIP, OVERWRITE = 1, 2
-- One script must not block Redis for long: about 25 us a node, so a tenth of a second for that many.
local COPIED_NODES_MAX = 4000
-- Of the data of a node, events have that much; and what one event has besides (lib/events.lua, lib/stat.lua), with its content type.
local EVENT_DATA_BYTES_MAX, EVENT_HEAD_BYTES = 16384, 352
-- As src/core/tree/path.ts has them.
local PATH_LEVELS_MAX, PATH_ENCODED_BYTES_MAX = 128, 4608

--- Raises the counter of the parent beyond the sequence number at the end of a new node's path, if there is one.
local function keep_counter(node)
  local digits = string.match(node.path, '%d%d%d%d%d%d%d%d%d%d$')
  if not digits then return end
  local parent = txn.node(txn.parent_path(node.path))
  parent.created = math.max(parent.created, math.min(tonumber(digits), 2147483647) + 1)
end

local function is_same(op, node)
  if op.mode ~= node.mode or op.ttl_ms ~= (node.ttl_ms or 0) or #op.data ~= node.data_length then return false end
  local data, content_type = node.data, node.content_type
  if not data then
    data, content_type = unpack(redis.call('HMGET', keys.node(node.path), 'data', 'type'))
  end
  return data == op.data and content_type == op.content_type
end

--- Creates a node unless it exists. An existing one that has the same content is left as it is, so an import may be repeated.
ops['import'] = function(op, limits)
  local on_conflict = op.version
  local node = txn.node(op.path)
  if not node then
    local done, problem = ops.create(op, limits)
    if done then keep_counter(txn.node(op.path)) end
    return done, problem
  end
  local problem = reserved_problem(op.path, limits.privileged)
  if problem then return nil, problem end
  if is_same(op, node) then return result(SAME, '', '') end
  if on_conflict == SKIP then return result(SKIPPED, '', '') end
  if on_conflict ~= OVERWRITE then
    return nil, {
      'NODE_EXISTS',
      'Node ' .. op.path .. ' exists with other content; use onConflict=skip or onConflict=overwrite, or delete it first.',
      'path', op.path,
    }
  end
  op.version = -1
  return ops.set(op, limits)
end

--- The error if a new path is too long, which it may be although both paths of the copy are valid.
local function path_problem(path)
  local _, levels = string.gsub(path, '/', '')
  local _, escaped = string.gsub(path, '[^A-Za-z0-9%-._~/]', '')
  if levels <= PATH_LEVELS_MAX and #path + 2 * escaped <= PATH_ENCODED_BYTES_MAX then return nil end
  return {
    'INVALID_PATH',
    'Nothing was done: a node of the copy would have a path of ' .. levels .. ' levels and ' .. (#path + 2 * escaped)
      .. ' bytes, percent-encoded; the limits are ' .. PATH_LEVELS_MAX .. ' and ' .. PATH_ENCODED_BYTES_MAX .. '. It begins '
      .. string.sub(path, 1, 200),
  }
end

local function too_large(op, maximum, limit, seen)
  return {
    'TOO_LARGE',
    'Nothing was done: ' .. op.path .. ' and what is below it ' .. (maximum == 'maxNodes' and 'are more than ' .. whole(limit) .. ' nodes'
      or 'need more than ' .. whole(limit) .. ' bytes in one transaction (paths, data and the events for watchers)')
      .. ', the most of one ' .. op.op .. '. Do it branch by branch, or export and import it.',
    'path', op.path,
    maximum, limit,
    'nodes', #seen.nodes,
    'bytes', seen.bytes,
  }
end

--- Finds the nodes of a subtree to copy, parents before children. Returns { nodes, paths (the new ones), bytes (of the transaction),
--- counted (bytes against a creator), ephemerals }; or nil and an error.
local function survey(op, limits)
  local seen = { nodes = {}, paths = {}, bytes = 0, counted = 0, ephemerals = 0 }
  local from, to, moves = op.path, op.data, op.op == 'move'

  local function visit(path)
    local node = txn.node(path)
    if node.owner then
      seen.ephemerals = seen.ephemerals + 1
      if not moves and path ~= from then return nil end
      return {
        'NO_CHILDREN_FOR_EPHEMERALS',
        'Nothing was done: ' .. path .. ' is an ephemeral node of session ' .. node.owner .. ', and cannot be ' .. (moves and 'moved' or 'copied')
          .. ': its session would not know its new path. ' .. (moves and 'Copy the rest with move=false, which leaves it out.' or 'Copy a node above it.'),
        'path', path,
      }
    end
    local new = to .. string.sub(path, #from + 1)
    local length = node.data_length
    seen.nodes[#seen.nodes + 1], seen.paths[#seen.paths + 1] = node, new
    seen.bytes = seen.bytes + 2 * #new + EVENT_HEAD_BYTES + length + math.min(length, EVENT_DATA_BYTES_MAX)
      + (moves and txn.deletion_bytes(path) or 0)
    seen.counted = seen.counted + txn.counted_bytes(new, length)
    if #seen.nodes > COPIED_NODES_MAX then return too_large(op, 'maxNodes', COPIED_NODES_MAX, seen) end
    -- A single node may be as large as any.
    local bytes_max = #seen.nodes == 1 and math.max(TRANSACTION_BYTES_MAX, limits.max_node_bytes + 4 * EVENT_DATA_BYTES_MAX)
      or TRANSACTION_BYTES_MAX
    if seen.bytes > bytes_max then return too_large(op, 'maxBytes', bytes_max, seen) end
    return path_problem(new)
  end

  local problem = visit(from)
  local at = 1
  while not problem and at <= #seen.nodes do
    local node = seen.nodes[at]
    local rank = 0
    while not problem and rank < node.num_children do
      local names = redis.call('ZRANGE', keys.children(node.path), rank, rank + PAGE - 1)
      for _, name in ipairs(names) do
        problem = problem or visit(node.path .. '/' .. name)
      end
      rank = rank + PAGE
    end
    at = at + 1
  end
  if problem then return nil, problem end
  return seen
end

--- The error if the copies are more than their creator may have; a move frees what was its own.
local function quota_problem(op, limits, seen)
  local creator = not limits.privileged and limits.creator and creators.of(limits.creator) or nil
  if not creator then return nil end
  local nodes, bytes = #seen.nodes, seen.counted
  if op.op == 'move' then
    for _, node in ipairs(seen.nodes) do
      if node.creator == creator.number then
        nodes, bytes = nodes - 1, bytes - txn.counted_bytes(node.path, node.data_length)
      end
    end
  end
  return creators.problem(creator, nodes, bytes), creator
end

--- Copies a subtree to a path that does not exist; its ephemeral nodes are left out.
ops.copy = function(op, limits)
  local from, to = op.path, op.data
  local problem = reserved_problem(from, limits.privileged)
  if problem then return nil, problem end
  if not txn.node(from) then return nil, no_node(from) end
  local parent = txn.node(txn.parent_path(to))
  if not parent then
    return nil, { 'NO_PARENT', 'The parent of ' .. to .. ' does not exist; create it first.', 'path', to }
  end
  problem = reserved_problem(to, limits.privileged)
  if problem then return nil, problem end
  if txn.node(to) then return nil, { 'NODE_EXISTS', 'Node ' .. to .. ' exists already.', 'path', to } end
  problem = ephemeral_parent_problem(parent)
  if problem then return nil, problem end
  local seen, creator
  seen, problem = survey(op, limits)
  if problem then return nil, problem end
  problem, creator = quota_problem(op, limits, seen)
  if problem then return nil, problem end

  for i, node in ipairs(seen.nodes) do
    local data, content_type = unpack(redis.call('HMGET', keys.node(node.path), 'data', 'type'))
    keep_counter(txn.create(seen.paths[i], data, content_type, node.mode, node.ttl_ms, nil, creator))
  end
  if op.op == 'move' then
    for i = #seen.nodes, 1, -1 do txn.delete(seen.nodes[i]) end
  end
  return result(COPIED, stat.of(txn.node(to)), whole(#seen.nodes) .. ' ' .. whole(seen.ephemerals))
end

ops.move = ops.copy

--- @include "lib/op-checks"
--- @include "lib/late"
--[[ The operations of the tree. Each checks in ZooKeeper's order (guarantee N3), then changes the transaction. Each returns
     its packed result, or nil and an error reply { code, detail, field, value, … }. An operation that fails has changed
     nothing, because it checks everything first. ]]
local ops = {}

-- One script must not block Redis for long: about 10 us a node, so a tenth of a second for that many (bench/README.md).
local RECURSIVE_DELETE_MAX = 8000

-- A packed operation: kind, mode; flags for sequential, creation of parents, and required absence; ttl in ms, version, mzxid
-- and czxid, negative if not given (for `partitions` the number to add and the limit, in the place of ttl and version; for `import`
-- what to do on a conflict, in the place of version; for `copy` and `move` the new path, in the place of data); then, each after its length,
-- path, data, content type, session, hash of its secret, identity of the caller; the connection epoch that must act for the session,
-- negative if any may. src/store/tree/op-codec.ts writes it, and has checked the path.
local OPERATION = '>BBBBBdi4ddI4c0I4c0I2c0I2c0I2c0I2c0d'
local KINDS = { 'create', 'put', 'set', 'delete', 'delete-recursive', 'check', 'partitions', 'copy', 'move', 'import' }
-- A packed result: kind, lengths of stat and path, and these two. The path is empty if it is the requested one.
local RESULT = '>BBI4'
local RESULT_CREATED, RESULT_SET, RESULT_DELETED, RESULT_CHECKED = 1, 2, 3, 4

-- The operation that was read last: one table for all, as making one for each costs more than all else of reading it.
local read = {}

--- Decodes the operation in `packed` at position `at`. Returns it, which is valid until the next is read, and the position of the next
--- one.
function ops.read(packed, at)
  local kind, mode, sequential, parents, absent, mzxid, czxid, epoch
  kind, mode, sequential, parents, absent, read.ttl_ms, read.version, mzxid, czxid, read.path, read.data, read.content_type, read.session, read.secret_hash, read.identity, epoch, at =
    struct.unpack(OPERATION, packed, at)
  read.op, read.mode = KINDS[kind], stat.mode(mode)
  read.sequential, read.parents = sequential == 1, parents == 1
  read.mzxid = mzxid >= 0 and mzxid or nil
  read.epoch = epoch >= 0 and epoch or nil
  -- Only for check.
  read.absent = absent == 1
  read.czxid = czxid >= 0 and czxid or nil
  return read, at
end

local function result(kind, packed_stat, path)
  return struct.pack(RESULT, kind, #packed_stat, #path) .. packed_stat .. path
end

function ops.create(op, limits)
  if op.session ~= '' then
    local problem = session.problem(op.session, op.secret_hash, op.identity, op.epoch)
    if problem then return nil, problem end
  end
  local parent, missing = txn.node(txn.parent_path(op.path)), {}
  if not parent then
    if not op.parents then
      return nil, {
        'NO_PARENT',
        'The parent of ' .. op.path .. ' does not exist; create it first; PUT and POST of a node, and imports, also take parents=true.',
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
  local problem = reserved_problem(op.path, limits.privileged)
  if problem then return nil, problem end
  if txn.node(path) then return nil, { 'NODE_EXISTS', 'Node ' .. path .. ' exists already.', 'path', path } end
  problem = ephemeral_parent_problem(parent)
    or size_problem(op, limits)
    or ephemerals_problem(op, limits.privileged)
  if problem then return nil, problem end
  local creator = not limits.privileged and limits.creator and creators.of(limits.creator) or nil
  problem = creation_problem(creator, path, op.data, missing)
  if problem then return nil, problem end

  for _, ancestor in ipairs(missing) do
    txn.create(ancestor, '', 'text/plain; charset=utf-8', 'persistent', nil, nil, creator)
  end
  local owner = op.mode == 'ephemeral' and op.session or nil
  local node = txn.create(path, op.data, op.content_type, op.mode or 'persistent', op.ttl_ms, owner, creator)
  return result(RESULT_CREATED, stat.of(node), op.sequential and path or '')
end

function ops.set(op, limits)
  if op.session ~= '' then
    local problem = session.problem(op.session, op.secret_hash, op.identity, op.epoch)
    if problem then return nil, problem end
  end
  local node = txn.node(op.path)
  if not node then return nil, no_node(op.path) end
  local problem = reserved_problem(op.path, limits.privileged)
    or kind_problem(op, node)
    or size_problem(op, limits)
    or growth_problem(op, node, limits)
    or version_problem(op, node)
  if problem then return nil, problem end
  txn.set(node, op.data, op.content_type)
  return result(RESULT_SET, stat.of(node), '')
end

--- Sets the data, or creates the node if it is absent.
function ops.put(op, limits)
  if txn.node(op.path) then return ops.set(op, limits) end
  return ops.create(op, limits)
end

--- Applies `count` operations, in `packed` from position `at` on, as one transaction and finishes it; or changes nothing, as a
--- trial does in any case. Returns the byte 0, the packed zxid and results, or nil and the first error, with the operation's index in its
--- field `failed` and the newest zxid in `zxid`.
function ops.run(packed, at, count, limits)
  -- If a later operation fails, the changes of earlier ones are discarded, and no other transaction's with them.
  if count > 1 or limits.trial then txn.write(limits.event_retention) end
  local first, results
  for index = 0, count - 1 do
    local op
    op, at = ops.read(packed, at)
    -- They read the stored lists of children, so all must be written before.
    if op.op == 'delete-recursive' or op.op == 'copy' or op.op == 'move' then txn.write(limits.event_retention) end
    local done, problem = ops[op.op](op, limits)
    if problem then
      txn.abandon()
      problem[#problem + 1] = 'failed'
      problem[#problem + 1] = index
      problem[#problem + 1] = 'zxid'
      problem[#problem + 1] = txn.newest()
      return nil, problem
    end
    if not first then
      first = done
    else
      results = results or { first }
      results[index + 1] = done
    end
  end
  if limits.trial then txn.abandon() end
  return struct.pack('>Bd', 0, txn.finish()) .. (results and table.concat(results) or first or '')
end

late(ops, function()
  local function delete_problem(op, limits)
    if op.path == '/' then return { 'BAD_REQUEST', 'The root node cannot be deleted.', 'path', op.path } end
    if not txn.node(txn.parent_path(op.path)) then return no_node(op.path) end
    local problem = reserved_problem(op.path, limits.privileged)
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
        'Node ' .. op.path .. ' has ' .. whole(node.num_children) .. ' children; delete them first; DELETE of a node also takes recursive=true.',
        'path', op.path,
        'numChildren', node.num_children,
      }
    end
    txn.delete(node)
    return result(RESULT_DELETED, stat.of(node), '')
  end

  --- Returns the paths of a subtree, parents before children; or nil, the number counted and the bytes of their deletion so far,
  --- if either exceeds its limit. It reads the stored child lists, so it must run first in its transaction.
  local function subtree(path, privileged)
    local found, at, bytes = { path }, 1, txn.deletion_bytes(path)
    while at <= #found do
      local parent = found[at]
      local children, prefix = keys.children(parent), parent == '/' and '/' or parent .. '/'
      local rank = 0
      repeat
        local names = redis.call('ZRANGE', children, rank, rank + PAGE - 1)
        for _, name in ipairs(names) do
          local below = prefix .. name
          found[#found + 1] = below
          bytes = bytes + txn.deletion_bytes(below)
        end
        -- Subtrees of the service itself have limits of their own, such as the partitions of a group.
        if not privileged and (#found > RECURSIVE_DELETE_MAX or bytes > TRANSACTION_BYTES_MAX) then return nil, #found, bytes end
        rank = rank + PAGE
      until #names < PAGE
      at = at + 1
    end
    return found
  end

  ops['delete-recursive'] = function(op, limits)
    local problem = delete_problem(op, limits)
    if problem then return nil, problem end
    local paths, count, bytes = subtree(op.path, limits.privileged)
    if not paths then
      local many = count > RECURSIVE_DELETE_MAX
      return nil, {
        'TOO_LARGE',
        'Nothing was deleted: ' .. (many
          and op.path .. ' and what is below it are more than ' .. RECURSIVE_DELETE_MAX .. ' nodes, the most that one transaction deletes'
          or 'a transaction that deletes ' .. op.path .. ' and what is below it would have more than ' .. TRANSACTION_BYTES_MAX
            .. ' bytes, mostly paths (so much have its first ' .. whole(count) .. ' nodes)')
          .. '. Delete its children first, in pages (view=children, then POST /v1/multi), or its branches one by one.',
        'path', op.path,
        many and 'maxNodes' or 'maxBytes', many and RECURSIVE_DELETE_MAX or TRANSACTION_BYTES_MAX,
        'nodes', count,
        'bytes', bytes,
      }
    end
    for i = #paths, 1, -1 do txn.delete(txn.node(paths[i])) end
    return result(RESULT_DELETED, '', '')
  end

  function ops.check(op)
    local node = txn.node(op.path)
    if op.absent then
      if node then return nil, { 'NODE_EXISTS', 'Node ' .. op.path .. ' exists, and should not.', 'path', op.path } end
      return result(RESULT_CHECKED, '', '')
    end
    if not node then return nil, no_node(op.path) end
    local problem = version_problem(op, node)
    if problem then return nil, problem end
    local czxid = op.czxid
    if czxid and czxid ~= node.czxid then
      return nil, {
        'BAD_VERSION',
        'Node ' .. op.path .. ' was created by ' .. whole(node.czxid) .. ', not by ' .. whole(czxid) .. '.',
        'path', op.path,
        'czxid', node.czxid,
      }
    end
    return result(RESULT_CHECKED, stat.of(node), '')
  end

  --- Counts partitions of topics that are created or deleted. Every creation and deletion runs this, so the count is that of
  --- the tree; a store without a count is counted once.
  function ops.partitions(op, limits)
    local count = txn.partition_count()
    if op.ttl_ms > 0 and count + op.ttl_ms > op.version then
      return nil,
        {
          'INVALID_PARTITIONS',
          'The cluster has ' .. whole(count) .. ' partitions, and this would add ' .. whole(op.ttl_ms) .. '; the limit is '
            .. whole(op.version) .. ' (WEIR_MAX_PARTITIONS). Ask for fewer, delete topics, or raise the limit.',
          'partitions',
          count,
          'maxPartitions',
          op.version,
        }
    end
    local creator = limits.creator and creators.of(limits.creator) or nil
    local problem = creator and creators.partitions_problem(creator, op.ttl_ms)
    if problem then return nil, problem end
    if not op.absent then
      txn.partitions = count + op.ttl_ms
      creators.count(creator, 'partitions', op.ttl_ms)
    end
    return result(RESULT_CHECKED, '', '')
  end
end)

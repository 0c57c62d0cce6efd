--- @include "lib/require-open"
--- @include "lib/ops"
--[[ A group in the store: one versioned document (its JSON is never decoded here), the positions of its members, and its
     part of the tree. Brokers compute the next document and commit it with the version that they read.

     No version is used twice: not by a group of the same name that is created after a deletion, and not after the store has
     lost its newest changes (guarantee N8). Else a broker with an old document could commit over a new one. Versions come
     from one counter, which stays at or above the zxid, whose epoch rises after a loss. ]]
local group = {}

--- Selects the group that all other functions are about.
function group.select(name)
  group.name, group.path, group.topic_ids = name, '/consumers/' .. name, {}
end

local TEXT = 'text/plain; charset=utf-8'

--- The version of the document; 0 = there is no such group.
function group.version() return tonumber(redis.call('HGET', keys.group(group.name), 'version') or '0') end

--- The document. It may be megabytes: scripts that need only the version do not read it.
function group.document() return redis.call('HGET', keys.group(group.name), 'document') or '' end

--- Stores a document under the next version, which it returns.
function group.store(document)
  local last = tonumber(redis.call('HGET', keys.root, 'group_version') or '0')
  local version = whole(math.max(last, tonumber(redis.call('HGET', keys.root, 'zxid') or '0')) + 1)
  redis.call('HSET', keys.root, 'group_version', version)
  redis.call('HSET', keys.group(group.name), 'version', version, 'document', document)
  redis.call('ZADD', keys.offset_ages, 'NX', now_ms, group.name)
  return tonumber(version)
end

--- Deletes a group that has neither members nor committed offsets as this transaction sees it. The nodes below it may have
--- changed in this transaction, so they are deleted one by one.
function group.remove()
  for _, path in ipairs({ '/offsets', '/ids' }) do
    local node = txn.node(group.path .. path)
    if node then txn.delete(node) end
  end
  local owners = group.path .. '/owners'
  for _, topic in ipairs(redis.call('ZRANGE', keys.children(owners), 0, -1)) do txn.delete(txn.node(owners .. '/' .. topic)) end
  if txn.node(owners) then txn.delete(txn.node(owners)) end
  txn.delete(txn.node(group.path))
  group.erase()
end

--- Deletes what is stored of the group outside the tree.
function group.erase()
  redis.call('DEL', keys.group(group.name), keys.positions(group.name), keys.offset_details(group.name))
  redis.call('ZREM', keys.offset_ages, group.name)
end

--- Records since when the group moves to its target assignment, and since when it has no members. `state` is 'moving' or
--- 'settled'. Returns for how many ms it was moving, if that has ended now, else -1.
function group.mark(state)
  local key = keys.group(group.name)
  if group.member_count() == 0 then
    redis.call('HSETNX', key, 'emptied_at', now_ms)
  else
    redis.call('HDEL', key, 'emptied_at')
  end
  if state == 'moving' then
    redis.call('HSETNX', key, 'moving_since', now_ms)
    return -1
  end
  local since = redis.call('HGET', key, 'moving_since')
  if not since then return -1 end
  redis.call('HDEL', key, 'moving_since')
  return now_ms - tonumber(since)
end

function group.member_count()
  local ids = txn.node(group.path .. '/ids')
  return ids and ids.num_children or 0
end

function group.field(topic, partition) return topic .. ':' .. partition end

--- Adds to the transaction the nodes by which a member owns partitions ('0,4,7') of a topic. Returns an error reply or nil.
function group.own(topic, partitions, member, session_id, limits)
  for partition in string.gmatch(partitions, '%d+') do
    local _, problem = ops.create({
      op = 'create',
      path = group.path .. '/owners/' .. topic .. '/' .. partition,
      data = member,
      content_type = TEXT,
      mode = 'ephemeral',
      session = session_id,
      secret_hash = '',
      identity = '',
      parents = true,
    }, limits)
    if problem then return problem end
  end
  return nil
end

--- Adds to the transaction the deletion of the owner nodes of partitions of a topic. Returns an error reply or nil.
function group.disown(topic, partitions, limits)
  for partition in string.gmatch(partitions, '%d+') do
    local path = group.path .. '/owners/' .. topic .. '/' .. partition
    local _, problem = ops.delete({ op = 'delete', path = path }, limits)
    if problem then return problem end
  end
  return nil
end

local function offset_path(topic, partition) return group.path .. '/offsets/' .. topic .. '/' .. partition end

--- Whether the group's commits for `topic` belong to the topic with this id, not to an earlier one of that name.
function group.has_claimed(topic, topic_id)
  return redis.call('HGET', keys.offset_details(group.name), topic) == topic_id
end

--- The committed offset as text, or nil. A commit for an earlier topic of the same name does not count.
function group.committed(topic, partition, topic_id)
  if not group.has_claimed(topic, topic_id) then return nil end
  return redis.call('HGET', keys.node(offset_path(topic, partition)), 'data') or nil
end

--- Claims the commits of `topic` for the topic with this id: adds to the transaction the deletion of commits for an earlier
--- topic of the same name. It reads stored child lists, so it must run before other changes, for all topics. Returns an
--- error reply or nil.
---
--- A broker may not know yet that the topic was deleted, or replaced. Claims made before that are deleted with the topic
--- (groups/forget-topic.lua), and none can be made after it: so no commit is left over.
function group.claim_topic(topic, topic_id, limits)
  local noted = redis.call('HGET', keys.offset_details(group.name), topic)
  if noted == topic_id or group.topic_ids[topic] then return nil end
  local named = '"topic_id":"' .. topic_id .. '"'
  if not string.find(redis.call('HGET', keys.node('/brokers/topics/' .. topic), 'data') or '', named, 1, true) then
    return { 'UNKNOWN_TOPIC', 'Topic ' .. topic .. ' was deleted, so nothing can be committed for it.', 'topic', topic }
  end
  group.topic_ids[topic] = topic_id
  local path = group.path .. '/offsets/' .. topic
  if not noted or not txn.node(path) then return nil end
  local _, problem = ops['delete-recursive']({ op = 'delete-recursive', path = path }, limits)
  return problem
end

--- Adds the commit of an offset to the transaction. Returns an error reply or nil.
function group.commit(topic, partition, offset, limits)
  local _, problem = ops.put({
    op = 'put',
    path = offset_path(topic, partition),
    data = offset,
    content_type = TEXT,
    mode = 'persistent',
    session = '',
    parents = true,
  }, limits)
  return problem
end

--- Adds the deletion of a committed offset to the transaction, if there is one. Returns an error reply or nil.
function group.uncommit(topic, partition, limits)
  local path = offset_path(topic, partition)
  if not txn.node(path) then return nil end
  local _, problem = ops.delete({ op = 'delete', path = path }, limits)
  return problem
end

--- Adds to the transaction the deletion of all commits for a topic, and of the group if it has neither members nor other
--- commits. This cannot fail, so keys outside the tree are written at once. Returns the number of commits.
function group.forget_topic(topic)
  local path, details = group.path .. '/offsets/' .. topic, keys.offset_details(group.name)
  local partitions = redis.call('ZRANGE', keys.children(path), 0, -1)
  for _, partition in ipairs(partitions) do txn.delete(txn.node(path .. '/' .. partition)) end
  if txn.node(path) then txn.delete(txn.node(path)) end
  for _, partition in ipairs(partitions) do redis.call('HDEL', details, group.field(topic, partition)) end
  redis.call('HDEL', details, topic)
  local offsets = txn.node(group.path .. '/offsets')
  if group.member_count() == 0 and offsets and offsets.num_children == 0 then group.remove() end
  return #partitions
end

--- Writes the claims of claim_topic. Call it once nothing can fail any more.
function group.write_topic_ids()
  for topic, topic_id in pairs(group.topic_ids) do redis.call('HSET', keys.offset_details(group.name), topic, topic_id) end
end

function group.write_metadata(topic, partition, metadata)
  local field = group.field(topic, partition)
  if metadata == '' then
    redis.call('HDEL', keys.offset_details(group.name), field)
  else
    redis.call('HSET', keys.offset_details(group.name), field, metadata)
  end
end

--- Appends the members that have a live session: a member's node is deleted with its session. (unpack has a limit, groups
--- have none.)
function group.add_members(reply)
  for _, member in ipairs(redis.call('ZRANGE', keys.children(group.path .. '/ids'), 0, -1)) do
    reply[#reply + 1] = member
  end
  return reply
end

--- The reply to an update of another version: with it the broker computes the update again.
function group.conflict() return { 'OK', 'conflict', group.version(), group.document() } end

--- The reply to an update that counts members whose session has ended, with the names of those that have one.
function group.sessions_ended() return group.add_members({ 'OK', 'sessions_ended', group.version(), group.document() }) end

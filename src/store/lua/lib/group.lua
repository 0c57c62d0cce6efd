--- @include "lib/ops"
--[[ A group in the store: one versioned document (its JSON is never decoded here), the positions of its members, and its
     part of the tree. Brokers decide over the document and commit with the version that they read.

     Versions are never given twice, also not to a group of the same name that was deleted and made again, nor after the
     store has lost its newest changes (guarantee N8): else a broker that remembers an old document could commit over a
     new one. They come from one counter, which is kept at or above the zxid, whose epoch rises after a loss. ]]
local group = { name = ARGV[1], path = '/consumers/' .. ARGV[1], topic_ids = {} }

local TEXT = 'text/plain; charset=utf-8'

--- The version (0 = there is no such group) and the document.
function group.load()
  local fields = redis.call('HMGET', keys.group(group.name), 'version', 'document')
  return tonumber(fields[1] or '0'), fields[2] or ''
end

--- Stores a document under the next version, which it returns.
function group.store(document)
  local last = tonumber(redis.call('HGET', keys.root, 'group_version') or '0')
  local version = whole(math.max(last, tonumber(redis.call('HGET', keys.root, 'zxid') or '0')) + 1)
  redis.call('HSET', keys.root, 'group_version', version)
  redis.call('HSET', keys.group(group.name), 'version', version, 'document', document)
  return tonumber(version)
end

function group.member_count()
  local ids = txn.node(group.path .. '/ids')
  return ids and ids.num_children or 0
end

function group.field(topic, partition) return topic .. ':' .. partition end

local function offset_path(topic, partition) return group.path .. '/offsets/' .. topic .. '/' .. partition end

--- The committed offset as text, or nil; a commit for an earlier topic of the same name is none.
function group.committed(topic, partition, topic_id)
  if redis.call('HGET', keys.offset_details(group.name), topic) ~= topic_id then return nil end
  return redis.call('HGET', keys.node(offset_path(topic, partition)), 'data') or nil
end

--- Puts into the transaction that the commits of `topic` are of the topic with this id: those for an earlier topic of
--- the same name go. It reads stored child lists, so it must come first, for all topics. Returns an error reply or nil.
function group.claim_topic(topic, topic_id, limits)
  local kept = redis.call('HGET', keys.offset_details(group.name), topic)
  if kept == topic_id or group.topic_ids[topic] then return nil end
  group.topic_ids[topic] = topic_id
  local path = group.path .. '/offsets/' .. topic
  if not kept or not txn.node(path) then return nil end
  local _, problem = ops['delete-recursive']({ op = 'delete-recursive', path = path, path_problem = '' }, limits)
  return problem
end

--- Puts a committed offset into the transaction. Returns an error reply or nil.
function group.commit(topic, partition, offset, limits)
  local _, problem = ops.put({
    op = 'put',
    path = offset_path(topic, partition),
    path_problem = '',
    data = offset,
    content_type = TEXT,
    mode = 'persistent',
    session = '',
    parents = true,
  }, limits)
  return problem
end

--- Puts the deletion of a committed offset into the transaction, if there is one. Returns an error reply or nil.
function group.uncommit(topic, partition, limits)
  local path = offset_path(topic, partition)
  if not txn.node(path) then return nil end
  local _, problem = ops.delete({ op = 'delete', path = path, path_problem = '' }, limits)
  return problem
end

--- Writes what claim_topic noted, once nothing can fail any more.
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

--- Appends the members whose session lives: their nodes go together with it. (unpack has a limit, groups have none.)
function group.add_members(reply)
  for _, member in ipairs(redis.call('ZRANGE', keys.children(group.path .. '/ids'), 0, -1)) do
    reply[#reply + 1] = member
  end
  return reply
end

--- The answer to a decision over another version: the broker decides anew at once.
function group.conflict(version, document) return { 'OK', 0, 'conflict', version, document } end

--- The answer to a decision that takes ended members for living ones, with the names of those that live.
function group.gone(version, document) return group.add_members({ 'OK', 0, 'gone', version, document }) end

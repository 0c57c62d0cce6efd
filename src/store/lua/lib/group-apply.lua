--- @include "lib/group"
--- @include "lib/idempotency"
--[[ Commits one update of a group: its document, sessions, nodes, timers and positions change together, or not at all.
     groups/apply.lua has the arguments and replies.

     Everything that can fail comes before the first write, except that new sessions are written first, as an ephemeral node
     needs its session: they are deleted again if a node cannot be created. ]]
local apply = {}

local FIRST_OPERATION = 4

--- The update to commit: JSON with a name for each field and list, so nothing here depends on their order. Rows of a list are
--- texts: src/store/groups/group-commit.ts (encodeCommit) has their columns.
local update, limits

local function read_arguments(name, document, fields)
  group.select(name)
  update = cjson.decode(fields)
  update.document = document
  limits = {
    privileged = true,
    max_node_bytes = update.max_node_bytes,
    event_retention = update.event_retention,
  }
end

--- A stored position (src/store/keys.ts: positions): the offset, and of the last delivery its first offset and its sequence.
local function position_of(topic, partition)
  local stored = redis.call('HGET', keys.positions(group.name), group.field(topic, partition))
  if not stored then return nil end
  return string.match(stored, '^(%d+) ?(%d*) ?(%d*)$')
end

--- The sequences of the last delivery to a member and of the one before it; 0 = there was none.
local function delivered_sequences(member)
  local stored = redis.call('HGET', keys.positions(group.name), '>' .. member) or '0 0'
  local last, previous = string.match(stored, '^(%d+) (%d+)$')
  return tonumber(last), tonumber(previous)
end

--- The reply for a consumer whose last delivery is another one than it expects, or nil.
local function check_sequence()
  if update.expected_seq == '' then return nil end
  local last, previous = delivered_sequences(update.consumer)
  local expected = tonumber(update.expected_seq)
  local is_expected = expected == last
  if update.is_repeat then is_expected = expected == previous and expected ~= last end
  if is_expected then return nil end
  return { 'OK', 'stale_sequence', last, previous }
end

local function newest_call(member)
  return tonumber(redis.call('HGET', keys.positions(group.name), '@' .. member) or '0')
end

--- The calls that are no longer the newest of their members: member id and call of each.
local function superseded_calls()
  local superseded = {}
  for _, row in ipairs(update.current_calls) do
    if newest_call(row[1]) ~= tonumber(row[2]) then
      superseded[#superseded + 1] = row[1]
      superseded[#superseded + 1] = row[2]
    end
  end
  return superseded
end

--- The requests with an Idempotency-Key that have a stored response: id, '' or an error code, and the response or the error's
--- detail of each.
local function stored_responses()
  local found = {}
  for _, row in ipairs(update.responses) do
    local stored = idempotency.find(row[1], row[2], update.response_limits)
    if stored then
      found[#found + 1] = row[1]
      found[#found + 1] = stored[1] == 'OK' and '' or stored[1]
      found[#found + 1] = stored[1] == 'OK' and stored[3] or stored[2]
    end
  end
  return found
end

--- The reply that names the requests to leave out of the update, or nil. Nothing is done for the others either, as the update
--- was computed for all of them together.
local function refusal(superseded, stored)
  if #superseded + #stored == 0 then return nil end
  local reply = { 'OK', 'refused', #superseded / 2 }
  for _, value in ipairs(superseded) do reply[#reply + 1] = value end
  for _, value in ipairs(stored) do reply[#reply + 1] = value end
  return reply
end

--- Commits the consumer's position, or the offset in its place; to a lower offset only where the update says so, and not in
--- topics that were deleted.
local function stage_commits()
  for _, row in ipairs(update.positions_to_commit) do
    local problem = group.claim_topic(row[1], row[3], limits)
    if problem and problem[1] ~= 'UNKNOWN_TOPIC' then return problem end
    row.is_deleted = problem ~= nil
  end
  for _, row in ipairs(update.positions_to_commit) do
    local topic, partition, topic_id, offset, back = unpack(row)
    local position = not row.is_deleted and (offset ~= '' and offset or position_of(topic, partition))
    local committed = group.committed(topic, partition, topic_id)
    if position and (not committed or tonumber(committed) < tonumber(position) or back ~= '' and committed ~= position) then
      local problem = group.commit(topic, partition, position, limits)
      if problem then return problem end
      row.committed = true
    end
  end
  return nil
end

--- Runs before the owners are added: the node of a partition that changes its owner is deleted and created again.
local function stage_disowned()
  for _, row in ipairs(update.owners_to_remove) do
    local problem = group.disown(row[1], row[2], limits)
    if problem then return problem end
  end
  return nil
end

local function stage_owned()
  for _, row in ipairs(update.owners_to_add) do
    local problem = group.own(row[1], row[2], row[3], row[4], limits)
    if problem then return problem end
  end
  return nil
end

local function stage_operations()
  for i = FIRST_OPERATION, #ARGV do
    local op = ops.read(ARGV[i], 1)
    local _, problem = ops[op.op](op, limits)
    if problem then return problem end
  end
  return nil
end

local function write_timers()
  for _, name in ipairs(update.timers_to_cancel) do redis.call('ZREM', keys.timers, name) end
  for _, row in ipairs(update.timers_to_set) do redis.call('ZADD', keys.timers, now_ms + tonumber(row[2]), row[1]) end
end

local function write_sessions()
  for _, row in ipairs(update.sessions_to_renew) do redis.call('ZADD', keys.sessions, now_ms + tonumber(row[2]), row[1]) end
  for _, id in ipairs(update.sessions_to_end) do
    redis.call('DEL', keys.session(id), keys.ephemerals(id), keys.results(id))
    redis.call('ZREM', keys.sessions, id)
  end
end

--- All numbers come from one counter, so that a call of a member that left is never taken for one of a later member with its id.
local function next_number() return redis.call('HINCRBY', keys.root, 'consume_calls', 1) end

local function number_call(member)
  local call = next_number()
  redis.call('HSET', keys.positions(group.name), '@' .. member, call)
  return call
end

--- Returns the sequence of the last delivery to the consumer, with this one.
local function write_positions()
  local positions = keys.positions(group.name)
  for _, row in ipairs(update.positions_to_clear) do
    for partition in string.gmatch(row[2], '%d+') do redis.call('HDEL', positions, group.field(row[1], partition)) end
  end
  for _, member in ipairs(update.removed_members) do redis.call('HDEL', positions, '@' .. member, '>' .. member) end
  if update.consumer == '' then return 0 end
  local last = delivered_sequences(update.consumer)
  local sequence
  for _, row in ipairs(update.positions_to_set) do
    local field, offset, start = unpack(row)
    if start ~= '' then
      sequence = sequence or next_number()
      offset = offset .. ' ' .. start .. ' ' .. whole(sequence)
    end
    redis.call('HSET', positions, field, offset)
  end
  if not sequence then return last end
  redis.call('HSET', positions, '>' .. update.consumer, whole(sequence) .. ' ' .. whole(last))
  return sequence
end

--- Appends to the reply, for each partition to read: the position, the first offset of the last delivery, and the committed
--- offset; '' for each that does not exist.
local function read_positions(last_sequence, reply)
  for _, row in ipairs(update.positions_to_read) do
    local topic, partition, topic_id = unpack(row)
    local offset, start, sequence = position_of(topic, partition)
    reply[#reply + 1] = offset or ''
    reply[#reply + 1] = sequence ~= '' and tonumber(sequence) == last_sequence and start or ''
    reply[#reply + 1] = group.committed(topic, partition, topic_id) or ''
  end
end

function apply.run(name, document, fields)
  read_arguments(name, document, fields)
  local version = group.version()
  -- A repeat gets its stored response, whatever the state of the group is now.
  local refused = refusal({}, stored_responses())
  if refused then return refused end
  if version ~= update.expected_version then return group.conflict() end
  if group.member_count() ~= update.live_members then return group.sessions_ended() end
  refused = refusal(superseded_calls(), {}) or check_sequence()
  if refused then return refused end

  for _, row in ipairs(update.sessions_to_create) do
    session.create(row[1], row[2], row[3], row[4])
  end
  local problem = stage_commits() or stage_disowned() or stage_operations() or stage_owned()
  if problem then
    for _, row in ipairs(update.sessions_to_create) do
      redis.call('DEL', keys.session(row[1]))
      redis.call('ZREM', keys.sessions, row[1])
    end
    return problem
  end

  local moved_ms = -1
  if update.document == 'delete' then
    group.erase()
    version = 0
  elseif update.document ~= '' then
    version = group.store(update.document)
    moved_ms = group.mark(update.state)
    if update.check_offset_ages then redis.call('ZADD', keys.offset_ages, 0, group.name) end
  end
  write_sessions()
  write_timers()
  local last_sequence = write_positions()
  group.write_topic_ids()
  for _, row in ipairs(update.positions_to_commit) do
    if row.committed then group.write_metadata(row[1], row[2], '') end
  end
  local reply = { 'OK', 'applied', version, 0, moved_ms, last_sequence }
  for _, member in ipairs(update.new_calls) do
    reply[#reply + 1] = number_call(member)
    -- A member that begins a new call outside consuming has had no delivery yet.
    if member ~= update.consumer then redis.call('HDEL', keys.positions(group.name), '>' .. member) end
  end
  for _, row in ipairs(update.responses) do
    idempotency.store(row[1], row[2], update.response_limits, { 'OK', 0, row[3] })
  end
  reply[4] = txn.commit(limits.event_retention)
  read_positions(last_sequence, reply)
  return reply
end

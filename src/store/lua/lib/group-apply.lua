--- @include "lib/group"
--- @include "lib/arguments"
--- @include "lib/idempotency"
--[[ Commits one decision over a group: its document, sessions, nodes, timers and positions change together, or not at
     all. Its scripts say what comes in and goes out (groups/apply.lua).

     All that can fail stands before the first write, but for new sessions, which must exist before a node can be theirs:
     they are taken back if a node cannot be made. ]]
local apply = {}

local function read_arguments()
  group.select(arguments.next())
  return {
    expected = arguments.number(),
    document = arguments.next(),
    limits = { privileged = true, max_node_bytes = arguments.number(), event_retention = arguments.number() },
    response_limits = arguments.next(),
    living = arguments.number(),
    state = arguments.next(),
    look = arguments.next() == '1',
    renew = arguments.rows(2),
    create = arguments.rows(3),
    finish = arguments.rows(1),
    timers = arguments.rows(2),
    cancel = arguments.rows(1),
    consumer = arguments.next(),
    after = arguments.next(),
    is_again = arguments.next() == 'again',
    callers = arguments.rows(2),
    calls = arguments.rows(1),
    answers = arguments.rows(3),
    commit = arguments.rows(5),
    clear = arguments.rows(2),
    removed = arguments.rows(1),
    position = arguments.rows(3),
    wanted = arguments.rows(3),
    disowned = arguments.rows(2),
    owned = arguments.rows(4),
    first_op = arguments.at + 1,
  }
end

--- A position as it is kept (src/store/keys.ts: positions): the offset, and for what was given out its start and number.
local function position_of(topic, partition)
  local kept = redis.call('HGET', keys.positions(group.name), group.field(topic, partition))
  if not kept then return nil end
  return string.match(kept, '^(%d+) ?(%d*) ?(%d*)$')
end

--- The number of what a member was given last, and that of what it was given before; 0 = nothing.
local function given_of(member)
  local kept = redis.call('HGET', keys.positions(group.name), '>' .. member) or '0 0'
  local last, before = string.match(kept, '^(%d+) (%d+)$')
  return tonumber(last), tonumber(before)
end

--- The reply that says that the member was given something else than it says, or nil.
local function elsewhere(given)
  if given.after == '' then return nil end
  local last, before = given_of(given.consumer)
  local after = tonumber(given.after)
  if given.is_again and after == before and after ~= last or not given.is_again and after == last then return nil end
  return { 'OK', 'elsewhere', last, before }
end

local function newest_call(member)
  return tonumber(redis.call('HGET', keys.positions(group.name), '@' .. member) or '0')
end

--- Of those who ask, the ones that speak for a member no more, as it has begun a newer call: member and their call.
local function superseded_of(given)
  local superseded = {}
  for _, row in ipairs(given.callers) do
    if newest_call(row[1]) ~= tonumber(row[2]) then
      superseded[#superseded + 1] = row[1]
      superseded[#superseded + 1] = row[2]
    end
  end
  return superseded
end

--- Of those who ask with an Idempotency-Key, the ones that were answered before: id, '' or the code of an error, and the
--- answer or the error's detail.
local function answered_of(given)
  local answered = {}
  for _, row in ipairs(given.answers) do
    local kept = idempotency.find(row[1], row[2], given.response_limits)
    if kept then
      answered[#answered + 1] = row[1]
      answered[#answered + 1] = kept[1] == 'OK' and '' or kept[1]
      answered[#answered + 1] = kept[1] == 'OK' and kept[3] or kept[2]
    end
  end
  return answered
end

--- The reply that says for whom nothing may be decided, or nil. The others are not done either: what was decided for them
--- may hang on it.
local function refusal(superseded, answered)
  if #superseded + #answered == 0 then return nil end
  local reply = { 'OK', 'refused', #superseded / 2 }
  for _, word in ipairs(superseded) do reply[#reply + 1] = word end
  for _, word in ipairs(answered) do reply[#reply + 1] = word end
  return reply
end

--- Commits where the members have read to, or the place that is given; backwards only where that is asked for, and not in
--- topics that are gone.
local function stage_commits(given)
  for _, row in ipairs(given.commit) do
    local problem = group.claim_topic(row[1], row[3], given.limits)
    if problem and problem[1] ~= 'UNKNOWN_TOPIC' then return problem end
    row.gone = problem ~= nil
  end
  for _, row in ipairs(given.commit) do
    local topic, partition, topic_id, place, back = unpack(row)
    local position = not row.gone and (place ~= '' and place or position_of(topic, partition))
    local committed = group.committed(topic, partition, topic_id)
    if position and (not committed or tonumber(committed) < tonumber(position) or back ~= '' and committed ~= position) then
      local problem = group.commit(topic, partition, position, given.limits)
      if problem then return problem end
      row.committed = true
    end
  end
  return nil
end

--- What goes goes first: a node that changes its owner is deleted and made anew.
local function stage_disowned(given)
  for _, row in ipairs(given.disowned) do
    local problem = group.disown(row[1], row[2], given.limits)
    if problem then return problem end
  end
  return nil
end

local function stage_owned(given)
  for _, row in ipairs(given.owned) do
    local problem = group.own(row[1], row[2], row[3], row[4], given.limits)
    if problem then return problem end
  end
  return nil
end

local function stage_operations(given)
  for i = given.first_op, #ARGV do
    local op = ops.read(ARGV[i], 1)
    local _, problem = ops[op.op](op, given.limits)
    if problem then return problem end
  end
  return nil
end

local function write_timers(given)
  for _, name in ipairs(given.cancel) do redis.call('ZREM', keys.timers, name) end
  for _, row in ipairs(given.timers) do redis.call('ZADD', keys.timers, now_ms + tonumber(row[2]), row[1]) end
end

local function write_sessions(given)
  for _, row in ipairs(given.renew) do redis.call('ZADD', keys.sessions, now_ms + tonumber(row[2]), row[1]) end
  for _, id in ipairs(given.finish) do
    redis.call('DEL', keys.session(id), keys.ephemerals(id))
    redis.call('ZREM', keys.sessions, id)
  end
end

--- Numbers of one counter, so that a call of a member that left is never taken for one of a later member of its name.
local function next_number() return redis.call('HINCRBY', keys.root, 'consume_calls', 1) end

local function number_call(member)
  local call = next_number()
  redis.call('HSET', keys.positions(group.name), '@' .. member, call)
  return call
end

--- Returns the number of what the member that consumes was given last.
local function write_positions(given)
  local positions = keys.positions(group.name)
  for _, row in ipairs(given.clear) do
    for partition in string.gmatch(row[2], '%d+') do redis.call('HDEL', positions, group.field(row[1], partition)) end
  end
  for _, member in ipairs(given.removed) do redis.call('HDEL', positions, '@' .. member, '>' .. member) end
  if given.consumer == '' then return 0 end
  local last = given_of(given.consumer)
  local number
  for _, row in ipairs(given.position) do
    local field, offset, start = unpack(row)
    if start ~= '' then
      number = number or next_number()
      offset = offset .. ' ' .. start .. ' ' .. whole(number)
    end
    redis.call('HSET', positions, field, offset)
  end
  if not number then return last end
  redis.call('HSET', positions, '>' .. given.consumer, whole(number) .. ' ' .. whole(last))
  return number
end

--- For each wanted partition the position, where that began which the member was given last, and the committed offset;
--- '' for what there is not.
local function read_positions(given, number, reply)
  for _, row in ipairs(given.wanted) do
    local topic, partition, topic_id = unpack(row)
    local offset, start, by = position_of(topic, partition)
    reply[#reply + 1] = offset or ''
    reply[#reply + 1] = by ~= '' and tonumber(by) == number and start or ''
    reply[#reply + 1] = group.committed(topic, partition, topic_id) or ''
  end
end

function apply.run()
  local given = read_arguments()
  local version = group.version()
  -- Whoever was answered gets that answer, whatever has become of the group since.
  local refused = refusal({}, answered_of(given))
  if refused then return refused end
  if version ~= given.expected then return group.conflict() end
  if group.member_count() ~= given.living then return group.gone() end
  refused = refusal(superseded_of(given), {}) or elsewhere(given)
  if refused then return refused end

  for _, row in ipairs(given.create) do
    redis.call('HSET', keys.session(row[1]), 'secret_hash', row[2], 'ttl_ms', row[3], 'created_at', now_ms)
    redis.call('ZADD', keys.sessions, now_ms + tonumber(row[3]), row[1])
  end
  local problem = stage_commits(given) or stage_disowned(given) or stage_operations(given) or stage_owned(given)
  if problem then
    for _, row in ipairs(given.create) do
      redis.call('DEL', keys.session(row[1]))
      redis.call('ZREM', keys.sessions, row[1])
    end
    return problem
  end

  local moved_ms = -1
  if given.document == 'delete' then
    group.erase()
    version = 0
  elseif given.document ~= '' then
    version = group.store(given.document)
    moved_ms = group.mark(given.state)
    if given.look then redis.call('ZADD', keys.offset_ages, 0, group.name) end
  end
  write_sessions(given)
  write_timers(given)
  local number = write_positions(given)
  group.write_topic_ids()
  for _, row in ipairs(given.commit) do
    if row.committed then group.write_metadata(row[1], row[2], '') end
  end
  local reply = { 'OK', 'applied', version, 0, moved_ms, number }
  for _, member in ipairs(given.calls) do
    reply[#reply + 1] = number_call(member)
    -- Who begins anew was given nothing yet.
    if member ~= given.consumer then redis.call('HDEL', keys.positions(group.name), '>' .. member) end
  end
  for _, row in ipairs(given.answers) do
    idempotency.keep(row[1], row[2], given.response_limits, { 'OK', 0, row[3] })
  end
  reply[4] = txn.commit(given.limits.event_retention)
  read_positions(given, number, reply)
  return reply
end

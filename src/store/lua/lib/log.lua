--- @include "lib/log-keys"
--- @include "lib/text"
--[[ Functions that the scripts of a partition's log share: bounds, batches, errors. ]]

--- The bounds of the log as numbers (src/store/keys.ts: partition), or nil if there is no such partition (any more). `sized_from` is
--- nil if it is not known how large the batches are, as the last append was made by a version that does not note it.
function log.bounds()
  local fields = redis.call('HMGET', log.partition, 'start', 'next', 'total', 'trimmed', 'cleaned', 'compacted', 'generation',
    'created_at', 'sized', 'sized_from', 'largest')
  if not fields[2] then return nil end
  return {
    start = tonumber(fields[1]),
    next = tonumber(fields[2]),
    total = tonumber(fields[3]),
    sized_from = fields[9] == fields[3] and tonumber(fields[10]) or nil,
    largest = tonumber(fields[11] or '0'),
    trimmed = tonumber(fields[4]),
    cleaned = tonumber(fields[5] or '0'),
    compacted = tonumber(fields[6] or '0'),
    generation = tonumber(fields[7] or '0'),
    created_at = tonumber(fields[8] or '0'),
  }
end

--- The bounds and size of the log as they are after a change: `<end offset>:<start offset>:<end of records>:<bytes>`. The last records
--- may have been removed by compaction, so that they end before the log does.
function log.summary(bounds)
  local records_end = bounds.next
  if bounds.cleaned >= bounds.next then
    records_end = tonumber(redis.call('HGET', log.partition, 'records_end') or records_end)
  end
  return table.concat({
    whole(bounds.next), whole(bounds.start), whole(math.max(bounds.start, records_end)),
    whole(bounds.compacted + bounds.total - bounds.trimmed),
  }, ':')
end

--- Tells all brokers that records were removed. If the message is lost, they show old sizes of the log until its next change.
function log.announce_removal(bounds)
  local channel, id = log.removals()
  redis.call('PUBLISH', channel, id .. ':' .. log.summary(bounds))
end

function log.unknown() return { 'UNKNOWN_TOPIC', 'The topic does not exist (any more).' } end

function log.out_of_range(offset, bounds)
  return {
    'OFFSET_OUT_OF_RANGE',
    'Offset ' .. whole(offset) .. ' is outside the log, which has the offsets from ' .. whole(bounds.start)
      .. ' to ' .. whole(bounds.next) .. ' (the end, where the next record will be).',
    'logStartOffset', bounds.start,
    'endOffset', bounds.next,
  }
end

function log.key_reused()
  return {
    'IDEMPOTENCY_KEY_REUSED',
    'This Idempotency-Key was used for another request in the last minutes; use a new key.',
  }
end

--- Reads one stream entry { id, fields } (src/store/keys.ts: log).
function log.batch(entry)
  local first, count = string.match(entry[1], '^(%d+)-(%d+)$')
  local fields = entry[2]
  return {
    id = entry[1],
    base = tonumber(first) - 1,
    count = tonumber(count),
    time = fields[2],
    max = tonumber(fields[4]),
    before = tonumber(fields[6]),
    since = '0',
    records = fields[8],
  }
end

--- Reads one member of the sorted set (src/store/keys.ts: compacted).
local function compacted_batch(member)
  local base, count, time, max, since, at = string.match(member, '^(%d+) (%d+) (%d+) (%d+) (%d+)\n()')
  return {
    base = tonumber(base),
    count = tonumber(count),
    time = time,
    max = tonumber(max),
    since = since,
    records = string.sub(member, at),
  }
end

--- Iterates over the batches from the one that holds `offset` (or, where none does, the next one) to the end of the log.
--- Returns a function that returns the next `count` batches at most, and an empty list at the end.
function log.walk(offset, bounds)
  local last_id

  local function from_compacted(count)
    local members = redis.call('ZRANGE', log.compacted, whole(offset), '+inf', 'BYSCORE', 'LIMIT', 0, count)
    for i, member in ipairs(members) do members[i] = compacted_batch(member) end
    local last = members[#members]
    offset = last and last.base + last.count or bounds.cleaned
    return members
  end

  local function from_stream(count)
    local entries
    if last_id then
      entries = redis.call('XRANGE', log.batches, '(' .. last_id, '+', 'COUNT', count)
    else
      entries = redis.call('XREVRANGE', log.batches, whole(offset + 1), '-', 'COUNT', 1)
      local batch = entries[1] and log.batch(entries[1])
      if not batch or batch.base + batch.count <= offset then
        entries = redis.call('XRANGE', log.batches, whole(offset + 1), '+', 'COUNT', count)
      end
    end
    for i, entry in ipairs(entries) do entries[i] = log.batch(entry) end
    if #entries > 0 then last_id = entries[#entries].id end
    return entries
  end

  return function(count)
    if offset < bounds.cleaned then
      local batches = from_compacted(count)
      if #batches > 0 then return batches end
    end
    return from_stream(count)
  end
end

--- How many bytes one script reads of batches, so that it does not block Redis for long; its last batch may exceed that.
log.WALK_BYTES_MAX = 4 * 1024 * 1024

--- Deletes compacted batches wholly below the start, up to a bounded number of bytes. Returns whether there are more.
local function trim_compacted(bounds)
  local bytes_left = log.WALK_BYTES_MAX
  local below = '(' .. whole(bounds.start)
  while bounds.compacted > 0 do
    local members = redis.call('ZRANGE', log.compacted, '-inf', below, 'BYSCORE', 'LIMIT', 0, 16)
    if #members == 0 then break end
    if bytes_left <= 0 then return true end
    for _, member in ipairs(members) do
      local bytes = #compacted_batch(member).records
      bounds.compacted = bounds.compacted - bytes
      bytes_left = bytes_left - bytes
    end
    redis.call('ZREM', log.compacted, unpack(members))
  end
  return false
end

--- Moves the start of the log up to `offset`, and deletes the batches wholly below it. Returns whether some of these are
--- left: they are not read any more, and another call deletes them.
function log.trim(offset, bounds)
  bounds.start = math.max(offset, bounds.start)
  local more = trim_compacted(bounds)
  if offset > bounds.cleaned then
    local first = log.walk(offset, bounds)(1)[1]
    if first then
      redis.call('XTRIM', log.batches, 'MINID', first.id)
      bounds.trimmed = first.before
    else
      redis.call('XTRIM', log.batches, 'MAXLEN', 0)
      bounds.trimmed = bounds.total
    end
  end
  bounds.generation = bounds.generation + 1
  redis.call('HSET', log.partition, 'start', whole(bounds.start), 'trimmed', whole(bounds.trimmed),
    'compacted', whole(bounds.compacted), 'generation', whole(bounds.generation))
  return more
end

--- The run id of this Redis. It changes with each failover and restart, which may have lost what was read before.
function log.redis_run() return string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') end

--- Refuses a deposed leader, if the log knows a newer leader epoch. Stores a newer epoch, so that older ones are refused from
--- now on. An epoch belongs to the first run of a broker that uses it: a store that has lost an election may give the epoch
--- to another broker, while the first one does not know yet. Returns an error, or nil.
function log.fence_leader(epoch, run)
  local noted = redis.call('HMGET', log.partition, 'leader_epoch', 'leader_run')
  local newest, holder = tonumber(noted[1] or '-1'), noted[2]
  if epoch < newest or (epoch == newest and holder and holder ~= run) then
    return {
      'STALE_LEADER_EPOCH',
      'A leader with epoch ' .. whole(newest) .. ' leads this partition; epoch ' .. whole(epoch) .. ' is over, or belongs to another broker.',
      'leaderEpoch', newest,
    }
  end
  if holder ~= run or epoch > newest then
    redis.call('HSET', log.partition, 'leader_epoch', whole(epoch), 'leader_run', run)
  end
  return nil
end

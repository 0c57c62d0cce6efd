--- @include "lib/log-keys"
--- @include "lib/text"
--[[ What the scripts of a partition's log share: its bounds, its entries, its errors. ]]

--- The bounds of the log as numbers { start, next, total, trimmed }, or nil if there is no such partition (any more).
function log.bounds()
  local fields = redis.call('HMGET', log.partition, 'start', 'next', 'total', 'trimmed')
  if not fields[2] then return nil end
  return {
    start = tonumber(fields[1]),
    next = tonumber(fields[2]),
    total = tonumber(fields[3]),
    trimmed = tonumber(fields[4]),
  }
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

function log.key_reused(key)
  return {
    'IDEMPOTENCY_KEY_REUSED',
    'Idempotency-Key ' .. key .. ' was used for another request in the last minutes; use a new key.',
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
    records = fields[8],
  }
end

--- The batch that holds an offset or, where none does, the next one after it; nil at the end.
function log.batch_at(offset)
  local entry = redis.call('XREVRANGE', log.batches, whole(offset + 1), '-', 'COUNT', 1)[1]
  if entry then
    local batch = log.batch(entry)
    if batch.base + batch.count > offset then return batch end
  end
  entry = redis.call('XRANGE', log.batches, whole(offset + 1), '+', 'COUNT', 1)[1]
  return entry and log.batch(entry)
end

--- What a walk over batches copies at most before others have their turn; its last batch may go beyond that.
log.WALK_BYTES_MAX = 4 * 1024 * 1024

--- Moves the start of the log up to `offset`, and frees the batches that lie wholly below it.
function log.trim(offset, bounds)
  local first = log.batch_at(offset)
  local trimmed
  if first then
    redis.call('XTRIM', log.batches, 'MINID', first.id)
    trimmed = first.before
  else
    redis.call('XTRIM', log.batches, 'MAXLEN', 0)
    trimmed = bounds.total
  end
  redis.call('HSET', log.partition, 'start', whole(offset), 'trimmed', whole(trimmed))
  bounds.start, bounds.trimmed = offset, trimmed
end

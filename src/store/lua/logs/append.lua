#!lua
--- @include "lib/log"
--- @include "lib/log-producer"
--- @include "lib/clock"
--[[ Appends batches, each the records of one request, to one partition. Each is judged by itself, and all of its
     records get contiguous offsets or none does. Requests that meet here share only the way. A batch without records
     notes a request at its home that appends elsewhere (docs/adr/007).
     KEYS    1 partition
     ARGV    1 channel of appends  2 `<topicId>:<partition>:`, what a message there begins with
             3 how long to keep the answer to an Idempotency-Key, ms
             4… the batches, 4 words each: number of records; records (lines); their own timestamps: '' for none, the
                largest in ms, with a '~' before it if not all have one; guards: '' or JSON { fence, token } and
                { key, fingerprint, partitions } or { producer, epoch, sequence, home, joined, partitions }
     Returns { 'OK', answer, … } with one answer a batch: { 'OK', replayed (1/0), base offset (-1: no records), number of
             records, time ms, the number of partitions by which the request was spread, or 0 } or an error
     Errors  UNKNOWN_TOPIC for all; of one batch, in order: IDEMPOTENCY_KEY_REUSED; PRODUCER_FENCED (field epoch),
             UNKNOWN_PRODUCER, OUT_OF_ORDER_SEQUENCE (fields expected, got); FENCED (field token)
     Emits   one message on the channel, if anything was appended; losing it costs a reader time, never records ]]
local WIDTH = 4
local bounds = log.bounds()
if not bounds then return log.unknown() end

--- The first answer to the same request, or an error, or nil.
local function answered(key, fingerprint)
  local kept = redis.call('GET', log.idempotency(key))
  if not kept then return nil end
  local first, base, count, time, partitions = string.match(kept, '^(%S+) ?(%-?%d*) ?(%d*) ?(%d*) ?(%d*)$')
  if first ~= fingerprint then return log.key_reused(key) end
  if base == '' then return nil end
  return { 'OK', 1, tonumber(base), tonumber(count), tonumber(time), tonumber(partitions) or 0 }
end

local function fenced(name, token)
  local highest = tonumber(redis.call('HGET', log.fences, name) or '-1')
  if token < highest then
    return {
      'FENCED',
      'Fence ' .. name .. ' has seen the token ' .. whole(highest) .. '; ' .. whole(token) .. ' is older. Whoever sent it has lost its place.',
      'fence', name,
      'token', highest,
    }
  end
  if token > highest then redis.call('HSET', log.fences, name, whole(token)) end
  return nil
end

--- Why a batch is not to be appended: its first answer, or an error. Else nil, and what its producer's state is.
local function judge(guards)
  local outcome, state
  -- A repeat gets its answer even if it is fenced by now: nothing is appended, and the answer is the truth.
  if guards.key then outcome = answered(guards.key, guards.fingerprint) end
  if guards.producer then outcome, state = producer.judge(guards) end
  if not outcome and guards.fence then outcome = fenced(guards.fence, guards.token) end
  return outcome, state
end

local function note(guards, state, base, count)
  if guards.key then
    local kept = { guards.fingerprint, whole(base), whole(count), whole(now_ms), whole(guards.partitions) }
    redis.call('SET', log.idempotency(guards.key), table.concat(kept, ' '), 'PX', ARGV[3])
  end
  if guards.producer then producer.note(guards, state, base, count) end
end

local function append(at)
  local count, records, own = tonumber(ARGV[at]), ARGV[at + 1], ARGV[at + 2]
  local guards, state = ARGV[at + 3] ~= '' and cjson.decode(ARGV[at + 3]), nil
  if guards then
    local outcome
    outcome, state = judge(guards)
    if outcome then return outcome end
  end
  local base = -1
  if count > 0 then
    base = bounds.next
    local max = own
    if own == '' then
      max = whole(now_ms)
    elseif string.sub(own, 1, 1) == '~' then
      max = whole(math.max(tonumber(string.sub(own, 2)), now_ms))
    end
    redis.call('XADD', log.batches, whole(base + 1) .. '-' .. count,
      'time', whole(now_ms), 'max', max, 'before', whole(bounds.total), 'records', records)
    bounds.next = base + count
    bounds.total = bounds.total + #records
  end
  if guards then note(guards, state, base, count) end
  return { 'OK', 0, base, count, now_ms, guards and guards.partitions or 0 }
end

local before = bounds.next
local reply = { 'OK' }
for at = 4, #ARGV, WIDTH do reply[#reply + 1] = append(at) end
if bounds.next > before then
  redis.call('HSET', log.partition, 'next', whole(bounds.next), 'total', whole(bounds.total))
  redis.call('PUBLISH', ARGV[1], ARGV[2] .. whole(bounds.next))
end
return reply

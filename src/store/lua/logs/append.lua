#!lua
--- @include "lib/log"
--- @include "lib/log-results"
--- @include "lib/log-fence"
--- @include "lib/log-producer"
--- @include "lib/clock"
--[[ Appends batches to one partition, each the records of one request. Each batch is judged by itself; all of its records
     get contiguous offsets, or none does. The requests share only the round trip. A batch without records notes, at the
     home of its request, that its records go to other partitions (docs/adr/007).

     KEYS    1 partition
     ARGV    1 channel of appends  2 `<topicId>:<partition>:`, which begins each message on it
             3 limits of stored results (lib/record-quota.lua)  4 most fences
             5… the batches, 4 values each: number of records; records (lines); their own timestamps: '' for none, else the
                largest in ms, with a '~' before it if some records have none; checks: '' or JSON of
                { oldest, newest, before, after } (timestamps of the whole request in ms, and how far they may be before and
                after the present), { fence, token, lost } (lost = the error text if the broker refuses the token, unless the
                request is a repeat), and { key, fingerprint, partitions } or
                { producer, epoch, sequence, home, joined, partitions, identity, actor } (lib/log-producer.lua)
     Returns { 'OK', { start offset, end offset, offset up to which the log is compacted, time of its creation in ms, time of the
             append in ms }, result, … }
             with one result for each batch: the base offset of one without checks; of others { 'OK', replayed (1/0),
             base offset (-1: no records), number of records, time in ms, number of partitions that the request was spread
             over, or 0 } or an error
     Errors  UNKNOWN_TOPIC for all; of one batch, in order: IDEMPOTENCY_KEY_REUSED; FORBIDDEN (producer), PRODUCER_FENCED
             (field epoch), UNKNOWN_PRODUCER, OUT_OF_ORDER_SEQUENCE (fields expected, got); TOO_MANY_REQUESTS (stored results); BAD_REQUEST
             (fields timestamp, now); FENCED (field token), TOO_MANY_REQUESTS (fences)
     Emits   one message on the channel, if anything was appended: the head and log.summary(). If it is lost, readers learn of the records later. ]]
local channel, message_head, result_limits, fences_max = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local FIRST, WIDTH = 5, 4

local bounds = log.bounds()
if not bounds then return log.unknown() end

local sized_from = bounds.sized_from or bounds.next
local largest = bounds.sized_from and bounds.largest or 0

local YEARS_MS = 30 * 365 * 24 * 3600 * 1000

--- A hint at the unit that a timestamp was probably given in, if it is too large for milliseconds, else ''.
local function unit_hint(timestamp)
  for unit, factor in pairs({ microseconds = 1000, nanoseconds = 1000000 }) do
    local ms = math.floor(timestamp / factor)
    if math.abs(ms - now_ms) < YEARS_MS then return ' It looks like ' .. unit .. ': in milliseconds it is ' .. whole(ms) .. '.' end
  end
  return ''
end

--- The error that a timestamp is too far from now, or nil.
local function wrong_time(checks)
  local timestamp, setting, limit, where
  if checks.after and checks.newest > now_ms + checks.after then
    timestamp, setting, limit, where = checks.newest, 'message.timestamp.after.max.ms', checks.after, ' after '
  elseif checks.before and checks.oldest < now_ms - checks.before then
    timestamp, setting, limit, where = checks.oldest, 'message.timestamp.before.max.ms', checks.before, ' before '
  else
    return nil
  end
  return {
    'BAD_REQUEST',
    'A record has the timestamp ' .. whole(timestamp) .. ', more than ' .. whole(limit) .. ' ms (' .. setting .. ')' .. where
      .. 'the time of the service, ' .. whole(now_ms) .. '. Timestamps are milliseconds since 1970.' .. unit_hint(timestamp),
    'timestamp', exact(timestamp),
    'now', now_ms,
    'setting', setting,
  }
end

local function lost(checks)
  return { 'FENCED', checks.lost, 'fence', checks.fence, 'token', exact(checks.token) }
end

--- Returns why a batch is not appended: the result of an earlier append, or an error. Else nil and its producer's state.
local function judge(checks)
  local outcome, state
  -- A repeat gets its first result even if it is fenced by now: nothing is appended, and the result is true.
  if checks.key then outcome = results.find(checks.key, checks.fingerprint) or results.full(result_limits) end
  if checks.producer then outcome, state = producer.judge(checks) end
  if not outcome and checks.newest then outcome = wrong_time(checks) end
  if not outcome and checks.lost then outcome = lost(checks) end
  if not outcome and checks.fence then outcome = fence.judge(checks.fence, checks.token, fences_max) end
  return outcome, state
end

local function note(checks, state, base, count)
  if checks.key then results.store(checks.key, checks.fingerprint, result_limits, base, count, checks.partitions) end
  if checks.producer then producer.note(checks, state, base, count) end
end

local function append(at)
  local count, records, own = tonumber(ARGV[at]), ARGV[at + 1], ARGV[at + 2]
  local checks, state = ARGV[at + 3] ~= '' and cjson.decode(ARGV[at + 3]), nil
  if checks then
    local outcome
    outcome, state = judge(checks)
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
    if #records > largest then largest = #records end
  end
  -- Most batches have no checks, and the caller knows all else of their result: a list would cost it and Redis more.
  if not checks then return base end
  note(checks, state, base, count)
  return { 'OK', 0, base, count, now_ms, checks.partitions or 0 }
end

local before = bounds.next
local reply = { 'OK', {} }
for at = FIRST, #ARGV, WIDTH do reply[#reply + 1] = append(at) end
if bounds.next > before then
  local total = whole(bounds.total)
  redis.call('HSET', log.partition, 'next', whole(bounds.next), 'total', total, 'sized', total)
  if sized_from ~= bounds.sized_from or largest ~= bounds.largest then
    redis.call('HSET', log.partition, 'sized_from', whole(sized_from), 'largest', whole(largest))
  end
  redis.call('PUBLISH', channel, message_head .. log.summary(bounds))
end
reply[2] = { bounds.start, bounds.next, bounds.cleaned, bounds.created_at, now_ms }
return reply

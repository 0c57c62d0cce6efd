#!lua
--- @include "lib/log"
--- @include "lib/clock"
--[[ Appends batches, each the records of one request, to one partition. Each is judged by itself, and all of its
     records get contiguous offsets or none does. Requests that meet here share only the way.
     KEYS    1 partition
     ARGV    1 channel of appends  2 `<topicId>:<partition>:`, what a message there begins with
             3 how long to keep the answer to an Idempotency-Key, ms
             4… the batches, 8 words each: number of records; records (lines); largest timestamp of their own, ms, or '';
                whether all have one ('1'/'0'); name of a fence or ''; its token; idempotency key or ''; fingerprint
     Returns { 'OK', answer, … } with one answer a batch: { 'OK', replayed (1/0), base offset, number of records, time ms }
             or an error
     Errors  UNKNOWN_TOPIC for all; of one batch, in order: IDEMPOTENCY_KEY_REUSED, FENCED (field token)
     Emits   one message on the channel, if anything was appended; losing it costs a reader time, never records ]]
local WIDTH = 8
local bounds = log.bounds()
if not bounds then return log.unknown() end

--- The first answer to the same request, or an error, or nil.
local function answered(key, fingerprint)
  local kept = redis.call('GET', log.idempotency(key))
  if not kept then return nil end
  local first, base, count, time = string.match(kept, '^(%S+) ?(%d*) ?(%d*) ?(%d*)$')
  if first ~= fingerprint then return log.key_reused(key) end
  -- The key may only have been claimed here (claim.lua), by the same request, whose append was not done.
  if base == '' then return nil end
  return { 'OK', 1, tonumber(base), tonumber(count), tonumber(time) }
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

local function append(at)
  local count, records = tonumber(ARGV[at]), ARGV[at + 1]
  local own_max, all_own = tonumber(ARGV[at + 2]), ARGV[at + 3] == '1'
  local fence, key, fingerprint = ARGV[at + 4], ARGV[at + 6], ARGV[at + 7]
  -- A repeat gets its answer even if it is fenced by now: nothing is appended, and the answer is the truth.
  if key ~= '' then
    local answer = answered(key, fingerprint)
    if answer then return answer end
  end
  if fence ~= '' then
    local problem = fenced(fence, tonumber(ARGV[at + 5]))
    if problem then return problem end
  end
  local base = bounds.next
  local max = all_own and own_max or math.max(own_max or 0, now_ms)
  redis.call('XADD', log.batches, whole(base + 1) .. '-' .. whole(count),
    'time', whole(now_ms), 'max', whole(max), 'before', whole(bounds.total), 'records', records)
  bounds.next = base + count
  bounds.total = bounds.total + #records
  if key ~= '' then
    local kept = fingerprint .. ' ' .. whole(base) .. ' ' .. whole(count) .. ' ' .. whole(now_ms)
    redis.call('SET', log.idempotency(key), kept, 'PX', ARGV[3])
  end
  return { 'OK', 0, base, count, now_ms }
end

local before = bounds.next
local reply = { 'OK' }
for at = 4, #ARGV, WIDTH do reply[#reply + 1] = append(at) end
if bounds.next > before then
  redis.call('HSET', log.partition, 'next', whole(bounds.next), 'total', whole(bounds.total))
  redis.call('PUBLISH', ARGV[1], ARGV[2] .. whole(bounds.next))
end
return reply

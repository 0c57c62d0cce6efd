--- @include "lib/late"
--- @include "lib/clock"
--- @include "lib/text"
--[[ Counts records that expire by themselves, so that their number and their bytes stay below a limit. Redis cannot count the
     keys of one kind, so each record is counted in the interval of time in which it was written, and an interval is
     subtracted when all of its records have expired.

     The hash has `count` and `bytes` of all records, `oldest` (the first interval counted), and of each interval
     `<interval>:c` (count) and `<interval>:b` (bytes). ]]
local quota = {}

late(quota, function()
  local INTERVAL_MS = 10000
  --- Bytes that a record takes in Redis besides its value and its name.
  local RECORD_BYTES = 100

  local function interval_at(moment) return math.floor(moment / INTERVAL_MS) end

  --- Decodes the limits for quota.has and quota.take: `<ms until a record expires>:<most records>:<most bytes>`.
  function quota.limits(word)
    local ttl_ms, count, bytes = string.match(word, '^(%d+):(%d+):(%d+)$')
    return { ttl_ms = tonumber(ttl_ms), count = tonumber(count), bytes = tonumber(bytes) }
  end

  --- Subtracts the intervals whose records have all expired.
  local function drop_expired(name, ttl_ms)
    local oldest = tonumber(redis.call('HGET', name, 'oldest'))
    local last_expired = interval_at(now_ms - ttl_ms) - 1
    if not oldest or oldest > last_expired then return end
    local fields = redis.call('HGETALL', name)
    local count, bytes, first = 0, 0, nil
    for i = 1, #fields, 2 do
      local interval, what = string.match(fields[i], '^(%d+):(%a)$')
      interval = tonumber(interval)
      if interval and interval <= last_expired then
        if what == 'c' then count = count + tonumber(fields[i + 1]) else bytes = bytes + tonumber(fields[i + 1]) end
        redis.call('HDEL', name, fields[i])
      elseif interval and (not first or interval < first) then
        first = interval
      end
    end
    if not first then
      redis.call('DEL', name)
      return
    end
    redis.call('HINCRBY', name, 'count', -count)
    redis.call('HINCRBY', name, 'bytes', -bytes)
    redis.call('HSET', name, 'oldest', whole(first))
  end

  --- Whether one more record may be stored. The last record may exceed the limit of bytes.
  function quota.has(name, limits)
    drop_expired(name, limits.ttl_ms)
    local used = redis.call('HMGET', name, 'count', 'bytes')
    return tonumber(used[1] or '0') < limits.count and tonumber(used[2] or '0') < limits.bytes
  end

  --- Counts a record of `bytes` bytes, which replaces one of `before` bytes if that is given.
  function quota.take(name, limits, bytes, before)
    local interval = whole(interval_at(now_ms))
    local added = before and bytes - before or bytes + RECORD_BYTES
    if not before then
      redis.call('HINCRBY', name, 'count', 1)
      redis.call('HINCRBY', name, interval .. ':c', 1)
    end
    redis.call('HINCRBY', name, 'bytes', added)
    redis.call('HINCRBY', name, interval .. ':b', added)
    redis.call('HSETNX', name, 'oldest', interval)
    redis.call('PEXPIRE', name, limits.ttl_ms + 2 * INTERVAL_MS)
  end
end)

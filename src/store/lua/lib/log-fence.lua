--- @include "lib/log"
--- @include "lib/clock"
--[[ Fences of a partition: for each name the highest token received. A fence expires after a week without use. Its last use
     is stored to the minute, as each change of it costs a write. ]]
local fence = { UNUSED_MS_MAX = 7 * 24 * 3600 * 1000 }
local NOTED_MS = 60 * 1000
local DROPPED_AT_ONCE = 100

--- Returns the highest token of a name, or nil; and its last use in ms, or nil for a fence that an older version stored.
function fence.find(name)
  local token = tonumber(redis.call('HGET', log.fences, name))
  if not token then return nil end
  local used = tonumber(redis.call('ZSCORE', log.fence_uses, name))
  if used and now_ms - used > fence.UNUSED_MS_MAX + NOTED_MS then return nil end
  return token, used
end

--- Deletes expired fences. The age of a fence that an older version stored, without its last use, counts from now on.
function fence.drop_unused()
  if redis.call('ZCARD', log.fence_uses) < redis.call('HLEN', log.fences) then
    for _, name in ipairs(redis.call('HKEYS', log.fences)) do redis.call('ZADD', log.fence_uses, 'NX', now_ms, name) end
  end
  local unused_since = '(' .. whole(now_ms - fence.UNUSED_MS_MAX - NOTED_MS)
  local unused = redis.call('ZRANGE', log.fence_uses, '-inf', unused_since, 'BYSCORE', 'LIMIT', 0, DROPPED_AT_ONCE)
  for _, name in ipairs(unused) do
    redis.call('HDEL', log.fences, name)
    redis.call('ZREM', log.fence_uses, name)
  end
end

--- Checks a token, and stores it if it is not below the highest. Returns an error, or nil.
function fence.judge(name, token, names_max)
  local highest, used = fence.find(name)
  if highest and token < highest then
    return {
      'FENCED',
      'Fence ' .. name .. ' has seen the token ' .. whole(highest) .. '; ' .. whole(token) .. ' is older. Its sender has been replaced.',
      'fence', name,
      'token', exact(highest),
    }
  end
  if not highest then
    fence.drop_unused()
    if redis.call('HLEN', log.fences) >= names_max then
      return {
        'TOO_MANY_REQUESTS',
        'This partition has ' .. whole(names_max) .. ' fences, which is the most; fence ' .. name
          .. ' would be another. Nothing was written. Delete fences that are not used, or wait until they expire after 7 days without use.',
        'fence', name,
        'fencesMax', names_max,
      }
    end
  end
  if token ~= highest then redis.call('HSET', log.fences, name, whole(token)) end
  if not used or now_ms - used > NOTED_MS then redis.call('ZADD', log.fence_uses, now_ms, name) end
  return nil
end

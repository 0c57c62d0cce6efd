#!lua flags=allow-oom
--- @include "lib/keys"
--[[ Notes what the logs of a producer said that was due: when it was last used, or that none knows it any more, which is
     its end. If the registry has heard of it meanwhile, that counts, and nothing changes. Let through at the memory
     limit, as it makes room.
     KEYS    1 root
     ARGV    1 producer id  2 when the registry had last heard of it, ms  3 when it was last used, ms, or 0
             4… the logs that do not know it any more
     Returns { 'OK', ended (1/0) }
     Errors  none ]]
local id, used = ARGV[1], ARGV[3]
if tonumber(redis.call('ZSCORE', keys.producers, id)) ~= tonumber(ARGV[2]) then return { 'OK', 0 } end
if used ~= '0' then
  redis.call('ZADD', keys.producers, used, id)
  for i = 4, #ARGV do redis.call('SREM', keys.producer_logs(id), ARGV[i]) end
  return { 'OK', 0 }
end
redis.call('HDEL', keys.producer_names, redis.call('HGET', keys.producer(id), 'name'))
redis.call('ZREM', keys.producers, id)
redis.call('DEL', keys.producer(id), keys.producer_logs(id))
return { 'OK', 1 }

#!lua flags=allow-oom
--- @include "lib/keys"
--[[ Updates a producer in the registry after its logs were asked for its last use. Stores the newest time; if no log has the
     producer any more, deletes it. Changes nothing if the producer was used since the registry listed it as due. Runs at the
     memory limit, as it frees memory.

     KEYS    1 root
     ARGV    1 producer id  2 last use known to the registry when it was listed, ms  3 last use known to its logs, ms, or 0
             4… logs that do not know it any more
     Returns { 'OK', ended (1/0) }
     Errors  none ]]
local id, listed_use_ms, last_use_ms = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local FIRST_LOG = 4

if tonumber(redis.call('ZSCORE', keys.producers, id)) ~= listed_use_ms then return { 'OK', 0 } end
if last_use_ms ~= '0' then
  redis.call('ZADD', keys.producers, last_use_ms, id)
  for i = FIRST_LOG, #ARGV do redis.call('SREM', keys.producer_logs(id), ARGV[i]) end
  return { 'OK', 0 }
end
redis.call('HDEL', keys.producer_names, redis.call('HGET', keys.producer(id), 'name'))
redis.call('ZREM', keys.producers, id)
redis.call('DEL', keys.producer(id), keys.producer_logs(id))
return { 'OK', 1 }

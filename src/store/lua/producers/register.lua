#!lua
--- @include "lib/keys"
--- @include "lib/clock"
--- @include "lib/idempotency"
--[[ Gives a producer its next epoch; a name that is not known becomes a producer with epoch 0. The caller then tells the
     epoch to the logs that know the producer, and only then responds to the client (docs/adr/007).

     KEYS    1 root
     ARGV    1 name  2 producer id, if the name is new  3 record id of the Idempotency-Key, or ''
             4 fingerprint of the request  5 limits of stored responses (lib/record-quota.lua)  6 most producers
             7 identity of the caller, or '' without access control  8 identity whose names it may use, or '' = of all
     Returns { 'OK', replayed (1/0), producer id, epoch, identity to which the name belongs or '', { log, … } } with the logs that
             may know it, each `<topicId>:<partition>`
     Errors  FORBIDDEN, IDEMPOTENCY_KEY_REUSED, TOO_MANY_REQUESTS (stored responses, or producers) ]]
local name, new_id = ARGV[1], ARGV[2]
local record_id, fingerprint, response_limits = ARGV[3], ARGV[4], ARGV[5]
local producers_max, identity, acts_as = tonumber(ARGV[6]), ARGV[7], ARGV[8]

local function with_logs(reply)
  if reply[1] ~= 'OK' then return reply end
  reply[5] = redis.call('HGET', keys.producer(reply[3]), 'identity') or ''
  reply[6] = redis.call('SMEMBERS', keys.producer_logs(reply[3]))
  return reply
end

local replay = idempotency.find(record_id, fingerprint, response_limits)
if replay then return with_logs(replay) end
local epoch = 0
local id = redis.call('HGET', keys.producer_names, name)
if id then
  local owner = redis.call('HGET', keys.producer(id), 'identity')
  if owner and acts_as ~= '' and owner ~= acts_as then
    return { 'FORBIDDEN', 'The producer name ' .. name .. ' belongs to another identity than ' .. acts_as .. '; use a name of your own.' }
  end
  -- A name of a time without access control belongs to the first identity that uses it.
  if not owner and identity ~= '' then redis.call('HSET', keys.producer(id), 'identity', identity) end
  epoch = redis.call('HINCRBY', keys.producer(id), 'epoch', 1)
else
  if redis.call('ZCARD', keys.producers) >= producers_max then
    return {
      'TOO_MANY_REQUESTS',
      'There are ' .. whole(producers_max) .. ' named producers, which is the most; ' .. name .. ' would be another. Use a name again, send '
        .. 'an Idempotency-Key instead, or try again when idle ones have expired (WEIR_PRODUCER_ID_EXPIRATION).',
      'producersMax', producers_max,
    }
  end
  id = new_id
  redis.call('HSET', keys.producer_names, name, id)
  redis.call('HSET', keys.producer(id), 'name', name, 'epoch', epoch)
  if identity ~= '' then redis.call('HSET', keys.producer(id), 'identity', identity) end
end
redis.call('ZADD', keys.producers, now_ms, id)
local reply = { 'OK', 0, id, epoch }
idempotency.store(record_id, fingerprint, response_limits, reply)
return with_logs(reply)

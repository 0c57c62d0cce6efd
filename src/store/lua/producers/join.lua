#!lua
--- @include "lib/keys"
--- @include "lib/clock"
--- @include "lib/text"
--[[ Registers that a log will have records of a producer, so that the producer's next epoch is also set in that log.

     KEYS    1 root
     ARGV    1 producer id  2 producer epoch  3 log, `<topicId>:<partition>`
             4 identity whose producers the caller may use, or '' = of all
     Returns { 'OK', identity to which the producer belongs or '' }
     Errors  FORBIDDEN, UNKNOWN_PRODUCER, PRODUCER_FENCED (field epoch: the newest) ]]
local id, epoch, log_name, acts_as = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]

local stored, owner = unpack(redis.call('HMGET', keys.producer(id), 'epoch', 'identity'))
local newest = tonumber(stored)
if owner and acts_as ~= '' and owner ~= acts_as then
  return { 'FORBIDDEN', 'Producer ' .. id .. ' belongs to another identity than ' .. acts_as .. '; register one of your own.' }
end
if not newest or epoch > newest then
  local known = newest and ' is at epoch ' .. whole(newest) .. ', not yet at ' .. whole(epoch)
    or ' is not known: it never was, or it was idle for too long'
  return { 'UNKNOWN_PRODUCER', 'Producer ' .. id .. known .. '. POST /v1/producers gives an id and an epoch.' }
end
if epoch < newest then
  return {
    'PRODUCER_FENCED',
    'Epoch ' .. whole(epoch) .. ' of producer ' .. id .. ' is fenced: epoch ' .. whole(newest) .. ' was given out after it.',
    'epoch', exact(newest),
  }
end
redis.call('SADD', keys.producer_logs(id), log_name)
redis.call('ZADD', keys.producers, now_ms, id)
return { 'OK', owner or '' }

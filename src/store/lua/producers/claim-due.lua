#!lua flags=no-writes
--- @include "lib/keys"
--- @include "lib/clock"
--- @include "lib/text"
--[[ Lists producers that the registry has seen no use of for a given time: their logs may know of a later one.

     KEYS    1 root
     ARGV    1 time without use, ms  2 most producers to list
     Returns { 'OK', number of all producers, { producer id, last use known to the registry in ms, { log, … } }, … }
     Errors  none ]]
local unused_ms, limit = tonumber(ARGV[1]), ARGV[2]

local reply = { 'OK', redis.call('ZCARD', keys.producers) }
local due = redis.call('ZRANGE', keys.producers, '-inf', whole(now_ms - unused_ms), 'BYSCORE', 'LIMIT', 0, limit, 'WITHSCORES')
for i = 1, #due, 2 do
  reply[#reply + 1] = { due[i], tonumber(due[i + 1]), redis.call('SMEMBERS', keys.producer_logs(due[i])) }
end
return reply

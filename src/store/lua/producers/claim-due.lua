#!lua flags=no-writes
--- @include "lib/keys"
--- @include "lib/clock"
--- @include "lib/text"
--[[ Finds producers of which the registry has not heard for long enough.
     KEYS    1 root
     ARGV    1 how long, ms  2 at most how many
     Returns { 'OK', number of all producers, { id, when it was last heard of (ms), { log, … } }, … }
     Errors  none ]]
local reply = { 'OK', redis.call('ZCARD', keys.producers) }
local due = redis.call('ZRANGE', keys.producers, '-inf', whole(now_ms - ARGV[1]), 'BYSCORE', 'LIMIT', 0, ARGV[2], 'WITHSCORES')
for i = 1, #due, 2 do
  reply[#reply + 1] = { due[i], tonumber(due[i + 1]), redis.call('SMEMBERS', keys.producer_logs(due[i])) }
end
return reply

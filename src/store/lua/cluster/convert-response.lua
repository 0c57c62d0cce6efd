#!lua flags=allow-oom
--- @include "lib/keys"
--- @include "lib/idempotency"
--[[ Brings the record of a request with an Idempotency-Key to layout 3, where it has been given its new name: it is counted, or
     deleted if it holds the handle of a session in clear.
     KEYS    1 root
     ARGV    1 id of the record  2 limits of kept responses (lib/record-room.lua)
     Returns { 'OK' }
     Errors  none ]]
local packed = redis.call('GET', keys.response(ARGV[1]))
-- Only the creation of a session replied with so many words.
local SESSION_WORDS = 6
if packed and #cmsgpack.unpack(packed).reply == SESSION_WORDS then
  redis.call('DEL', keys.response(ARGV[1]))
elseif packed then
  room.take(keys.responses, room.limits(ARGV[2]), #ARGV[1] + #packed)
end
return { 'OK' }

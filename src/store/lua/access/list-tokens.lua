#!lua flags=no-writes
--- @include "lib/require-open"
--- @include "lib/access"
--[[ Lists the derived tokens of an identity, the next to expire first.

     KEYS    1 root
     ARGV    1 identity
     Returns { 'OK', (token id, id of the parent token or '', created at in ms, expires at in ms)… }
     Errors  none ]]
local identity = ARGV[1]

local reply = { 'OK' }
for _, id in ipairs(redis.call('ZRANGE', keys.access_tokens_of(identity), '(' .. whole(now_ms), '+inf', 'BYSCORE')) do
  local parent, created_at, expires_at = unpack(redis.call('HMGET', keys.access_token(id), 'parent', 'created_at', 'expires_at'))
  if created_at then
    reply[#reply + 1] = id
    reply[#reply + 1] = parent
    reply[#reply + 1] = tonumber(created_at)
    reply[#reply + 1] = tonumber(expires_at)
  end
end
return reply

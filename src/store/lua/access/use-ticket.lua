#!lua flags=allow-oom
--- @include "lib/require-open"
--- @include "lib/access"
--[[ Uses a ticket for an event stream. `open` gives it to a new stream, which ends the one that has it: a client that has lost its
     connection comes back before the broker knows. `keep` keeps it for the stream while that is open, `close` for a reconnect
     after it. Runs at the memory limit: streams go on there.

     KEYS    1 root
     ARGV    1 hash of the ticket  2 path and query that are asked for  3 the stream, a random name  4 open, keep or close
             5 for how long the ticket is good from now on, ms
     Returns { 'OK', identity, id of the token that it comes from or '', what that is made of or '', when that expires in ms or 0 }
     Errors  AUTH_REQUIRED: there is no such ticket (any more), it is for another stream, or has been taken by a newer one ]]
local hash, target, stream, use, good_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])

local key = keys.access_ticket(hash)
local bound, identity, token, basis, token_expires_at, holder =
  unpack(redis.call('HMGET', key, 'target', 'identity', 'token', 'basis', 'token_expires_at', 'stream'))
if not bound then
  return { 'AUTH_REQUIRED', 'The ticket is unknown, or has expired: it is to be used within 30 s, and again within 60 s. Get a new one.' }
end
if bound ~= target then
  return { 'AUTH_REQUIRED', 'The ticket is for another path and query than those of this request. Get one for them.' }
end
if use == 'open' then
  redis.call('HSET', key, 'stream', stream)
elseif holder ~= stream then
  return { 'AUTH_REQUIRED', 'A newer event stream has taken the ticket of this one: a ticket is for one stream at a time.' }
elseif use == 'close' then
  redis.call('HSET', key, 'stream', '')
end
local expires_at = access.expiry(good_ms, tonumber(token_expires_at))
redis.call('PEXPIRE', key, whole(expires_at - now_ms))
redis.call('ZADD', keys.access_tickets, whole(expires_at), hash)
access.keep_ticket(keys.access_tickets_of(identity), hash, expires_at)
return { 'OK', identity, token, basis, tonumber(token_expires_at) }

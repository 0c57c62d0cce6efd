#!lua
--- @include "lib/keys"
--- @include "lib/clock"
--- @include "lib/idempotency"
--[[ Creates a session.
     KEYS    1 root
     ARGV    1 id  2 hash of its secret  3 ttl, ms  4 the handle, sealed, for a repeat with the same Idempotency-Key
             5 id of the record for that key or ''  6 fingerprint  7 limits of kept responses (lib/record-quota.lua)
             8 most sessions
     Returns { 'OK', replayed, id, the sealed handle, ttl ms, expires at ms }
     Errors  IDEMPOTENCY_KEY_REUSED, TOO_MANY_REQUESTS (kept responses, or sessions) ]]
local replay = idempotency.find(ARGV[5], ARGV[6], ARGV[7])
if replay then return replay end
local sessions_max = tonumber(ARGV[8])
if redis.call('ZCARD', keys.sessions) >= sessions_max then
  return {
    'TOO_MANY_REQUESTS',
    'There are ' .. whole(sessions_max) .. ' sessions, which is the most. Nothing was done: end those that are not needed, or try again when '
      .. 'others have ended.',
    'sessionsMax', sessions_max,
  }
end
local id, ttl_ms = ARGV[1], tonumber(ARGV[3])
redis.call('HSET', keys.session(id), 'secret_hash', ARGV[2], 'ttl_ms', ttl_ms, 'created_at', now_ms)
redis.call('ZADD', keys.sessions, now_ms + ttl_ms, id)
local reply = { 'OK', 0, id, ARGV[4], ttl_ms, now_ms + ttl_ms }
idempotency.keep(ARGV[5], ARGV[6], ARGV[7], reply)
return reply

#!lua
--- @include "lib/keys"
--- @include "lib/clock"
--- @include "lib/idempotency"
--[[ Creates a session.
     KEYS    1 root
     ARGV    1 id  2 hash of its secret  3 ttl, ms  4 handle (kept only for a repeat of the same idempotency key)
             5 idempotency key or ''  6 fingerprint  7 how long to keep the answer, ms
     Returns { 'OK', replayed, id, handle, ttl ms, expires at ms }
     Errors  IDEMPOTENCY_KEY_REUSED ]]
local replay = idempotency.find(ARGV[5], ARGV[6])
if replay then return replay end
local id, ttl_ms = ARGV[1], tonumber(ARGV[3])
redis.call('HSET', keys.session(id), 'secret_hash', ARGV[2], 'ttl_ms', ttl_ms, 'created_at', now_ms)
redis.call('ZADD', keys.sessions, now_ms + ttl_ms, id)
local reply = { 'OK', 0, id, ARGV[4], ttl_ms, now_ms + ttl_ms }
idempotency.keep(ARGV[5], ARGV[6], ARGV[7], reply)
return reply

#!lua
--- @include "lib/session"
--- @include "lib/idempotency"
--[[ Creates the session of a client.

     KEYS    1 root
     ARGV    1 session id  2 hash of its secret  3 time to live, ms
             4 sealed handle, which a repeat with the same Idempotency-Key gets
             5 record id of that key, or ''  6 fingerprint of the request  7 limits of stored responses (lib/record-quota.lua)
             8 most sessions  9 label, or ''  10 identity of its client, or ''
     Returns { 'OK', replayed (1/0), session id, sealed handle, time to live in ms, expires at in ms }
     Errors  IDEMPOTENCY_KEY_REUSED, TOO_MANY_REQUESTS (stored responses, or sessions) ]]
local id, secret_hash, ttl_ms, sealed_handle = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local record_id, fingerprint, response_limits = ARGV[5], ARGV[6], ARGV[7]
local sessions_max, label, identity = tonumber(ARGV[8]), ARGV[9], ARGV[10]

local replay = idempotency.find(record_id, fingerprint, response_limits)
if replay then return replay end
if redis.call('ZCARD', keys.sessions) >= sessions_max then
  return {
    'TOO_MANY_REQUESTS',
    'There are ' .. whole(sessions_max) .. ' sessions, which is the most. Nothing was done: end those that are not needed, or try again when '
      .. 'others have ended.',
    'sessionsMax', sessions_max,
  }
end
session.create(id, secret_hash, ttl_ms, identity)
if label ~= '' then redis.call('HSET', keys.session(id), 'label', label) end
local reply = { 'OK', 0, id, sealed_handle, ttl_ms, now_ms + ttl_ms }
idempotency.store(record_id, fingerprint, response_limits, reply)
return reply

#!lua
--- @include "lib/require-open"
--- @include "lib/access"
--- @include "lib/idempotency"
--[[ Stores a ticket: it opens one event stream, and is to be used for the first time soon (access/use-ticket.lua).

     KEYS    1 root
     ARGV    1 hash of the ticket  2 path and query that it opens  3 identity  4 id of the token that it comes from, or ''
             5 what that is made of (src/access/policy.ts: basisOf), or '' for a derived one  6 when that expires, ms, or 0
             7 time to the first use, ms  8 most tickets
             9 sealed ticket, which a repeat with the same Idempotency-Key gets
             10 record id of that key, or ''  11 fingerprint of the request  12 limits of stored responses (lib/record-quota.lua)
     Returns { 'OK', replayed (1/0), sealed ticket, expires at in ms }
     Errors  IDEMPOTENCY_KEY_REUSED, TOO_MANY_REQUESTS (stored responses, or tickets) ]]
local hash, target, identity, token, basis = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local token_expires_at, unused_ms, tickets_max = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local sealed, record_id, fingerprint, response_limits = ARGV[9], ARGV[10], ARGV[11], ARGV[12]

local replay = idempotency.find(record_id, fingerprint, response_limits)
if replay then return replay end
redis.call('ZREMRANGEBYSCORE', keys.access_tickets, '-inf', whole(now_ms))
if redis.call('ZCARD', keys.access_tickets) >= tickets_max then
  return {
    'TOO_MANY_REQUESTS',
    'There are ' .. whole(tickets_max) .. ' tickets for event streams, which is the most. Try again when some have been used or have '
      .. 'expired, or read the stream with fetch() and the header Authorization.',
    'ticketsMax', tickets_max,
  }
end
local expires_at = access.expiry(unused_ms, token_expires_at)
local key = keys.access_ticket(hash)
redis.call('HSET', key, 'target', target, 'identity', identity, 'token', token, 'basis', basis,
  'token_expires_at', whole(token_expires_at), 'stream', '')
redis.call('PEXPIRE', key, whole(expires_at - now_ms))
redis.call('ZADD', keys.access_tickets, whole(expires_at), hash)
local reply = { 'OK', 0, sealed, expires_at }
idempotency.store(record_id, fingerprint, response_limits, reply)
return reply

#!lua
--- @include "lib/require-open"
--- @include "lib/access"
--- @include "lib/idempotency"
--[[ Stores a ticket: it opens one event stream, and is to be used for the first time soon (access/use-ticket.lua).

     KEYS    1 root
     ARGV    1 hash of the ticket  2 path and query that it opens  3 identity  4 id of the token that it comes from, or ''
             5 what that is made of (src/access/policy.ts: basisOf), or '' for a derived one  6 when that expires, ms, or 0
             7 time to the first use, ms  8 most tickets of one identity
             9 most tickets of all  10 sealed ticket, which a repeat with the same Idempotency-Key gets
             11 record id of that key, or ''  12 fingerprint of the request  13 limits of stored responses (lib/record-quota.lua)
     Returns { 'OK', replayed (1/0), sealed ticket, expires at in ms }
     Errors  IDEMPOTENCY_KEY_REUSED, TOO_MANY_REQUESTS (stored responses, or tickets) ]]
local hash, target, identity, token, basis = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local token_expires_at, unused_ms, of_identity_max, tickets_max = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local sealed, record_id, fingerprint, response_limits = ARGV[10], ARGV[11], ARGV[12], ARGV[13]

local replay = idempotency.find(record_id, fingerprint, response_limits)
if replay then return replay end
local function full(list, max, of)
  redis.call('ZREMRANGEBYSCORE', list, '-inf', whole(now_ms))
  if redis.call('ZCARD', list) < max then return nil end
  return {
    'TOO_MANY_REQUESTS',
    'There are ' .. whole(max) .. ' tickets for event streams' .. of .. ', which is the most. Try again when some have been used or '
      .. 'have expired, or read the stream with fetch() and the header Authorization.',
    'ticketsMax', max,
  }
end
local own = keys.access_tickets_of(identity)
local problem = full(own, of_identity_max, ' of ' .. identity) or full(keys.access_tickets, tickets_max, '')
if problem then return problem end
local expires_at = access.expiry(unused_ms, token_expires_at)
local key = keys.access_ticket(hash)
redis.call('HSET', key, 'target', target, 'identity', identity, 'token', token, 'basis', basis,
  'token_expires_at', whole(token_expires_at), 'stream', '')
redis.call('PEXPIRE', key, whole(expires_at - now_ms))
redis.call('ZADD', keys.access_tickets, whole(expires_at), hash)
access.keep_ticket(own, hash, expires_at)
local reply = { 'OK', 0, sealed, expires_at }
idempotency.store(record_id, fingerprint, response_limits, reply)
return reply

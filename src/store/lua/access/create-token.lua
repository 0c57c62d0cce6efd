#!lua
--- @include "lib/require-open"
--- @include "lib/clock"
--- @include "lib/idempotency"
--- @include "lib/access"
--[[ Stores a derived token, until it expires.

     KEYS    1 root
     ARGV    1 token id  2 SHA-256 of the token (hex)  3 identity  4 id of the parent token, or ''
             5 what its parent is made of (src/access/policy.ts: basisOf)  6 what it allows (JSON)  7 time to live, ms
             8 when its parent expires, ms, or 0  9 most tokens of an identity  10 most tokens
             11 sealed token, which a repeat with the same Idempotency-Key gets
             12 record id of that key, or ''  13 fingerprint of the request  14 limits of stored responses (lib/record-quota.lua)
     Returns { 'OK', replayed (1/0), token id, sealed token, expires at in ms }
     Errors  IDEMPOTENCY_KEY_REUSED, TOO_MANY_REQUESTS (stored responses, or tokens) ]]
local id, sha256, identity, parent, basis, allow = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local ttl_ms, parent_expires_at, of_identity_max, tokens_max = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local sealed, record_id, fingerprint, response_limits = ARGV[11], ARGV[12], ARGV[13], ARGV[14]

-- derivedTokenTtlMsMax in schemas/access.ts.
local TTL_MS_MAX = 86400000

local function full(count, most, whose)
  if count < most then return nil end
  return {
    'TOO_MANY_REQUESTS',
    'There are ' .. whole(count) .. ' derived tokens' .. whose .. ', which is the most. Revoke those that are not needed '
      .. '(DELETE /v1/access/tokens/{tokenId}), or wait until some expire; give them a shorter ttl.',
    'tokensMax', most,
  }
end

local replay = idempotency.find(record_id, fingerprint, response_limits)
if replay then return replay end
local own = keys.access_tokens_of(identity)
redis.call('ZREMRANGEBYSCORE', own, '-inf', whole(now_ms))
redis.call('ZREMRANGEBYSCORE', keys.access_tokens, '-inf', whole(now_ms))
local problem = full(redis.call('ZCARD', own), of_identity_max, ' of ' .. identity)
  or full(redis.call('ZCARD', keys.access_tokens), tokens_max, '')
if problem then return problem end

local expires_at = access.expiry(ttl_ms, parent_expires_at)
local key = keys.access_token(id)
redis.call('HSET', key, 'sha256', sha256, 'identity', identity, 'parent', parent, 'basis', basis, 'allow', allow,
  'created_at', whole(now_ms), 'expires_at', whole(expires_at))
redis.call('PEXPIRE', key, whole(expires_at - now_ms))
redis.call('ZADD', own, whole(expires_at), id)
redis.call('ZADD', keys.access_tokens, whole(expires_at), id)
-- It outlives every token in it.
redis.call('PEXPIRE', own, TTL_MS_MAX)
local reply = { 'OK', 0, id, sealed, expires_at }
idempotency.store(record_id, fingerprint, response_limits, reply)
return reply

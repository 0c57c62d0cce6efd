#!lua flags=allow-oom
--- @include "lib/require-open"
--- @include "lib/access"
--- @include "lib/idempotency"
--[[ Revokes a derived token: brokers forget it within a second. Runs at the memory limit, as it frees memory.

     KEYS    1 root
     ARGV    1 token id  2 identity whose tokens the caller may revoke, or '' = those of all
             3 record id of the Idempotency-Key, or ''  4 fingerprint of the request
             5 limits of stored responses (lib/record-quota.lua)
     Returns { 'OK', replayed (1/0) }
     Errors  IDEMPOTENCY_KEY_REUSED, TOO_MANY_REQUESTS (stored responses), NOT_FOUND, also for one of another identity ]]
local id, acts_as = ARGV[1], ARGV[2]
local record_id, fingerprint, response_limits = ARGV[3], ARGV[4], ARGV[5]

local replay = idempotency.find(record_id, fingerprint, response_limits)
if replay then return replay end
local identity = redis.call('HGET', keys.access_token(id), 'identity')
if not identity or (acts_as ~= '' and acts_as ~= identity) then
  return { 'NOT_FOUND', 'There is no derived token ' .. id .. ' of yours: it never was, has expired, or was revoked.', 'token', id }
end
redis.call('DEL', keys.access_token(id))
redis.call('ZREM', keys.access_tokens_of(identity), id)
redis.call('ZREM', keys.access_tokens, id)
access.changed()
local reply = { 'OK', 0 }
idempotency.store(record_id, fingerprint, response_limits, reply)
return reply

--- @include "lib/keys"
--- @include "lib/clock"
--- @include "lib/text"
--[[ Derived tokens and tickets: credentials that the store holds, as hashes of what clients send. ]]
local access = {}

--- When a credential expires, ms: never later than the one that it comes from, `parent_expires_at`, if that does (0 = it does not).
function access.expiry(ttl_ms, parent_expires_at)
  local expires_at = now_ms + ttl_ms
  return parent_expires_at > 0 and math.min(expires_at, parent_expires_at) or expires_at
end

--- Tells all brokers to look again: they read the count more than twice a second, and drop what they remember of tokens.
function access.changed() redis.call('HINCRBY', keys.root, 'access_changes', 1) end

function access.changes() return tonumber(redis.call('HGET', keys.root, 'access_changes') or '0') end

--- The list of an identity's tickets outlives each of them, as a ticket is good for about a minute after it was made or kept.
local TICKETS_MS = 300000

--- Notes until when a ticket is good in the list of its identity.
function access.keep_ticket(own, hash, expires_at)
  redis.call('ZADD', own, whole(expires_at), hash)
  redis.call('PEXPIRE', own, TICKETS_MS)
end

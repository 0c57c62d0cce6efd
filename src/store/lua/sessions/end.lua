#!lua flags=allow-oom
--- @include "lib/session-end"
--- @include "lib/idempotency"
--[[ Ends a session now, and deletes all its ephemeral nodes. Runs at the memory limit, as it frees memory.

     KEYS    1 root
     ARGV    1 session id  2 hash of its secret, or '' without one  3 identity of the caller, or '' = it may use sessions of all
             4 connection epoch of the connection that asks, or ''  5 transactions to retain in the event stream
             6 record id of the Idempotency-Key, or ''  7 fingerprint of the request
             8 limits of stored responses (lib/record-quota.lua)
     Returns { 'OK', replayed (1/0), zxid, number of ephemeral nodes deleted }
     Errors  IDEMPOTENCY_KEY_REUSED, TOO_MANY_REQUESTS (stored responses), SESSION_EXPIRED, FORBIDDEN, SESSION_MOVED
     Emits   one transaction of deleted, if it had ephemeral nodes ]]
local id, secret_hash, identity, epoch, event_retention = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local record_id, fingerprint, response_limits = ARGV[6], ARGV[7], ARGV[8]

local replay = idempotency.find(record_id, fingerprint, response_limits)
if replay then return replay end
local problem = session.problem(id, secret_hash, identity, epoch)
if problem then return problem end
local count = session.finish(id)
txn.write(event_retention)
local reply = { 'OK', 0, txn.newest(), count }
idempotency.store(record_id, fingerprint, response_limits, reply)
return reply

#!lua flags=allow-oom
--- @include "lib/session-end"
--- @include "lib/idempotency"
--[[ Ends a session now, and deletes all its ephemeral nodes. Runs at the memory limit, as it frees memory.

     KEYS    1 root
     ARGV    1 session id  2 hash of its secret, or '' for a session of the broker itself  3 transactions to retain in the event stream
             4 record id of the Idempotency-Key, or ''  5 fingerprint of the request
             6 limits of stored responses (lib/record-quota.lua)
     Returns { 'OK', replayed (1/0), zxid, number of ephemeral nodes deleted }
     Errors  IDEMPOTENCY_KEY_REUSED, TOO_MANY_REQUESTS (stored responses), SESSION_EXPIRED
     Emits   one transaction of deleted, if it had ephemeral nodes ]]
local id, secret_hash, event_retention = ARGV[1], ARGV[2], tonumber(ARGV[3])
local record_id, fingerprint, response_limits = ARGV[4], ARGV[5], ARGV[6]

local replay = idempotency.find(record_id, fingerprint, response_limits)
if replay then return replay end
local problem = session.problem(id, secret_hash)
if problem then return problem end
local count = session.finish(id)
txn.write(event_retention)
local reply = { 'OK', 0, txn.newest(), count }
idempotency.store(record_id, fingerprint, response_limits, reply)
return reply

#!lua flags=allow-oom
--- @include "lib/session-end"
--- @include "lib/idempotency"
--[[ Ends a session now, with all its ephemeral nodes.
     KEYS    1 root
     ARGV    1 id  2 hash of the secret ('' = the broker's own)  3 transactions to keep
             4 id of the record for its Idempotency-Key or ''  5 fingerprint  6 limits of kept responses (lib/record-quota.lua)
     Returns { 'OK', replayed (1/0), zxid, how many ephemeral nodes }
     Errors  IDEMPOTENCY_KEY_REUSED, TOO_MANY_REQUESTS, SESSION_EXPIRED
     Emits   one transaction of deleted, if it had ephemeral nodes ]]
local kept = idempotency.find(ARGV[4], ARGV[5], ARGV[6])
if kept then return kept end
local problem = session.problem(ARGV[1], ARGV[2])
if problem then return problem end
local count = session.finish(ARGV[1], tonumber(ARGV[3]))
local reply = { 'OK', 0, tonumber(redis.call('HGET', keys.root, 'zxid') or '0'), count }
idempotency.keep(ARGV[4], ARGV[5], ARGV[6], reply)
return reply

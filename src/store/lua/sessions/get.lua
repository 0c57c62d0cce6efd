#!lua flags=no-writes
--- @include "lib/keys"
--- @include "lib/session"
--[[ Describes a session without renewing it.
     KEYS    1 root
     ARGV    1 id  2 hash of the secret
     Returns { 'OK', ttl ms, expires at ms, ephemeral path, … }
     Errors  SESSION_EXPIRED ]]
local problem = session.problem(ARGV[1], ARGV[2])
if problem then return problem end
local reply = {
  'OK',
  tonumber(redis.call('HGET', keys.session(ARGV[1]), 'ttl_ms')),
  tonumber(redis.call('ZSCORE', keys.sessions, ARGV[1])),
}
for _, path in ipairs(redis.call('SMEMBERS', keys.ephemerals(ARGV[1]))) do reply[#reply + 1] = path end
return reply

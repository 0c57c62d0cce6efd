#!lua flags=allow-oom
--- @include "lib/keys"
--- @include "lib/clock"
--- @include "lib/session"
--[[ Renews a session for its full time. Let through at the memory limit: it only moves a deadline.
     KEYS    1 root
     ARGV    1 id  2 hash of the secret ('' = the broker's own)
     Returns { 'OK', ttl ms, expires at ms }
     Errors  SESSION_EXPIRED ]]
local problem = session.problem(ARGV[1], ARGV[2])
if problem then return problem end
local ttl_ms = tonumber(redis.call('HGET', keys.session(ARGV[1]), 'ttl_ms'))
redis.call('ZADD', keys.sessions, now_ms + ttl_ms, ARGV[1])
return { 'OK', ttl_ms, now_ms + ttl_ms }

#!lua flags=allow-oom
--- @include "lib/session-end"
--[[ Ends a session now, with all its ephemeral nodes.
     KEYS    1 root
     ARGV    1 id  2 hash of the secret ('' = the broker's own)  3 transactions to keep
     Returns { 'OK', zxid, how many ephemeral nodes }
     Errors  SESSION_EXPIRED
     Emits   one transaction of deleted, if it had ephemeral nodes ]]
local problem = session.problem(ARGV[1], ARGV[2])
if problem then return problem end
local count = session.finish(ARGV[1], tonumber(ARGV[3]))
return { 'OK', tonumber(redis.call('HGET', keys.root, 'zxid') or '0'), count }

#!lua flags=allow-oom
--- @include "lib/session"
--[[ Creates the session of a broker. Runs at the memory limit, so that a broker that starts there can serve reads and
     deletions; sessions of clients do not (sessions/create.lua).

     KEYS    1 root
     ARGV    1 session id  2 time to live, ms
     Returns { 'OK' }
     Errors  none ]]
local id, ttl_ms = ARGV[1], tonumber(ARGV[2])

-- It has no secret: no handle leads to it.
session.create(id, '', ttl_ms, '')
return { 'OK' }

#!lua flags=no-writes
--- @include "lib/require-open"
--- @include "lib/access"
--[[ Reads a derived token.

     KEYS    1 root
     ARGV    1 token id
     Returns { 'OK', count of changes (lib/access.lua), SHA-256, identity, id of the parent token or '', what that is made of, what it
             allows, expires at in ms }; only the count if there is no such token
     Errors  none ]]
local id = ARGV[1]

local sha256, identity, parent, basis, allow, expires_at =
  unpack(redis.call('HMGET', keys.access_token(id), 'sha256', 'identity', 'parent', 'basis', 'allow', 'expires_at'))
if not sha256 then return { 'OK', access.changes() } end
return { 'OK', access.changes(), sha256, identity, parent, basis, allow, tonumber(expires_at) }

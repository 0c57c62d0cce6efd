#!lua flags=no-writes
--- @include "lib/keys"
--[[ Reads one page of the groups, by name in byte order, with the versions of their documents.

     KEYS    1 root
     ARGV    1 name after which the page starts, or ''  2 most groups
     Returns { 'OK', more follow ('1'/'0'), name, version (0 = there is no document), name, version, … }
     Errors  none ]]
local start_after, limit = ARGV[1], tonumber(ARGV[2])

local from = start_after == '' and '-' or '(' .. start_after
local names = redis.call('ZRANGE', keys.children('/consumers'), from, '+', 'BYLEX', 'LIMIT', 0, limit + 1)
local reply = { 'OK', #names > limit and '1' or '0' }
for i = 1, math.min(#names, limit) do
  reply[#reply + 1] = names[i]
  reply[#reply + 1] = tonumber(redis.call('HGET', keys.group(names[i]), 'version') or '0')
end
return reply

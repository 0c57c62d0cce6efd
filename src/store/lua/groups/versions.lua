#!lua flags=no-writes
--- @include "lib/keys"
--[[ One page of the groups, by name in byte order, with the versions of their documents.
     KEYS    1 root
     ARGV    1 name after which to start, or ''  2 most groups
     Returns { 'OK', more ('1'/'0'), name, version (0 = there is no document), name, version, … }
     Errors  none ]]
local limit = tonumber(ARGV[2])
local from = ARGV[1] == '' and '-' or '(' .. ARGV[1]
local names = redis.call('ZRANGE', keys.children('/consumers'), from, '+', 'BYLEX', 'LIMIT', 0, limit + 1)
local reply = { 'OK', #names > limit and '1' or '0' }
for i = 1, math.min(#names, limit) do
  reply[#reply + 1] = names[i]
  reply[#reply + 1] = tonumber(redis.call('HGET', keys.group(names[i]), 'version') or '0')
end
return reply

#!lua flags=no-writes
--- @include "lib/keys"
--[[ Reads one page of the groups, by name in byte order, with their documents. A page ends early where documents are long.

     KEYS    1 root
     ARGV    1 name after which the page starts, or ''  2 most groups
     Returns { 'OK', zxid, more follow ('1'/'0'), name, document, name, document, … }
     Errors  none ]]
local start_after, limit = ARGV[1], tonumber(ARGV[2])

local from = start_after == '' and '-' or '(' .. start_after
local names = redis.call('ZRANGE', keys.children('/consumers'), from, '+', 'BYLEX', 'LIMIT', 0, limit + 1)
local reply = { 'OK', tonumber(redis.call('HGET', keys.root, 'zxid') or '0'), #names > limit and '1' or '0' }
-- After how many bytes of documents a page ends.
local DOCUMENTS_BYTES = 1048576
local bytes = 0
for i = 1, math.min(#names, limit) do
  if bytes > DOCUMENTS_BYTES then
    reply[3] = '1'
    break
  end
  local document = redis.call('HGET', keys.group(names[i]), 'document') or ''
  bytes = bytes + #document
  reply[#reply + 1] = names[i]
  reply[#reply + 1] = document
end
return reply

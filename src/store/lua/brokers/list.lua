#!lua flags=no-writes
--- @include "lib/keys"
--- @include "lib/stat"
--[[ Reads all live brokers, with what each reported last, and the node of the controller.

     KEYS    1 root
     ARGV    none
     Returns { 'OK', zxid, data of the controller's node or '', (broker id, data of its node, czxid of it, its report or '')… }
     Errors  none ]]
local zxid = tonumber(redis.call('HGET', keys.root, 'zxid') or '0')
local reply = { 'OK', zxid, redis.call('HGET', keys.node('/controller'), 'data') or '' }
for _, id in ipairs(redis.call('ZRANGE', keys.children('/brokers/ids'), 0, -1)) do
  local fields = redis.call('HMGET', keys.node('/brokers/ids/' .. id), 'stat', 'data')
  if fields[1] then
    local node = stat.parse(fields[1])
    local size = #reply
    reply[size + 1] = id
    reply[size + 2] = fields[2]
    reply[size + 3] = node.czxid
    reply[size + 4] = node.owner and redis.call('HGET', keys.session(node.owner), 'report') or ''
  end
end
return reply

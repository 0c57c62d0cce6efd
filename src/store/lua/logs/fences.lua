#!lua flags=no-writes
--- @include "lib/log-fence"
--[[ Lists the fences of a partition.

     KEYS    1 partition
     ARGV    none
     Returns { 'OK', (name, token, last use in ms, or 0 = not known)… }
     Errors  UNKNOWN_TOPIC ]]
if redis.call('EXISTS', log.partition) == 0 then return log.unknown() end
local reply = { 'OK' }
for _, name in ipairs(redis.call('HKEYS', log.fences)) do
  local token, used = fence.find(name)
  if token then
    local n = #reply
    reply[n + 1], reply[n + 2], reply[n + 3] = name, whole(token), used or 0
  end
end
return reply

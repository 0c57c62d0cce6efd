--- @include "lib/keys"
--[[ Refuses to run, before anything was done, on a store that was not opened for this program (cluster/open.lua): it was emptied
     behind the back of those who are connected to it, or a newer program has converted its data. Whoever hears of that opens it
     anew (src/store/redis/topology.ts: refused). Without it an emptied tree has no root, and what is written would belong to no epoch; and
     converted data would be written in its old form. ]]
do
  -- That of src/store/migrations; test/house compares them.
  local LAYOUT = '3'
  local run, layout = unpack(redis.call('HMGET', keys.root, 'run', 'layout'))
  if not run or layout ~= LAYOUT then
    error(redis.error_reply('UNOPENED The store was emptied or converted; it must be opened again.'))
  end
end

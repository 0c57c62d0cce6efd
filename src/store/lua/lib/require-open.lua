--- @include "lib/root"
--[[ Refuses to run, before any change, on a store that was not opened for this program (cluster/open.lua): it was emptied while
     brokers were connected, or a newer program has migrated its data. A broker that gets this error opens the store again
     (src/store/redis/topology.ts: handleRefusal). Without the check, an emptied tree would have no root and its changes no epoch,
     and migrated data would be written in their old form. ]]
do
  -- The layout of src/store/migrations; test/house compares the two.
  local LAYOUT = '6'
  if not root.run or root.layout ~= LAYOUT then
    error(redis.error_reply('UNOPENED The store was emptied or converted; it must be opened again.'))
  end
end

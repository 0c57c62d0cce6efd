--- @include "lib/keys"
--[[ Refuses to run, before anything was done, on a store that was not opened (cluster/open.lua): it was emptied behind the back
     of those who are connected to it. Whoever hears of that opens it anew (src/store/engine.ts: refused). Without it the tree
     has no root, and what is written would belong to no epoch. ]]
if redis.call('HEXISTS', keys.root, 'run_id') == 0 then
  error(redis.error_reply('UNOPENED The store was emptied; it must be opened again.'))
end

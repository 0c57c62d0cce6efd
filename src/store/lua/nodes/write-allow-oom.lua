#!lua flags=allow-oom
--- @include "lib/requests"
--[[ As nodes/write.lua, for the few small nodes by which the cluster itself lives, and makes room: brokers, controller, partition
     states, settings and deletions of topics. A script of its own so that it is let through when the store is at its memory
     limit: a broker that starts then can serve reads and deletions.
     KEYS    1 root
     ARGV    lib/requests.lua
     Returns as nodes/write.lua
     Errors  as nodes/write.lua
     Emits   as nodes/write.lua ]]
return requests.run()

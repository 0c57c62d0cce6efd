#!lua flags=allow-oom
--- @include "lib/requests"
--[[ Does the same as nodes/write.lua, and runs at the memory limit. It is for the few small nodes that the cluster
     needs to run and to free memory: brokers, controller, partition states, settings and deletions of topics. So a broker
     that starts at the limit can serve reads and deletions.

     KEYS    1 root
     ARGV    as lib/requests.lua
     Returns as lib/requests.lua
     Errors  as nodes/write.lua
     Emits   as nodes/write.lua ]]
return requests.run()

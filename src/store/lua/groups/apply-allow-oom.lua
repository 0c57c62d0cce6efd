#!lua flags=allow-oom
--- @include "lib/group-apply"
--[[ As groups/apply.lua, and let through when the store is at its memory limit: for what keeps a group running, adds no
     member, and makes room as often as it takes some (heartbeats, leaving, expiry, reading on).
     KEYS    1 root
     ARGV    as groups/apply.lua
     Returns as groups/apply.lua
     Errors  as groups/apply.lua
     Emits   as groups/apply.lua ]]
return apply.run()

#!lua flags=allow-oom
--- @include "lib/group-apply"
--[[ Does the same as groups/apply.lua, and runs at the memory limit. It is for updates that keep a group running
     (heartbeats, leaving, expiry, consuming): they add no member, and free as much memory as they take.

     KEYS    1 root
     ARGV    as groups/apply.lua
     Returns as groups/apply.lua
     Errors  as groups/apply.lua
     Emits   as groups/apply.lua ]]
return apply.run()

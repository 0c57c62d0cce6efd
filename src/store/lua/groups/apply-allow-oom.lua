#!lua flags=allow-oom
--- @include "lib/group-apply"
--[[ Does the same as groups/apply.lua, and runs at the memory limit. It is for updates that keep a group running
     (heartbeats, leaving, expiry, consuming): they add no member, and free as much memory as they take.

     KEYS    1 root
     ARGV    as groups/apply.lua
     Returns as groups/apply.lua
     Errors  as groups/apply.lua
     Emits   as groups/apply.lua ]]
local name, document, fields = ARGV[1], ARGV[2], ARGV[3]
return apply.run(name, document, fields)

#!lua flags=no-writes
--- @include "lib/group"
--[[ Reads a group's document.
     KEYS    1 root
     ARGV    1 group
     Returns { 'OK', zxid, version (0 = there is no such group), document, living member… }
     Errors  none ]]
local version, document = group.load()
return group.add_members({ 'OK', tonumber(redis.call('HGET', keys.root, 'zxid') or '0'), version, document })

#!lua flags=no-writes
--- @include "lib/group"
--[[ Reads a group's document.

     KEYS    1 root
     ARGV    1 group  2 version that the broker has, 0 = none
     Returns { 'OK', zxid, version (0 = there is no such group), document ('' if the broker has it), member with a live session… }
     Errors  none ]]
local name, known_version = ARGV[1], tonumber(ARGV[2])

group.select(name)
local version = group.version()
local document = version == known_version and '' or group.document()
return group.add_members({ 'OK', tonumber(redis.call('HGET', keys.root, 'zxid') or '0'), version, document })

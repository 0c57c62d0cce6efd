#!lua flags=no-writes
--- @include "lib/keys"
--- @include "lib/resume"
--[[ Whether watchers may resume after zxids.
     KEYS    1 root
     ARGV    1 history that the watchers follow: 'main', or 'both' (committed offsets, too)  2… zxids
     Returns { 'OK', newest zxid, answer, … }, one of each zxid: { 'OK' } or an error
     Errors  COMPACTED, with the fields oldest (the oldest zxid that can be asked for) and zxid (the newest) ]]
local floor = floor_of(ARGV[1])
local reply = { 'OK', newest }
for at = 2, #ARGV do reply[#reply + 1] = not_resumable(ARGV[at], floor) or { 'OK' } end
return reply

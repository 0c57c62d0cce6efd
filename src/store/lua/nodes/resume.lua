#!lua flags=no-writes
--- @include "lib/keys"
--- @include "lib/resume"
--[[ Says whether watchers may resume after zxids.

     KEYS    1 root
     ARGV    1 history that they watch: 'main', or 'both' (committed offsets, too)  2… zxids
     Returns { 'OK', newest zxid, result, … } with one result for each zxid: { 'OK' } or an error
     Errors  COMPACTED (fields oldest: the oldest zxid after which a watcher may resume; zxid: the newest) ]]
local history = ARGV[1]
local FIRST_ZXID = 2

local floor = floor_of(history)
local reply = { 'OK', newest }
for at = FIRST_ZXID, #ARGV do reply[#reply + 1] = not_resumable(ARGV[at], floor) or { 'OK' } end
return reply

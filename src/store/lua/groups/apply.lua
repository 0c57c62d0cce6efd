#!lua
--- @include "lib/group-apply"
--[[ Updates a group by compare-and-set: its document, sessions, nodes, timers and positions change in one transaction.

     KEYS    1 root
     ARGV    1 group  2 new document, '' = unchanged, 'delete' = delete the group
             3 the update: JSON with named fields and lists (encodeCommit in src/store/groups/group-commit.ts lists them)
             4… operations on the tree, each packed (lib/ops.lua)
     Returns { 'OK', 'applied', version, zxid, moved, last sequence, new call epoch…,
               (position or '', start or '', committed or '')… }
             moved = for how many ms members were moving to their target assignment, if this ends it, else -1
             last sequence = of the last delivery to the consumer, with this one; start = the first offset of that delivery
             { 'OK', 'conflict', version, document }: the document has another version
             { 'OK', 'sessions_ended', version, document, member… }: sessions of members have ended; these members have one
             { 'OK', 'refused', number of members, (member, call epoch)…, (record id, '' or an error code, response or detail)… }:
             these members have begun newer calls, these requests have a response already; update again without them
             { 'OK', 'stale_sequence', last sequence, the one before }: the consumer's last delivery is not the expected one
     Errors  those of an operation that fails: then the document and the tree contradict each other
     Emits   one transaction of created, changed, deleted ]]
local name, document, fields = ARGV[1], ARGV[2], ARGV[3]
return apply.run(name, document, fields)

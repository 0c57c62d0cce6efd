#!lua
--- @include "lib/group-apply"
--[[ Updates a group by compare-and-set: its document, sessions, nodes, timers and positions change in one transaction.

     KEYS    1 root
     ARGV    1 group  2 version that the update was made from (0 = there was no group)
             3 new document, '' = unchanged, 'delete' = delete the group  4 largest data of a node, bytes
             5 transactions to retain in the event stream  6 limits of stored responses (lib/record-quota.lua)
             7 number of members that have a live session
             8 with a document: 'settled' if every member has its target assignment, else 'moving'
             9 '1' = commits may have expired now: check them soon
             then lists, each with its length before it:
             sessions to renew (id, time to live in ms) · to create (id, hash of the secret, time to live in ms) · to end
             (id; the operations delete their nodes) · timers to set (name, delay in ms) · to cancel (name)
             then of the member that consumes: its id; the number of its last delivery as it knows it, or ''; 'again' if that
             must be the last but one here (it repeats a call), else it must be the last. '' three times without such a member
             then lists: members that requests speak for, each with the call that must be its newest (id, number) · members
             that begin a new call and get its number (id) · responses to store (record id of the Idempotency-Key,
             fingerprint, response) · positions to commit (topic, partition, topic id, another offset or '', 'back' = also
             to a lower offset) · to delete (topic, partitions '0,4,7') · members whose calls are forgotten (id) · positions
             to set (field, offset, start of what is delivered now or '') · partitions to read the position and the committed
             offset of (topic, partition, topic id) · owner nodes to delete (topic, partitions) · to create (topic,
             partitions, member, session)
             then operations on the tree, each packed (lib/ops.lua)
     Returns { 'OK', 'applied', version, zxid, moved, delivery, new call number…, (position or '', start or '', committed or '')… }
             moved = for how many ms members were moving to their target assignment, if this ends it, else -1
             delivery = number of the last delivery to the member that consumes, with this one; start = where it began
             { 'OK', 'conflict', version, document }: the document has another version
             { 'OK', 'gone', version, document, member… }: sessions of members have ended; these members have one
             { 'OK', 'refused', number of members, (member, call)…, (record id, '' or an error code, response or detail)… }:
             these members have begun newer calls, these requests have a response already; update again without them
             { 'OK', 'elsewhere', last delivery, last but one }: the member was delivered something else than it knows
     Errors  those of an operation that fails: then the document and the tree contradict each other
     Emits   one transaction of created, changed, deleted ]]
return apply.run()

#!lua
--- @include "lib/group-apply"
--[[ Commits a decision over a group by compare-and-set: the document and all that goes with it, as one transaction.
     KEYS    1 root
     ARGV    1 group  2 version that was decided on (0 = there was no group)  3 new document, '' = unchanged, 'delete'
             4 largest data of a node, bytes  5 transactions to keep  6 limits of kept responses (lib/record-quota.lua)
             7 how many of the members have a living session
             8 with a document: 'settled' if every member has what it shall have, else 'moving'
             9 '1' = offsets may be of no use now: they are looked at soon
             then lists, each with its length before it:
             sessions to renew (id, ttl ms) · to create (id, hash of the secret, ttl ms) · to end (id; the operations
             delete its nodes) · timers to set (name, delay ms) · to cancel (name)
             then the member that consumes, the number of what it says to have been given, or '', and 'again' = only if that
             is what it was given before the last time, else only if it is what it was given last; '' thrice without one
             then lists: members that are spoken for, each by a call that must be its newest (id, number) · members that begin a new
             call, each with a new number (id) · answers to keep (id of the record for an Idempotency-Key, fingerprint, answer)
             positions to commit (topic, partition, topic id, another
             offset or '', 'back' = even if more is committed) · to forget (topic, partitions '0,4,7') · members whose
             calls are forgotten (id) · positions to set (field, offset, where what is given out now begins or '') ·
             partitions of which the position and the committed offset are wanted (topic, partition, topic id) · owner nodes
             to delete (topic, partitions) · to create (topic, partitions, member, session)
             then operations on the tree, one each, packed (lib/ops.lua)
     Returns { 'OK', 'applied', version, zxid, moved, given, new number…,
               (position or '', start or '', committed or '')… }
             given = the number of what the member that consumes was given last, by this or before; start = where that began
             moved = for how many ms the members were on the move, if that has ended with this, else -1
             { 'OK', 'conflict', version, document }: another version is there
             { 'OK', 'gone', version, document, member… }: sessions of members have ended; those live
             { 'OK', 'refused', how many members, (member, call)…, (id of a record, '' or a code, answer or detail)… }:
             the members have begun newer calls, the requests were answered before; decide again without them
             { 'OK', 'elsewhere', given, before }: what the member was given last, and before that, is not as it says
     Errors  those of an operation that fails: the document and the tree contradict each other
     Emits   one transaction of created, changed, deleted ]]
return apply.run()

#!lua
--- @include "lib/group-apply"
--[[ Commits a decision over a group by compare-and-set: the document and all that goes with it, as one transaction.
     KEYS    1 root
     ARGV    1 group  2 version that was decided on (0 = there was no group)  3 new document, '' = unchanged, 'delete'
             4 largest data of a node, bytes  5 transactions to keep  6 idempotency key or ''  7 fingerprint  8 how long
             to keep the answer, ms  9 answer to keep  10 how many of the members have a living session
             11 with a document: 'settled' if every member has what it shall have, else 'moving'
             12 '1' = offsets may be of no use now: they are looked at soon
             then lists, each with its length before it:
             sessions to renew (id, ttl ms) · to create (id, hash of the secret, ttl ms) · to end (id; the operations
             delete its nodes) · timers to set (name, delay ms) · to cancel (name)
             then the member that consumes, or '', and its call: 'new' = number this call, a number = only if that is
             still its newest, '' = neither
             then lists: members that begin anew, each with a new number (id) · positions to commit (topic, partition,
             topic id) · to forget (topic, partitions '0,4,7') · members whose calls are forgotten (id) · positions to
             set (field, offset) · partitions of which the position and the committed offset are wanted (topic, partition,
             topic id) · owner nodes to delete (topic, partitions) · to create (topic, partitions, member, session)
             then operations on the tree, one each, packed (lib/ops.lua)
     Returns { 'OK', replayed, 'applied', version, zxid, call, answer, moved, new number…,
               (position or '', committed or '')… }
             moved = for how many ms the members were on the move, if that has ended with this, else -1
             { 'OK', 0, 'conflict', version, document }: another version is there
             { 'OK', 0, 'gone', version, document, member… }: sessions of members have ended; those live
             { 'OK', 0, 'superseded' }: the member has begun a newer call
     Errors  IDEMPOTENCY_KEY_REUSED; those of an operation that fails: the document and the tree contradict each other
     Emits   one transaction of created, changed, deleted ]]
return apply.run()

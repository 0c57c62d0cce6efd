// Every key in Redis: its type, its members, and its hash tag. Only lua/lib/keys.lua (coordination keys) and lua/lib/log-keys.lua
// (keys of a partition) also build names of keys, and they build the same ones.
//
// There are two kinds of hash slot. All coordination keys share the tag {prefix}, so one script can change them together. The keys of
// one partition share the tag {prefix:topicId:partition}. No script uses both.

/** The coordination keys of one cluster (`WEIR_PREFIX`). */
export function coordinationKeys(prefix: string) {
  const base = `{${prefix}}:`;
  return {
    /**
     * Hash: `zxid` of the newest transaction; `layout`, the version of the stored form; `run`, the run id of the Redis when it was last
     * opened; `cluster_id`; `reaped_at` and `forgiven_at`, ms (lua/sessions/reap.lua); `written_at`, when the tree was written last, ms; of both event streams the sums
     * and the floor, `event_bytes` to `offset_events_floor` (lua/lib/events.lua); the counters `group_version` (lua/lib/group.lua) and `consume_calls`
     * (lua/lib/group-apply.lua) and `access_changes` (lua/lib/access.lua); `creators` if there are any; `nodes` and `ephemeral_nodes`, how many there are; during a migration `migrated_to`, the layout that is complete (lua/cluster/claim-migration.lua).
     */
    root: `${base}root`,
    /** Hash by path: `stat` (binary: lua/lib/stat.lua), `data`, `type` (content type); `creator`, the number of the identity against which it counts, if there is one. */
    node: (path: string) => `${base}node:${path}`,
    /** Sorted set by path: the names of its children, all with score 0, so that they are in the order of their names. */
    children: (path: string) => `${base}children:${path}`,
    /**
     * Stream with one entry for all transactions that a script has written together, whose id is `<zxid of the last>-0`. Fields:
     * `events` (lua/lib/events.lua), and `half` if the script has written an entry to offsetEvents, too.
     */
    events: `${base}transactions`,
    /** A stream of the same form, but shorter, for transactions on committed offsets. */
    offsetEvents: `${base}offset-transactions`,
    /** These two streams until layout 3, where each transaction was an entry (lua/cluster/convert-events.lua). */
    olderEvents: `${base}events`,
    olderOffsetEvents: `${base}offset-events`,
    /** Hash: epoch → its last zxid that was not lost; `<epoch>:begin` → the zxid before its first (lua/cluster/open.lua). */
    epochs: `${base}epochs`,
    /** String with expiry: the lock of the broker that migrates the stored data (src/store/migrations). */
    migration: `${base}migration`,
    /** Hash: identity → its number as a creator, from 1 on without gaps (docs/adr/014). */
    creators: `${base}creators`,
    /**
     * Hash by number: `name`; what counts against it: `nodes`, `bytes` (of nodes), `partitions`, `log_bytes`; its limits or -1: `max_nodes`,
     * `max_bytes`, `max_partitions`.
     */
    creator: (number: string) => `${base}creator:${number}`,
    /** Sorted set: session ids by deadline, ms. */
    sessions: `${base}sessions`,
    /**
     * Hash by session id: `secret_hash`, `ttl_ms`, `created_at`; `label`, if its creator gave it one; with access control `identity`,
     * to which it belongs (lua/lib/session.lua); `report`, JSON, of a broker (broker/metadata/broker-directory.ts). The session exists
     * as long as this key. If it was attached to a
     * connection also `connection_epoch`; and if it has written with a sequence `result:<sequence>`, the large ones among the results
     * of its last writes (lua/lib/sequences.lua).
     */
    session: (id: string) => `${base}session:${id}`,
    /** List by session id: the results of its last writes with a sequence, the newest last (lua/lib/sequences.lua). */
    results: (id: string) => `${base}results:${id}`,
    /** Set by session id: the paths of its ephemeral nodes. */
    ephemerals: (id: string) => `${base}ephemerals:${id}`,
    /**
     * Hash: session id → the bytes of the transaction that deletes its ephemeral nodes (lua/lib/txn.lua). Absent for
     * sessions without such nodes, and for nodes of versions before this key.
     */
    ephemeralBytes: `${base}ephemeral-bytes`,
    /** Sorted set: the path of each container and TTL node by the time when it may expire, ms. */
    transients: `${base}transients`,
    /** String with expiry, by a hash of an Idempotency-Key: the stored response of its request (cmsgpack; lua/lib/idempotency.lua). */
    response: (id: string) => `${base}response:${id}`,
    /** Hash with expiry: the count of stored responses, and their bytes (lua/lib/record-quota.lua). */
    responses: `${base}responses`,
    /**
     * Hash by group: `version`, `document` (JSON of the group's state); `moving_since` (ms) while members do not have their
     * target assignments; `emptied_at` (ms) since the last member left.
     */
    group: (group: string) => `${base}group:${group}`,
    /**
     * Hash by group: `topic:partition` → the next offset that its owner reads, and of the last delivery up to there its first offset and
     * its sequence; `@member` → the member's newest call epoch; `>member` → the sequences of its last delivery and of the one
     * before (lua/lib/group-apply.lua).
     */
    positions: (group: string) => `${base}positions:${group}`,
    /**
     * Hash by group, which complements the nodes of its committed offsets: `topic` → the id of the topic; `topic:partition` → the
     * metadata of the commit, if it has any.
     */
    offsetDetails: (group: string) => `${base}offset-details:${group}`,
    /** Sorted set: producer ids by the time when the registry last recorded a use, ms (docs/adr/007). */
    producers: `${base}producers`,
    /** Hash: name of a producer → its id. */
    producerNames: `${base}producer-names`,
    /** Hash by producer id: `name`, `epoch` (the newest); with access control `identity`, to which it belongs. */
    producer: (id: string) => `${base}producer:${id}`,
    /** Set by producer id: the logs that may have the producer, each as `<topicId>:<partition>`. */
    producerLogs: (id: string) => `${base}producer-logs:${id}`,
    /** Sorted set: the timers of all groups (`group NUL member NUL kind`) by the time when they are due, ms. */
    timers: `${base}timers`,
    /** Sorted set: every group by the time since which its oldest committed offset may be unused, ms. */
    offsetAges: `${base}offset-ages`,
    /**
     * Hash with expiry, by the id of a derived token: `sha256` (hex; of the token there is nothing else), `identity`, `parent` (the id of
     * its parent token, or ''), `basis` (what that is made of: src/access/policy.ts), `allow` (JSON), `created_at` and `expires_at`, ms.
     */
    accessToken: (id: string) => `${base}access-token:${id}`,
    /** Sorted set with expiry, by identity: the ids of its derived tokens by the time when they expire, ms. */
    accessTokensOf: (identity: string) => `${base}access-tokens:${identity}`,
    /** Sorted set: the ids of all derived tokens by the time when they expire, ms. */
    accessTokens: `${base}access-tokens`,
    /**
     * Hash with expiry, by the hash of a ticket: `target` (path and query that it opens), `identity`, `token`, `basis` and
     * `token_expires_at` of the credential that it comes from, `stream` (the event stream that has it, or '').
     */
    accessTicket: (hash: string) => `${base}access-ticket:${hash}`,
    /** Sorted set with expiry, by identity: the hashes of its tickets by the time when they expire, ms. */
    accessTicketsOf: (identity: string) => `${base}access-tickets:${identity}`,
    /** Sorted set: the hashes of all tickets by the time when they expire, ms. */
    accessTickets: `${base}access-tickets`,
  };
}

export type CoordinationKeys = ReturnType<typeof coordinationKeys>;

/**
 * The keys of one partition of a topic. Each partition has its own hash tag, so partitions may be on different servers. The random
 * topic id distinguishes the logs of a deleted topic from those of a new topic with the same name.
 */
export function partitionKeys(prefix: string, topicId: string, partition: number) {
  const base = `{${prefix}:${topicId}:${partition}}:`;
  return {
    /**
     * Hash, the key that log scripts declare. It exists as long as the log. `start`: the log start offset; `next`: the end offset;
     * `total`: the bytes of all records ever appended; `trimmed`: how many of them were removed from the start of the stream;
     * `created_at`, ms; `leader_epoch`: the newest one that maintained this log; `leader_run`: the broker process that was the
     * first to use that epoch here; `largest`: the bytes of the largest batch appended from the offset `sized_from` on, valid if `sized`
     * is `total`: else a version of the program has appended that does not keep these three. Once compaction has begun also `cleaned`: batches below this offset are in `compacted`;
     * `compacted`: the bytes of records there; `records_end`: the offset after the last record there, if the whole log is there;
     * `generation`: rises with each change of appended batches; `tombstones_since`: when the oldest tombstones there were first
     * compacted, ms, or 0 if there are none.
     */
    partition: `${base}partition`,
    /**
     * Stream with one entry per batch, which is what one request sent to this partition. Its id is `<base offset + 1>-<count>`
     * (0-0 is no valid id), so the batch that holds an offset is the last one up to `<offset + 1>`. Fields, in this
     * order: `time` (when it was appended, ms), `max` (the largest timestamp of its records, ms), `before` (the `total`
     * before it), `records` (lines: core/records/record-fields.ts).
     */
    log: `${base}log`,
    /**
     * Sorted set: the batches below `cleaned` (docs/adr/005), each by the offset of its last record. A member is a line
     * `<base offset> <count> <time> <max> <since>` and the records behind it, as in the stream; `since` = when its
     * tombstones were first compacted, ms, or 0.
     */
    compacted: `${base}compacted`,
    /** Hash: name of a fence → the highest token that the log has seen (lua/lib/log-fence.lua). */
    fences: `${base}fences`,
    /** Sorted set: names of fences by their last use, ms, rounded to the minute; fences of older versions may be missing. */
    fenceUses: `${base}fence-uses`,
    /** Hash: producer id → its state in this log (cmsgpack; lua/lib/log-producer.lua). */
    producers: `${base}producers`,
    /**
     * String with expiry, by Idempotency-Key: `<fingerprint> <base offset> <count> <time> <partitions>`; base
     * offset -1 and count 0 if the request has no records in this partition; the number of partitions of the topic when they were
     * distributed. For a deletion of records the two numbers are the bounds of the log after it.
     */
    idempotency: (key: string) => `${base}idempotency:${key}`,
    /** Hash with expiry: the count of these results, and their bytes (lua/lib/record-quota.lua). */
    responses: `${base}responses`,
    /** String with expiry: the log was removed, so it must not be created again (lua/logs/open.lua). */
    removed: `${base}removed`,
    /** String with expiry: a write that WAIT can refer to (redis/replication.ts). */
    replicated: `${base}replicated`,
  };
}

export type PartitionKeys = ReturnType<typeof partitionKeys>;

/**
 * The Pub/Sub channel that announces each append, as `<topicId>:<partition>:` and what log.summary() of lua/lib/log.lua returns, to
 * readers that wait for records.
 */
export function appendsChannel(prefix: string): string {
  return `{${prefix}}:appends`;
}

/** The Pub/Sub channel that announces that records of a log were removed, in the same form. */
export function removalsChannel(prefix: string): string {
  return `{${prefix}}:removals`;
}

// Every key in the store: its type, its members, its hash tag. Nothing else in the project writes a key's name, save
// lua/lib/keys.lua for the coordination keys and lua/lib/log-keys.lua for a partition's, which derive the same names.
//
// There are two kinds of hash slot. All coordination keys share the tag {prefix}: they change together, in one script. The keys
// of one partition share the tag {prefix:topicId:partition}. No script touches both.

/** The coordination keys of one cluster (`WEIR_PREFIX`). */
export function coordinationKeys(prefix: string) {
  const base = `{${prefix}}:`;
  return {
    /**
     * Hash: `zxid` of the newest transaction, `layout` version of the data, `run` of the server that last opened it,
     * `cluster_id`, `reaped_at` and `forgiven_at` (ms; see lua/sessions/reap.lua), `event_bytes` and `events_floor`
     * (see lua/lib/txn.lua and events.lua), `group_version` and `consume_calls` (the counters of lua/lib/group.lua and group-apply.lua). While stored
     * data is converted also `migrated_to`, the layout that it has reached (lua/cluster/claim-migration.lua).
     */
    root: `${base}root`,
    /** Hash by path: `stat` (packed: lua/lib/stat.lua), `data`, `type` (content type). */
    node: (path: string) => `${base}node:${path}`,
    /** Sorted set by path: the names of its children, all of score 0, so that they page by name. */
    children: (path: string) => `${base}children:${path}`,
    /**
     * Stream: one entry a transaction, its id `<zxid>-0`; `events` (lua/lib/events.lua), and `half` if the transaction has
     * an entry in offsetEvents, too.
     */
    events: `${base}events`,
    /** Stream of the same form: the transactions on committed offsets, kept apart and short. */
    offsetEvents: `${base}offset-events`,
    /** Hash: epoch → the last zxid of it that survived; `<epoch>:begin` → the zxid before its first (lua/cluster/open.lua). */
    epochs: `${base}epochs`,
    /** String with expiry: the broker that converts the stored data to a newer layout (src/store/migrations). */
    migration: `${base}migration`,
    /** Sorted set: session id by deadline, ms. */
    sessions: `${base}sessions`,
    /** Hash by session id: `secret_hash`, `ttl_ms`, `created_at`. The session lives as long as this does. */
    session: (id: string) => `${base}session:${id}`,
    /** Set by session id: the paths of its ephemeral nodes. */
    ephemerals: (id: string) => `${base}ephemerals:${id}`,
    /**
     * Hash: session id → the bytes of the transaction that deletes its ephemeral nodes (lua/lib/txn.lua). Absent for
     * sessions without such nodes, and where those are older than this key.
     */
    ephemeralBytes: `${base}ephemeral-bytes`,
    /** Sorted set: path of each container and TTL node by the moment it may be due, ms. */
    transients: `${base}transients`,
    /** String with expiry, by a hash of an Idempotency-Key: the record of its request (cmsgpack; lua/lib/idempotency.lua). */
    response: (id: string) => `${base}response:${id}`,
    /** Hash with expiry: how many such records there are, and their bytes (lua/lib/record-quota.lua). */
    responses: `${base}responses`,
    /**
     * Hash by group: `version`, `document` (JSON of the group's state); `moving_since` while not all members have what they
     * shall have, `emptied_at` since the last one went (ms).
     */
    group: (group: string) => `${base}group:${group}`,
    /**
     * Hash by group: `topic:partition` → the next offset its owner reads and, if it was given records up to there, the
     * offset of the first one and the number of that giving; `@member` → the number of its newest consume call;
     * `>member` → the numbers of what consume calls gave it last, and before that (lua/lib/group-apply.lua).
     */
    positions: (group: string) => `${base}positions:${group}`,
    /**
     * Hash by group, beside its committed offsets: `topic` → id of the topic that they are of; `topic:partition` → the
     * metadata of the commit, where there is any.
     */
    offsetDetails: (group: string) => `${base}offset-details:${group}`,
    /** Sorted set: producer id by the moment at which the registry last heard of it, ms (docs/adr/007). */
    producers: `${base}producers`,
    /** Hash: name of a producer → its id. */
    producerNames: `${base}producer-names`,
    /** Hash by producer id: `name`, `epoch` (the newest). */
    producer: (id: string) => `${base}producer:${id}`,
    /** Set by producer id: the logs that may know it, each `<topicId>:<partition>`. */
    producerLogs: (id: string) => `${base}producer-logs:${id}`,
    /** Sorted set: the timers of all groups (`group NUL member NUL what`) by the moment they are due, ms. */
    timers: `${base}timers`,
    /** Sorted set: every group by the moment since which its oldest committed offset may be of no use, ms. */
    offsetAges: `${base}offset-ages`,
  };
}

export type CoordinationKeys = ReturnType<typeof coordinationKeys>;

/**
 * The keys of one partition of a topic. Their tag is its own, so partitions may lie on different machines. The random
 * topic id sets the logs of a deleted topic apart from those of a new one with its name.
 */
export function partitionKeys(prefix: string, topicId: string, partition: number) {
  const base = `{${prefix}:${topicId}:${partition}}:`;
  return {
    /**
     * Hash, the one key that log scripts declare: `start` (logStartOffset), `next` (the end offset: that of the next
     * record), `total` (bytes of records ever appended), `trimmed` (those of them that are gone from the stream, from its
     * head on), `created_at` (ms), `leader_epoch` (the newest that has kept house here), `leader_run` (the run of the
     * broker that was the first to do so under it). Once compaction has begun also
     * `cleaned` (up to this offset the batches are in `compacted`), `compacted` (bytes of records there), `records_end` (behind the last record there, if all is there), `generation` (grows
     * with each change of what was appended before) and `tombstones_since` (when the oldest tombstones there were first
     * compacted, ms; 0 = there are none). Where the hash is absent there is no such topic, or no more.
     */
    partition: `${base}partition`,
    /**
     * Stream: one entry a batch, which is what one request sent to this partition. Its id is `<base offset + 1>-<count>`
     * (0-0 is no valid id), so the batch that holds an offset is the last one up to `<offset + 1>`. Fields, in this
     * order: `time` (when it was appended, ms), `max` (the largest timestamp of its records, ms), `before` (bytes of
     * records ever appended before it), `records` (lines: core/records/record-fields.ts).
     */
    log: `${base}log`,
    /**
     * Sorted set: the batches below `cleaned` (docs/adr/005), each by the offset of its last record. A member is a line
     * `<base offset> <count> <time> <max> <since>` and the records behind it, as in the stream; `since` = when its
     * tombstones were first compacted, ms, or 0.
     */
    compacted: `${base}compacted`,
    /** Hash: name of a fence → the highest token seen (lua/lib/log-fence.lua). */
    fences: `${base}fences`,
    /** Sorted set: name of a fence by the moment of its last use, ms, to the minute; one of an older version may be missing. */
    fenceUses: `${base}fence-uses`,
    /** Hash: producer id → what this log knows of it (cmsgpack; lua/lib/log-producer.lua). */
    producers: `${base}producers`,
    /**
     * String with expiry, by Idempotency-Key: `<fingerprint> <base offset> <count> <time> <partitions>`; -1 and 0 where
     * the request has no records in this partition, and the number of partitions by which its records are spread. Of a
     * deletion of records the two numbers are the bounds of the log after it.
     */
    idempotency: (key: string) => `${base}idempotency:${key}`,
    /** Hash with expiry: how many such answers there are, and their bytes (lua/lib/record-quota.lua). */
    responses: `${base}responses`,
    /** String with expiry: the log was removed, so it must not be opened anew (lua/logs/open.lua). */
    removed: `${base}removed`,
    /** String with expiry: written only so that WAIT has something to wait for. */
    replicated: `${base}replicated`,
  };
}

export type PartitionKeys = ReturnType<typeof partitionKeys>;

/** The Pub/Sub channel on which every append is told, as `<topicId>:<partition>:<end offset>`, to wake who waits for it. */
export function appendsChannel(prefix: string): string {
  return `{${prefix}}:appends`;
}

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
     * Hash: `zxid` of the newest transaction, `layout` version of the data, `run_id` of the server that last opened it,
     * `cluster_id`, `reaped_at` and `forgiven_at` (ms; see lua/sessions/reap.lua), `event_bytes` and `events_floor`
     * (see lua/lib/txn.lua).
     */
    root: `${base}root`,
    /** Hash by path: `stat` (lua/lib/stat.lua), `data`, `type` (content type). */
    node: (path: string) => `${base}node:${path}`,
    /** Sorted set by path: the names of its children, all of score 0, so that they page by name. */
    children: (path: string) => `${base}children:${path}`,
    /** Stream: one entry a transaction, its id `<zxid>-0`; `events` (lua/lib/txn.lua, encode) and `total` bytes so far. */
    events: `${base}events`,
    /** Stream of the same form: the transactions on committed offsets, kept apart and short. */
    offsetEvents: `${base}offset-events`,
    /** Hash: epoch → the last zxid of it that survived (lua/cluster/open.lua). */
    epochs: `${base}epochs`,
    /** Sorted set: session id by deadline, ms. */
    sessions: `${base}sessions`,
    /** Hash by session id: `secret_hash`, `ttl_ms`, `created_at`. The session lives as long as this does. */
    session: (id: string) => `${base}session:${id}`,
    /** Set by session id: the paths of its ephemeral nodes. */
    ephemerals: (id: string) => `${base}ephemerals:${id}`,
    /** Sorted set: path of each container and TTL node by the moment it may be due, ms. */
    transients: `${base}transients`,
    /** String with expiry, by Idempotency-Key: fingerprint of the request and its first answer (cmsgpack). */
    idempotency: (key: string) => `${base}idempotency:${key}`,
    /** Hash by group: `version`, `document` (JSON of the group's state). */
    group: (group: string) => `${base}group:${group}`,
    /** Hash by group: `topic:partition` → the next offset its owner reads. */
    positions: (group: string) => `${base}positions:${group}`,
    /** Sorted set: a group's timers by the moment they are due, ms. */
    timers: `${base}timers`,
  };
}

export type CoordinationKeys = ReturnType<typeof coordinationKeys>;

// The shapes of requests and responses. Generated from schemas/ by `npm run client:types`; do not edit.

/** The codes of the server's errors. */
export type ErrorCode =
  | 'BAD_REQUEST'
  | 'INVALID_PATH'
  | 'AUTH_REQUIRED'
  | 'FORBIDDEN'
  | 'RESERVED_PATH'
  | 'QUOTA_EXCEEDED'
  | 'NOT_FOUND'
  | 'NO_NODE'
  | 'NO_PARENT'
  | 'UNKNOWN_TOPIC'
  | 'UNKNOWN_PARTITION'
  | 'UNKNOWN_GROUP'
  | 'UNKNOWN_PRODUCER'
  | 'UNKNOWN_MEMBER'
  | 'NO_COMMITTED_OFFSET'
  | 'METHOD_NOT_ALLOWED'
  | 'REQUEST_TIMEOUT'
  | 'NODE_EXISTS'
  | 'NOT_EMPTY'
  | 'NO_CHILDREN_FOR_EPHEMERALS'
  | 'TOPIC_EXISTS'
  | 'GROUP_NOT_EMPTY'
  | 'FENCED'
  | 'FENCED_MEMBER_EPOCH'
  | 'STALE_MEMBER_EPOCH'
  | 'FENCED_INSTANCE_ID'
  | 'UNRELEASED_INSTANCE_ID'
  | 'PRODUCER_FENCED'
  | 'OUT_OF_ORDER_SEQUENCE'
  | 'SESSION_MOVED'
  | 'STALE_LEADER_EPOCH'
  | 'MEMBER_SUPERSEDED'
  | 'STALE_POSITION'
  | 'SESSION_EXPIRED'
  | 'COMPACTED'
  | 'BAD_VERSION'
  | 'TOO_LARGE'
  | 'UNSUPPORTED_MEDIA_TYPE'
  | 'OFFSET_OUT_OF_RANGE'
  | 'INVALID_CONFIG'
  | 'INVALID_PARTITIONS'
  | 'INVALID_REPLICATION_FACTOR'
  | 'INVALID_REPLICA_ASSIGNMENT'
  | 'UNSUPPORTED_ASSIGNOR'
  | 'IDEMPOTENCY_KEY_REUSED'
  | 'TOO_MANY_REQUESTS'
  | 'INTERNAL'
  | 'NOT_IMPLEMENTED'
  | 'LOADING'
  | 'STORE_UNAVAILABLE'
  | 'NOT_ENOUGH_REPLICAS'
  | 'NOT_ENOUGH_REPLICAS_AFTER_APPEND'
  | 'STORE_FULL';

export type AlterTopic = {
  /** New number of partitions; it can only grow. */
  partitions?: number;
  /** Topic settings by Kafka's names, such as `retention.ms`; null = reset to the default. */
  config?: { [name: string]: string | number | null };
};

export type Broker = {
  id: number;
  host: string;
  port: number;
  /** URLs at which clients reach the broker. */
  endpoints: string[];
  rack: string | null;
  /** A hash of its policy file, by which brokers with different policies show; null without a policy. */
  policyHash: string | null;
  /** Its number among the workers of its server, which share the endpoints; null if the server has one process. */
  worker: number | null;
  /** Start time, ms since the epoch by the broker's own clock. */
  startedAt: number;
  /** The czxid of the broker node. It grows when the broker registers again. */
  epoch: number;
};

export type Brokers = {
  brokers: ListedBroker[];
  /** Partitions of all topics that no broker leads now. */
  offlinePartitions: number;
};

export type CheckOperation = {
  op: 'check';
  path: string;
  version?: number;
  /** Transaction id; strictly increasing over all changes of the tree. */
  mzxid?: number;
  /** Transaction id; strictly increasing over all changes of the tree. */
  czxid?: number;
  exists?: boolean;
};

export type Child = {
  name: string;
  stat: Stat;
};

export type Children = {
  /** Absolute path of a node, such as `/app/leader`. */
  path: string;
  children: string[] | Child[];
  /** Pass it as `after` for the next page; absent on the last page. */
  next?: string;
  stat: Stat;
};

export type Cluster = {
  clusterId: string;
  /** null while no broker is the controller. */
  controller: Controller | null;
  brokers: Broker[];
  store: {
    version: string;
    /** The topology of Redis. */
    engine: 'standalone' | 'sentinel' | 'cluster';
    /** Number of Redis primaries that share the data. The other fields are their totals. */
    shards: number;
    /** Addresses of Redis servers that do not respond now. Their data is unavailable and not in the totals. */
    unreachable: string[];
    usedMemoryBytes: number;
    /** 0 = no limit. */
    maxMemoryBytes: number;
    appendOnly: boolean;
  };
};

export type CommittedOffset = {
  /** 1 to 249 of a-z, A-Z, 0-9, `.`, `_`, `-`; not `.` or `..`. */
  topic: string;
  partition: number;
  /** The next offset to read. */
  offset: number;
  metadata?: string;
  /** Time of the commit, ms since the epoch. */
  committedAt: number;
};

export type CommittedOffsets = {
  offsets: CommittedOffset[];
};

export type CommittedOffsetsNow = {
  offsets: OffsetCommittedNow[];
};

export type Consumed = {
  /** The `after` of the next call. It stays the same if no records were returned. */
  next: number;
  memberEpoch: number;
  /** Sorted by topic, partitions ascending. */
  assignment: TopicPartitions[];
  /** Partitions in which the position of the member has changed. Compaction may have removed the last records, so `nextOffset` can be more than one after the last record. */
  partitions: ConsumedPartition[];
  records: ConsumedRecord[];
};

export type ConsumedPartition = {
  /** 1 to 249 of a-z, A-Z, 0-9, `.`, `_`, `-`; not `.` or `..`. */
  topic: string;
  partition: number;
  /** The offset to commit after all records before it are processed. */
  nextOffset: number;
};

/** In the order of offsets within each partition. */
export type ConsumedRecord = {
  /** 1 to 249 of a-z, A-Z, 0-9, `.`, `_`, `-`; not `.` or `..`. */
  topic: string;
  partition: number;
  /** Offset of a record in its partition, from 0. */
  offset: number;
  timestamp: number;
  key?: string | null;
  keyBase64?: string;
  value?: unknown;
  valueBase64?: string;
  /** An object of names and values, or a list of pairs [name, value] if a name occurs twice. Bytes are `{"base64":"…"}`. */
  headers?: { [name: string]: string | null | HeaderBytes } | [string, string | null | HeaderBytes][];
};

export type Controller = {
  brokerId: number;
  epoch: number;
};

export type CopyResult = {
  /** Transaction id; strictly increasing over all changes of the tree. */
  zxid: number;
  /** Absolute path of a node, such as `/app/leader`. */
  from: string;
  /** Absolute path of a node, such as `/app/leader`. */
  to: string;
  /** Nodes that were copied. */
  nodes: number;
  /** Ephemeral nodes that were left out of the copy. */
  ephemerals: number;
  /** Of the node at `to`. */
  stat: Stat;
};

export type CreateOperation = {
  op: 'create';
  path: string;
  data?: string;
  dataBase64?: string;
  contentType?: string;
  mode?: 'persistent' | 'ephemeral' | 'container' | 'ttl';
  ttl?: number | string;
  session?: string;
  sequential?: boolean;
};

export type CreateTopic = {
  /** 1 to 249 of a-z, A-Z, 0-9, `.`, `_`, `-`; not `.` or `..`. */
  name: string;
  partitions?: number;
  /** Number of brokers that may maintain the log of each partition. */
  replicationFactor?: number;
  /** Topic settings by Kafka's names, such as `retention.ms`; null = reset to the default. */
  config?: { [name: string]: string | number | null };
};

export type CreatedNode = {
  /** Absolute path of a node, such as `/app/leader`. */
  path: string;
  name: string;
  stat: Stat;
};

export type DeleteOperation = {
  op: 'delete';
  path: string;
  version?: number;
  /** Transaction id; strictly increasing over all changes of the tree. */
  mzxid?: number;
};

export type DeletedRecords = {
  /** 1 to 249 of a-z, A-Z, 0-9, `.`, `_`, `-`; not `.` or `..`. */
  topic: string;
  partition: number;
  /** Offset of a record in its partition, from 0. */
  logStartOffset: number;
  /** Offset of a record in its partition, from 0. */
  endOffset: number;
};

export type Election = {
  /** 1 to 249 of a-z, A-Z, 0-9, `.`, `_`, `-`; not `.` or `..`. */
  topic: string;
  partitions: ElectionOutcome[];
};

export type ElectionOutcome = {
  partition: number;
  /** The current leader; -1 = none. */
  leader: number;
  leaderEpoch: number;
  /** `elected`: the preferred leader has taken over. `notNeeded`: it was the leader already. `preferredUnavailable`: it is not alive. */
  outcome: 'elected' | 'notNeeded' | 'preferredUnavailable';
};

export type EventHistory = {
  transactions: Transaction[];
  /** Pass it as `before` to look further back. A page may be empty and still have it, as one call looks at a part of the history. Absent at the end of what is retained. */
  next?: number;
};

export type ExportEnd = {
  end: true;
  /** Lines of nodes. */
  nodes: number;
  /** Ephemeral nodes that were left out. */
  ephemerals: number;
  /** Subtrees that the caller may not read. */
  unreadable: number;
  /** Subtrees of the service itself. */
  reserved: number;
  /** The export has every change up to this one. */
  zxid: number;
  /** It may have some changes up to this one. */
  lastZxid: number;
};

export type Fence = {
  /** The name from `Weir-Fence`. For a fence of the form `/path@<czxid>` it is the path of the node. */
  name: string;
  /** The highest token seen. A lower one is refused with FENCED. */
  token: number;
  /** Last use, ms since the epoch, to the minute. The fence expires 7 days after it. null if it was last used with an older version of the server. */
  usedAt: number | null;
};

export type Fences = {
  /** 1 to 249 of a-z, A-Z, 0-9, `.`, `_`, `-`; not `.` or `..`. */
  topic: string;
  partition: number;
  fences: Fence[];
  /** Pass it as `after` for the next page; absent on the last page. */
  next?: string;
};

export type Fetched = {
  /** 1 to 249 of a-z, A-Z, 0-9, `.`, `_`, `-`; not `.` or `..`. */
  topic: string;
  partition: number;
  records: LogRecord[];
  /** Offset for the next fetch. */
  nextOffset: number;
  /** Offset of a record in its partition, from 0. */
  logStartOffset: number;
  /** The offset that the next produced record gets. */
  endOffset: number;
};

export type Group = {
  /** 1 to 249 characters that are valid in the name of a node. */
  groupId: string;
  /** stable: every member has the partitions of its target assignment. */
  state: 'empty' | 'assigning' | 'reconciling' | 'stable';
  /** Grows with each change that requires a new assignment. */
  groupEpoch: number;
  assignor: string;
  /** Number of subscribed partitions that no member reads, because the group has reached its limit of partitions. */
  partitionsLeftOut?: number;
  members: GroupMember[];
  partitions: GroupPartition[];
};

export type GroupClientFrame = {
  type: 'credit';
  /** How many more records the server may send. */
  records: number;
} | {
  type: 'commit';
  /** The client's name for the frame; the frame that responds to it has the same id. */
  id?: string;
  /** The newest memberEpoch of a received frame. With it, a late commit does not apply to partitions that were assigned since. */
  memberEpoch?: number;
  offsets: OffsetToCommit[];
} | {
  type: 'released';
  /** The client's name for the frame; the frame that responds to it has the same id. */
  id?: string;
  /** The memberEpoch of the revoking frame. With it, a late release does not apply to partitions that were assigned since. */
  memberEpoch?: number;
  /** Default: all partitions that are being revoked. */
  partitions?: TopicPartitions[];
} | {
  type: 'leave';
  /** The client's name for the frame; the frame that responds to it has the same id. */
  id?: string;
} | {
  type: 'ping';
};

export type GroupJoined = {
  /** Chosen by the client, or by the server on join; same characters as a group id. */
  memberId: string;
  /** Send it with the next heartbeat and with commits. */
  memberEpoch: number;
  /** Partitions that the member may read. It must release all others. */
  assignment: TopicPartitions[];
  /** Recommended time between two heartbeats, ms. */
  heartbeatIntervalMs: number;
  /** The granted session timeout, ms. */
  sessionTimeoutMs: number;
  /** Of the topics that the join names, those that do not exist, at most 100. The group gets their partitions once they are created. Absent if all exist, and for a pattern. */
  unknownTopics?: string[];
  /** The member sends it as Weir-Member in later requests. It is shown again only to a repeat with the same Idempotency-Key. */
  memberSecret: string;
};

export type GroupLag = {
  group: string;
  /** Records that the group has yet to read. */
  lag: number;
};

export type GroupMember = {
  /** Chosen by the client, or by the server on join; same characters as a group id. */
  memberId: string;
  memberEpoch: number;
  /** unrevoked: it must release partitions. unreleased: it waits for partitions that other members must release. */
  state: 'stable' | 'unrevoked' | 'unreleased';
  instanceId?: string;
  clientId?: string;
  /** The address from which it joined, if it is known. */
  address?: string;
  /** When it joined, ms since the epoch by the broker's clock. A member that joins again has joined anew. */
  joinedAt?: number;
  /** The static member has left temporarily; its partitions are kept until its session expires. */
  away?: boolean;
  topics: string[];
  pattern?: string;
  /** Sorted by topic, partitions ascending. */
  assignment: TopicPartitions[];
  /** Partitions that it was asked to release and may still be reading. */
  revoking: TopicPartitions[];
  sessionTimeoutMs: number;
  rebalanceTimeoutMs: number;
  reset: 'earliest' | 'latest' | 'none';
};

export type GroupMembership = {
  /** Chosen by the client, or by the server on join; same characters as a group id. */
  memberId: string;
  /** Send it with the next heartbeat and with commits. */
  memberEpoch: number;
  /** Partitions that the member may read. It must release all others. */
  assignment: TopicPartitions[];
  /** Recommended time between two heartbeats, ms. */
  heartbeatIntervalMs: number;
  /** The granted session timeout, ms. */
  sessionTimeoutMs: number;
};

export type GroupPartition = {
  /** 1 to 249 of a-z, A-Z, 0-9, `.`, `_`, `-`; not `.` or `..`. */
  topic: string;
  partition: number;
  owner: string | null;
  committed: number | null;
  endOffset: number | null;
  /** Number of offsets that the group has yet to read, counted from lagFrom. Records removed by retention, or by compaction at the end of the log, do not count. null if it is unknown, or if no reset policy applies. */
  lag: number | null;
  /** Where the count of the lag begins: the committed offset, or the start given by the reset policy. earliest also for partitions that were added to a subscription with reset=latest. */
  lagFrom: 'committed' | 'earliest' | 'latest' | null;
  /** With `ages`: how long ago the first record was appended that the group has yet to read, ms; 0 without lag. null if the lag is, and beyond the 500 partitions with the largest lags. */
  lagMs?: number | null;
  /** The Redis server that holds this log cannot be reached. Fields that only the log knows are null. Absent if there is no error. */
  error?: 'STORE_UNAVAILABLE';
};

export type GroupServerFrame = {
  type: 'joined';
  /** Chosen by the client, or by the server on join; same characters as a group id. */
  memberId: string;
  /** Send it with the next heartbeat and with commits. */
  memberEpoch: number;
  /** Partitions that the member may read. It must release all others. */
  assignment: TopicPartitions[];
  /** Recommended time between two heartbeats, ms. */
  heartbeatIntervalMs: number;
  /** The granted session timeout, ms. */
  sessionTimeoutMs: number;
  /** Of the topics that the join names, those that do not exist, at most 100. The group gets their partitions once they are created. Absent if all exist, and for a pattern. */
  unknownTopics?: string[];
} | {
  type: 'warning';
  code: 'UNKNOWN_TOPIC';
  detail: string;
  unknownTopics: string[];
} | {
  type: 'assigned';
  partitions: TopicPartitions[];
  /** Send it with the next heartbeat and with commits. */
  memberEpoch: number;
} | {
  type: 'revoking';
  partitions: TopicPartitions[];
  withinMs: number;
  /** Send it with the next heartbeat and with commits. */
  memberEpoch: number;
} | {
  type: 'revoked';
  partitions: TopicPartitions[];
  /** Send it with the next heartbeat and with commits. */
  memberEpoch: number;
} | {
  type: 'records';
  /** 1 to 249 of a-z, A-Z, 0-9, `.`, `_`, `-`; not `.` or `..`. */
  topic: string;
  partition: number;
  /** In the order of their offsets. */
  records: LogRecord[];
  /** The offset to commit after all of these records are processed. */
  nextOffset: number;
} | {
  type: 'committed';
  id?: string;
} | {
  type: 'error';
  /** What the code means; the same for every problem of this code. */
  title: string;
  status: number;
  /** Stable, for programs. Texts may change. */
  code: ErrorCode;
  /** What was refused, with which value, and what to do. */
  detail: string;
  /** Whether the same request may succeed later without a change. */
  retryable: boolean;
  /** The id of the frame that was refused. */
  id?: string;
  [field: string]: unknown;
} | {
  type: 'pong';
};

export type Groups = {
  groups: ListedGroup[];
  /** Pass it as `after` for the next page; absent on the last page. */
  next?: string;
};

export type HeaderBytes = {
  base64: string;
};

export type ImportResult = {
  /** Lines of nodes. */
  lines: number;
  created: number;
  /** Nodes whose data was set. */
  overwritten: number;
  /** Nodes that exist with other content, and were left. */
  skipped: number;
  /** Nodes that exist with the same content. */
  same: number;
  /** Lines with mode ephemeral, which are never imported. */
  ephemerals: number;
  /** Whether the last line was that of an export. If not, the export may have been cut short. */
  complete: boolean;
  dryRun: boolean;
};

export type JoinGroup = {
  /** Topics to read; they need not exist yet. */
  topics?: string[];
  /** Instead of `topics`: a regular expression in RE2 syntax (no look-around, no back-references) that must match the whole name of a topic. */
  pattern?: string;
  /** If the client chooses it, the join can be repeated; an existing member of this id begins a new incarnation. */
  memberId?: string;
  /** Makes the member static: a member that later joins with the same instance id takes over its partitions. */
  instanceId?: string;
  /** range, roundrobin or uniform (default). The group uses the assignor that most members request. */
  assignor?: string;
  /** Default 45s; at most 30m. A member without a request for this time is removed. A number without a unit (ms) below the minimum is refused. */
  sessionTimeout?: number | string;
  /** Default 5m: how long a member may take to release partitions. */
  rebalanceTimeout?: number | string;
  /** Where to begin in a partition without a committed offset, or whose log no longer has that offset. latest: the end of the log is committed at once, so that no later record is skipped; partitions and topics that are created later are read from their beginning. none: an error. */
  reset?: 'earliest' | 'latest' | 'none';
  /** A name for operators to read; it has no effect. */
  clientId?: string;
};

export type ListedBroker = {
  id: number;
  /** The version of its program; null if it has not reported it yet. */
  version: string | null;
  /** Where clients reach it. */
  url: string;
  rack: string | null;
  /** Its number among the workers of its server, which share the URL; null if the server has one process. */
  worker: number | null;
  /** Start time, ms since the epoch by the broker's own clock. */
  startedAt: number;
  isController: boolean;
  /** Partitions whose logs it maintains. */
  partitionsLed: number;
  /** Open connections of clients, as the broker reported them with the last renewal of its session, at most a few seconds ago; null if it has not yet. */
  connections: number | null;
};

export type ListedGroup = {
  /** 1 to 249 characters that are valid in the name of a node. */
  groupId: string;
  /** stable: every member has the partitions of its target assignment. */
  state: 'empty' | 'assigning' | 'reconciling' | 'stable';
  members: number;
  /** Topics that members subscribe to, or in which the group has committed offsets, at most 100. With `view=summary`, as are the following. */
  topics?: string[];
  /** Records that the group has yet to read, from what it has committed or where its reset policy begins; null if it is not known, as the Redis server of a partition cannot be reached, or the group is new. As of the last read of all groups, which takes at most 5 % of the time. */
  lag?: number | null;
  /** The lag of the partition that has most; null if it is not known, as the Redis server of a partition cannot be reached, or the group is new. */
  maxLag?: number | null;
};

export type ListedSession = {
  /** Public id of the session, as in `ephemeralOwner`. */
  id: string;
  /** The granted time to live, ms. */
  ttlMs: number;
  /** Expiry if the session is not renewed, ms since the epoch by the store's clock. */
  expiresAt: number;
  /** Time of creation, ms since the epoch by the store's clock. */
  createdAt: number;
  /** The name that its creator gave it. */
  label?: string;
  /** To whom it belongs, if it was created under access control. */
  identity?: string;
  /** Number of its ephemeral nodes. */
  ephemerals: number;
};

export type ListedTopic = {
  /** 1 to 249 of a-z, A-Z, 0-9, `.`, `_`, `-`; not `.` or `..`. */
  name: string;
  topicId: string;
  partitions: number;
  /** Records that are kept, those that compaction has removed between others counted, too; null if the Redis server of a partition cannot be reached. With `view=summary`, as are the following. */
  records?: number | null;
  /** Bytes of the records; null as `records`. */
  bytes?: number | null;
  /** Records that are appended per second, over the last 10 s. */
  inPerSec?: number;
  /** Records that are sent to readers per second, over the last 10 s. Of other brokers than the one that responds, those of the 100 topics count of which each sends most. */
  outPerSec?: number;
  /** How many partitions each broker leads, by its id; -1: partitions without a leader. */
  leaders?: PartitionsLed[];
  /** Partitions whose leader is not the preferred one. */
  notPreferred?: number;
  /** Groups that have committed an offset in the topic, or subscribe to it, the 100 with the largest lag; as of the last read of all groups, which takes at most 5 % of the time. */
  groups?: GroupLag[];
};

export type LogRecord = {
  /** Offset of a record in its partition, from 0. */
  offset: number;
  timestamp: number;
  key?: string | null;
  keyBase64?: string;
  value?: unknown;
  valueBase64?: string;
  /** An object of names and values, or a list of pairs [name, value] if a name occurs twice. Bytes are `{"base64":"…"}`. */
  headers?: { [name: string]: string | null | HeaderBytes } | [string, string | null | HeaderBytes][];
};

export type Multi = {
  ops: (CreateOperation | SetOperation | DeleteOperation | CheckOperation)[];
};

export type MultiResult = {
  /** Transaction id; strictly increasing over all changes of the tree. */
  zxid: number;
  results: OperationResult[];
};

export type Node = {
  /** Absolute path of a node, such as `/app/leader`. */
  path: string;
  data: string;
  /** Encoding of `data` in JSON: UTF-8 text or base64. */
  encoding: 'utf8' | 'base64';
  contentType: string;
  stat: Stat;
};

export type NodeLine = {
  /** Absolute path of a node, such as `/app/leader`. */
  path: string;
  data?: string;
  /** Encoding of `data` in JSON: UTF-8 text or base64. */
  encoding?: 'utf8' | 'base64';
  contentType?: string;
  mode?: 'persistent' | 'ephemeral' | 'container' | 'ttl';
  ttlMs?: number;
};

export type NodeStat = {
  /** Absolute path of a node, such as `/app/leader`. */
  path: string;
  stat: Stat;
};

export type OffsetCommittedNow = {
  /** 1 to 249 of a-z, A-Z, 0-9, `.`, `_`, `-`; not `.` or `..`. */
  topic: string;
  partition: number;
  /** Offset of a record in its partition, from 0. */
  offset: number;
  metadata?: string;
};

export type OffsetReset = {
  /** 1 to 249 of a-z, A-Z, 0-9, `.`, `_`, `-`; not `.` or `..`. */
  topic: string;
  partition: number;
  /** The new offset. A target outside the log is moved to the nearer end of the log. */
  offset: number;
  /** The previously committed offset. */
  previous: number | null;
};

export type OffsetToCommit = {
  /** 1 to 249 of a-z, A-Z, 0-9, `.`, `_`, `-`; not `.` or `..`. */
  topic: string;
  partition: number;
  /** The next offset to read; it may be lower than the committed one. */
  offset: number;
  metadata?: string;
};

export type OffsetsReset = {
  dryRun: boolean;
  offsets: OffsetReset[];
};

export type OperationResult = {
  op: 'create' | 'set' | 'delete' | 'check';
  /** Absolute path of a node, such as `/app/leader`. */
  path: string;
  stat?: Stat;
};

export type Partition = {
  partition: number;
  /** The broker that maintains the log; -1 = none. */
  leader: number;
  /** Grows with each change of the leader, and when a replica leaves the ISR. */
  leaderEpoch: number;
  /** Brokers that may lead the partition; the first is the preferred leader. */
  replicas: number[];
  /** The replicas that are alive. */
  isr: number[];
  /** Offset of the first record that is kept. */
  logStartOffset: number | null;
  /** The offset that the next record gets. */
  endOffset: number | null;
  /** Bytes of the records. */
  bytes: number | null;
  /** The Redis server that holds this log cannot be reached. Fields that only the log knows are null. Absent if there is no error. */
  error?: 'STORE_UNAVAILABLE';
};

export type PartitionOffset = {
  partition: number;
  /** The end of the log if no record is that recent. */
  offset: number;
  /** With a timestamp in `at`: the timestamp of that record; null if there is none. */
  timestamp?: number | null;
};

export type PartitionsLed = {
  brokerId: number;
  partitions: number;
};

export type Problem = {
  /** A URI reference to the documentation of the code. */
  type: string;
  /** What the code means; the same for every problem of this code. */
  title: string;
  status: number;
  /** Stable, for programs. Texts may change. */
  code: ErrorCode;
  /** What was refused, with which value, and what to do. */
  detail: string;
  /** Whether the same request may succeed later without a change. */
  retryable: boolean;
  [field: string]: unknown;
};

export type ProduceResult = {
  partition: number;
  /** Offset of the first record; absent with acks=0. */
  baseOffset?: number;
  count: number;
  /** Time of the append, ms since the epoch; absent with acks=0. */
  timestamp?: number;
};

export type Produced = {
  /** 1 to 249 of a-z, A-Z, 0-9, `.`, `_`, `-`; not `.` or `..`. */
  topic: string;
  results: ProduceResult[];
  /** [partition, offset] of each record, in the order of the request. */
  offsets?: [number, number][];
};

export type ProducedRecord = {
  /** Any JSON value. A record without a value is a tombstone. */
  value?: unknown;
  /** The value as bytes. */
  valueBase64?: string;
  key?: string | null;
  /** The key as bytes. */
  keyBase64?: string;
  /** An object of names and values, or a list of pairs [name, value] if a name occurs twice. Bytes are `{"base64":"…"}`. */
  headers?: { [name: string]: string | null | HeaderBytes } | [string, string | null | HeaderBytes][];
  /** Default: chosen by the key, or by the server if there is none. */
  partition?: number;
  /** Ms since the epoch; default: the time of the append. */
  timestamp?: number;
};

export type Producer = {
  /** The id returned by `POST /v1/producers`. */
  id: string;
  /** 0 for a new producer. Each further request with its name raises it by one. */
  epoch: number;
};

export type ProducerStamp = {
  /** The id returned by `POST /v1/producers`. */
  id: string;
  epoch: number;
  /** Number of the request to the topic: 0 in each new epoch, then one more each time. */
  sequence: number;
};

export type ReassignPartition = {
  /** Ids of the brokers that may lead the partition from now on; the first is the preferred leader. */
  replicas: number[];
};

export type RecordStreamFrame = {
  type: 'position';
  /** Position to resume from: the topic's id and the next offset of each partition, `<topicId>@0:15,1:7`. A partition that it does not name is new, and is read from offset 0. */
  position: string;
} | {
  type: 'records';
  partition: number;
  /** In the order of their offsets. */
  records: LogRecord[];
} | {
  type: 'error';
  /** What the code means; the same for every problem of this code. */
  title: string;
  status: number;
  /** Stable, for programs. Texts may change. */
  code: ErrorCode;
  /** What was refused, with which value, and what to do. */
  detail: string;
  /** Whether the same request may succeed later without a change. */
  retryable: boolean;
  [field: string]: unknown;
};

export type ResetByShift = {
  /** Number of offsets relative to the committed offset; negative = back. */
  shiftBy: number;
};

export type ResetOffsets = {
  to: 'earliest' | 'latest' | ResetToTimestamp | ResetToOffset | ResetByShift;
  /** Reset all partitions of these topics; default: all partitions with a committed offset. */
  topics?: string[];
  /** Return the offsets that would be committed, but commit nothing. */
  dryRun?: boolean;
};

export type ResetToOffset = {
  offset: number;
};

export type ResetToTimestamp = {
  /** The first record with this timestamp or a later one, ms since the epoch. */
  timestamp: number;
};

export type Resource = {
  /** The path, with its parameters in braces. */
  path: string;
  /** What each method does. */
  methods: { [name: string]: string };
};

export type Resources = {
  /** The version of the server. */
  version: string;
  /** The id of the broker that responds; null while it is not registered. */
  brokerId: number | null;
  docs: string;
  openapi: string;
  resources: Resource[];
};

export type SessionCreated = {
  /** Public id of the session, as in `ephemeralOwner`. */
  id: string;
  /** The granted time to live, ms. */
  ttlMs: number;
  /** Expiry if the session is not renewed, ms since the epoch by the store's clock. */
  expiresAt: number;
  /** The session handle, a secret: who has it can use and end the session. It is shown only once. */
  session: string;
};

export type Sessions = {
  sessions: ListedSession[];
  /** Pass it as `after` for the next page; absent on the last page. */
  next?: string;
};

export type SetOperation = {
  op: 'set';
  path: string;
  data?: string;
  dataBase64?: string;
  contentType?: string;
  version?: number;
  /** Transaction id; strictly increasing over all changes of the tree. */
  mzxid?: number;
};

export type SocketEvent = SocketEventFrame;

export type SocketEventFrame = {
  type: 'events';
  /** The id of the request that began the watch. */
  watch: number | string;
  /** Transaction id; strictly increasing over all changes of the tree. */
  zxid: number;
  /** The events of one whole transaction. */
  events: WatchEvent[];
} | {
  type: 'bookmark';
  /** Transaction id; strictly increasing over all changes of the tree. */
  zxid: number;
} | {
  type: 'sessionExpired';
  /** The public id of the attached session. */
  id: string;
} | {
  type: 'error';
  /** What the code means; the same for every problem of this code. */
  title: string;
  status: number;
  /** Stable, for programs. Texts may change. */
  code: ErrorCode;
  /** What was refused, with which value, and what to do. */
  detail: string;
  /** Whether the same request may succeed later without a change. */
  retryable: boolean;
  /** The watch that has ended. Without it, the socket is closed behind this frame. */
  watch?: number | string;
  /** The request whose fate is unknown. */
  request?: number | string;
  [field: string]: unknown;
} | {
  type: 'throttled';
  /** What the code means; the same for every problem of this code. */
  title: string;
  status: number;
  /** Stable, for programs. Texts may change. */
  code: ErrorCode;
  /** What was refused, with which value, and what to do. */
  detail: string;
  /** Whether the same request may succeed later without a change. */
  retryable: boolean;
  /** The limit of the identity that is used up: requests or bytes. */
  limit: string;
  /** When the server reads on. */
  retryAfterMs: number;
  [field: string]: unknown;
};

export type SocketRequest = {
  /** The client's name for the request; its response has the same id. */
  id: number | string;
  op: 'session';
  /** Create a session with this time to live, and attach it; default 10s. */
  ttl?: number | string;
  /** A name for operators to read in lists of sessions, such as that of the program. It has no effect. */
  label?: string;
  /** Of a creation: a random text of at least 16 characters. A repeat with the same key within 10 minutes creates no session, and attaches the first one. */
  idempotencyKey?: string;
  /** Attach the session with this handle to the socket. */
  attach?: string;
  /** With attach: the response is sent once this broker has received this transaction. */
  zxid?: number;
  /** Renew the attached session now. The server does so by itself while the client is active; the response tells the client that its time to live began after the request was sent. */
  renew?: true;
  /** End the attached session with all its ephemeral nodes. */
  end?: true;
} | {
  /** The client's name for the request; its response has the same id. */
  id: number | string;
  op: 'create';
  path: string;
  data?: string;
  dataBase64?: string;
  contentType?: string;
  mode?: 'persistent' | 'ephemeral' | 'container' | 'ttl';
  ttl?: number | string;
  session?: string;
  sequential?: boolean;
  /** Create missing parents as persistent nodes. */
  parents?: boolean;
  /** The number of this write in its session: one more than that of the write before. Writes with it are pipelined, and a repeat takes effect once. */
  seq?: number;
} | {
  /** The client's name for the request; its response has the same id. */
  id: number | string;
  op: 'set';
  path: string;
  data?: string;
  dataBase64?: string;
  contentType?: string;
  version?: number;
  /** Transaction id; strictly increasing over all changes of the tree. */
  mzxid?: number;
  /** The number of this write in its session: one more than that of the write before. Writes with it are pipelined, and a repeat takes effect once. */
  seq?: number;
} | {
  /** The client's name for the request; its response has the same id. */
  id: number | string;
  op: 'delete';
  path: string;
  version?: number;
  /** Transaction id; strictly increasing over all changes of the tree. */
  mzxid?: number;
  /** Also delete everything below the node, in the same transaction. */
  recursive?: boolean;
  /** The number of this write in its session: one more than that of the write before. Writes with it are pipelined, and a repeat takes effect once. */
  seq?: number;
} | {
  /** The client's name for the request; its response has the same id. */
  id: number | string;
  op: 'get';
  /** Absolute path of a node, such as `/app/leader`. */
  path: string;
  /** Read from the memory of the broker, a state that may be some milliseconds old; never older than what the responses on this socket reflect. The response says where the result came from. */
  read?: 'local';
} | {
  /** The client's name for the request; its response has the same id. */
  id: number | string;
  op: 'exists';
  /** Absolute path of a node, such as `/app/leader`. */
  path: string;
  /** Read from the memory of the broker, a state that may be some milliseconds old; never older than what the responses on this socket reflect. The response says where the result came from. */
  read?: 'local';
} | {
  /** The client's name for the request; its response has the same id. */
  id: number | string;
  op: 'children';
  /** Absolute path of a node, such as `/app/leader`. */
  path: string;
  /** Maximum number of children; default 1000. */
  limit?: number;
  /** The `next` of the previous page. */
  after?: string;
  /** Include the stat of each child. Not with `read`. */
  stats?: boolean;
  /** Read from the memory of the broker, a state that may be some milliseconds old; never older than what the responses on this socket reflect. The response says where the result came from. */
  read?: 'local';
} | {
  /** The client's name for the request; its response has the same id. */
  id: number | string;
  op: 'multi';
  ops: (CreateOperation | SetOperation | DeleteOperation | CheckOperation)[];
  /** The number of this write in its session: one more than that of the write before. Writes with it are pipelined, and a repeat takes effect once. */
  seq?: number;
} | {
  /** The client's name for the request; its response has the same id. */
  id: number | string;
  op: 'watch';
  /** Absolute path of a node, such as `/app/leader`. */
  path: string;
  mode?: 'node' | 'children' | 'recursive';
  /** End after the first events message. */
  once?: boolean;
  /** Replay all transactions after this one, then continue live. */
  since?: number;
  /** Include the data as it was written in the events. */
  data?: boolean;
} | {
  /** The client's name for the request; its response has the same id. */
  id: number | string;
  op: 'unwatch';
  /** The id of the request that began the watch. */
  watch: number | string;
} | {
  /** The client's name for the request; its response has the same id. */
  id: number | string;
  op: 'produce';
  /** 1 to 249 of a-z, A-Z, 0-9, `.`, `_`, `-`; not `.` or `..`. */
  topic: string;
  /** The partition of all records. */
  partition?: number;
  records: ProducedRecord[];
  /** 0 = do not wait; 1 = wait until the store has the records; all = also wait until `min.insync.replicas` - 1 of its replicas have them. */
  acks?: '0' | '1' | 'all';
  /** Include the partition and offset of each record in the response. */
  offsets?: boolean;
  /** A fencing token, `<name>=<integer>` or `/path@<czxid>`, as the header Weir-Fence. */
  fence?: string;
  /** A repeat with the same key within 10 minutes appends nothing, and gets the first response. */
  idempotencyKey?: string;
  /** Makes the request idempotent: a repeat with the same sequence appends nothing. */
  producer?: ProducerStamp;
} | {
  /** The client's name for the request; its response has the same id. */
  id: number | string;
  op: 'fetch';
  /** 1 to 249 of a-z, A-Z, 0-9, `.`, `_`, `-`; not `.` or `..`. */
  topic: string;
  partition: number;
  /** Offset to begin at; default earliest. */
  offset?: 'earliest' | 'latest' | number;
  /** Begin at the first record with this timestamp or a later one, ms since the epoch. */
  timestamp?: number;
  maxRecords?: number;
  maxBytes?: number;
  minBytes?: number;
  /** `batches` returns the records in their batches, as they are stored, which costs the server least. */
  format?: 'records' | 'batches';
  /** How long to wait for `minBytes`, at most 5m. Later requests for the partition wait, too. */
  wait?: number | string;
} | {
  /** The client's name for the request; its response has the same id. */
  id: number | string;
  op: 'offsets';
  /** 1 to 249 of a-z, A-Z, 0-9, `.`, `_`, `-`; not `.` or `..`. */
  topic: string;
  at?: 'earliest' | 'latest' | number;
} | {
  /** The client's name for the request; its response has the same id. */
  id: number | string;
  op: 'commit';
  /** 1 to 249 characters that are valid in the name of a node. */
  group: string;
  /** Without it, offsets can be committed only while the group is empty; a group that does not exist is created. */
  memberId?: string;
  /** The epoch at which the member was assigned the partitions. The commit is refused if it no longer owns them. */
  memberEpoch?: number;
  offsets: OffsetToCommit[];
  /** The memberSecret from the response to the join. */
  memberSecret?: string;
} | {
  /** The client's name for the request; its response has the same id. */
  id: number | string;
  op: 'ping';
};

export type SocketResponse = SocketResponseFrame;

export type SocketResponseFrame = {
  /** The client's name for the request; its response has the same id. */
  id: number | string;
  /** The result: the body of the HTTP response to the same operation. */
  ok: {
    [field: string]: unknown;
  };
  /** The newest transaction that the response reflects. */
  zxid?: number;
  /** The result is that of an earlier request, which this one repeats. */
  replayed?: true;
  /** With "read":"local": whether the response came from the memory of the broker. */
  read?: 'local' | 'store';
} | {
  /** Absent if the request had none that could be read. */
  id?: number | string;
  error: Problem;
  /** Transaction id; strictly increasing over all changes of the tree. */
  zxid?: number;
  replayed?: true;
  /** With "read":"local": whether the response came from the memory of the broker. */
  read?: 'local' | 'store';
};

export type Stat = {
  /** The transaction that created the node. */
  czxid: number;
  /** The transaction that last set the data; also the ETag of `view=data`. */
  mzxid: number;
  /** The transaction that last created or deleted a child. */
  pzxid: number;
  /** Time of creation, ms since the epoch. */
  ctime: number;
  /** Time at which the data was last set, ms since the epoch. */
  mtime: number;
  /** How often the data was set. */
  version: number;
  /** How often a child was created or deleted. */
  cversion: number;
  /** Always 0; kept for compatibility with ZooKeeper. */
  aversion: number;
  /** The public id of the session that owns the node; null for a node that is not ephemeral. */
  ephemeralOwner: string | null;
  /** Bytes of data. */
  dataLength: number;
  numChildren: number;
  /** Kind of the node, which never changes. */
  mode: 'persistent' | 'ephemeral' | 'container' | 'ttl';
  /** Of mode ttl: the node is deleted when it has no children and was not set for this time. */
  ttlMs?: number;
};

export type StatsSample = {
  /** When the second ended, ms since the epoch; also the id of the message. */
  at: number;
  /** Requests over HTTP and on pipelined sockets. */
  requestsPerSec: number;
  /** Duration of half of the HTTP requests in this second at most, without those that asked to wait; null if there were none. */
  p50Ms: number | null;
  /** As p50Ms, of 99 of 100. */
  p99Ms: number | null;
  /** Records appended. */
  recordsInPerSec: number;
  bytesInPerSec: number;
  /** Records read from logs for clients. */
  recordsOutPerSec: number;
  bytesOutPerSec: number;
  /** Open connections of clients. */
  connections: number;
  /** Open WebSockets. */
  sockets: number;
  watches: number;
  /** Sessions in the cluster, as they were counted last. */
  sessions: number;
  /** Nodes of the tree, as they were counted last. */
  nodes: number;
  /** Memory that Redis uses, as it was read last. */
  storeMemoryBytes: number;
  /** By how much the busiest process was late in this second, ms. */
  eventLoopLagMs: number;
  /** The 10 groups of the cluster with the largest lag that the caller may use, records. */
  lag: GroupLag[];
};

export type Topic = {
  /** 1 to 249 of a-z, A-Z, 0-9, `.`, `_`, `-`; not `.` or `..`. */
  name: string;
  /** Id of the topic; a topic that is deleted and created again gets another one. */
  topicId: string;
  config: TopicConfig;
  partitions: Partition[];
};

export type TopicConfig = {
  'cleanup.policy': 'delete' | 'compact' | 'compact,delete';
  /** Whether the server stores batches as they were sent (`producer`, `uncompressed`) or compresses them. */
  'compression.type': 'producer' | 'uncompressed' | 'gzip';
  /** How long a compacted topic keeps tombstones, ms. */
  'delete.retention.ms': number;
  /** Maximum size of a batch, bytes. A batch holds the records of one request for one partition. */
  'max.message.bytes': number;
  /** How far the timestamp of a record may be after the time of its append, ms; -1 = any. */
  'message.timestamp.after.max.ms': number;
  /** How far the timestamp of a record may be before the time of its append, ms; -1 = any, except timestamps before March 1973, which are probably in seconds. */
  'message.timestamp.before.max.ms': number;
  'message.timestamp.type': 'CreateTime' | 'LogAppendTime';
  /** Number of Redis servers that must have a record produced with acks=all: the primary and its replicas. */
  'min.insync.replicas': number;
  /** Maximum size of the log of one partition, bytes; -1 = no limit. */
  'retention.bytes': number;
  /** How long records are kept, ms; -1 = without limit. */
  'retention.ms': number;
};

export type TopicOffsets = {
  /** 1 to 249 of a-z, A-Z, 0-9, `.`, `_`, `-`; not `.` or `..`. */
  topic: string;
  partitions: PartitionOffset[];
};

export type TopicPartitions = {
  /** 1 to 249 of a-z, A-Z, 0-9, `.`, `_`, `-`; not `.` or `..`. */
  topic: string;
  partitions: number[];
};

export type Topics = {
  topics: ListedTopic[];
  /** Pass it as `after` for the next page; absent on the last page. */
  next?: string;
};

export type Transaction = {
  /** Transaction id; strictly increasing over all changes of the tree. */
  zxid: number;
  events: WatchEvent[];
};

export type WatchEvent = {
  type: 'created' | 'changed' | 'deleted' | 'children';
  /** Absolute path of a node, such as `/app/leader`. */
  path: string;
  stat?: Stat;
  data?: string;
  /** Encoding of `data` in JSON: UTF-8 text or base64. */
  encoding?: 'utf8' | 'base64';
  contentType?: string;
  truncated?: true;
};

export type WatchStreamFrame = {
  type: 'watching';
  /** Transaction id; strictly increasing over all changes of the tree. */
  zxid: number;
} | {
  type: 'events';
  /** Transaction id; strictly increasing over all changes of the tree. */
  zxid: number;
  events: WatchEvent[];
} | {
  type: 'bookmark';
  /** Transaction id; strictly increasing over all changes of the tree. */
  zxid: number;
} | {
  type: 'error';
  /** What the code means; the same for every problem of this code. */
  title: string;
  status: number;
  /** Stable, for programs. Texts may change. */
  code: ErrorCode;
  /** What was refused, with which value, and what to do. */
  detail: string;
  /** Whether the same request may succeed later without a change. */
  retryable: boolean;
  /** The watch that ended or could not start, or the frame that was refused. */
  id?: string;
  [field: string]: unknown;
};

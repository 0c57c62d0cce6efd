// Examples for the OpenAPI document: for each operation what a client sends and gets, as far as it is JSON or text. test/house checks
// each against its schema, and that no operation is without one.

interface Example {
  /** Of the request, in its first media type. */
  body?: unknown;
  /** Of the first success that has content, in its first media type. */
  response?: unknown;
}

const at = 1_796_000_000_000;
const nodes = { path: '/app/leader' };
const stat = {
  czxid: 41,
  mzxid: 57,
  pzxid: 41,
  ctime: at,
  mtime: at + 5000,
  version: 2,
  cversion: 0,
  aversion: 0,
  ephemeralOwner: null,
  dataLength: 4,
  numChildren: 0,
  mode: 'persistent',
};
const nodeStat = { ...nodes, stat };

const session = { id: 'mK3vX0aJ', ttlMs: 10_000, expiresAt: at + 10_000 };
const sessionDetail = { ...session, createdAt: at, label: 'worker 1', ephemerals: ['/app/workers/one'] };

const partition = {
  partition: 0,
  leader: 1,
  leaderEpoch: 0,
  replicas: [1],
  isr: [1],
  logStartOffset: 0,
  endOffset: 42,
  bytes: 1834,
};
const topic = {
  name: 'orders',
  topicId: 'h2Jq9sZr',
  config: {
    'cleanup.policy': 'delete',
    'compression.type': 'producer',
    'delete.retention.ms': 86_400_000,
    'max.message.bytes': 1_048_576,
    'message.timestamp.after.max.ms': 3_600_000,
    'message.timestamp.before.max.ms': -1,
    'message.timestamp.type': 'CreateTime',
    'min.insync.replicas': 1,
    'retention.bytes': 1_073_741_824,
    'retention.ms': 604_800_000,
  },
  partitions: [partition],
};
const records = {
  records: [
    { key: 'ann', value: { total: 12 } },
    { key: 'bob', value: { total: 7 } },
  ],
};
const produced = { topic: 'orders', results: [{ partition: 0, baseOffset: 40, count: 2, timestamp: at }] };
const record = { offset: 40, timestamp: at, key: 'ann', value: { total: 12 } };

const assignment = [{ topic: 'orders', partitions: [0] }];
const membership = {
  memberId: 'worker-1',
  memberEpoch: 3,
  assignment,
  heartbeatIntervalMs: 15_000,
  sessionTimeoutMs: 45_000,
};
const consumed = {
  next: 8,
  memberEpoch: 3,
  assignment,
  partitions: [{ topic: 'orders', partition: 0, nextOffset: 41 }],
  records: [{ topic: 'orders', partition: 0, ...record }],
};

const broker = {
  id: 1,
  host: 'weir-1',
  port: 7070,
  endpoints: ['http://weir-1:7070'],
  rack: null,
  policyHash: null,
  worker: null,
  startedAt: at,
  epoch: 12,
};
const frame = { type: 'events', zxid: 57, events: [{ type: 'changed', path: '/app/leader', stat }] };
const ok = { response: { status: 'ok' } };
/** There is nothing to show: the request and the response have no body. */
const nothing = {};

/** By operation id. */
export const examples: Readonly<Record<string, Example>> = {
  'root.get': {
    response: {
      name: 'Weirkeeper',
      api: '/v1',
      docs: '/docs',
      guide: '/docs/guide/',
      openapi: '/openapi.json',
      health: '/health/ready',
      metrics: '/metrics',
    },
  },
  'resources.list': {
    response: {
      version: '0.2.0',
      brokerId: 0,
      docs: '/docs',
      openapi: '/openapi.json',
      resources: [{ path: '/v1/multi', methods: { POST: 'Apply several operations as one transaction' } }],
    },
  },
  'nodes.get': { response: 'blue' },
  'nodes.put': { body: 'blue', response: nodeStat },
  'nodes.createSequential': {
    body: 'job 7',
    response: { path: '/queue/job-0000000007', name: 'job-0000000007', stat },
  },
  'nodes.delete': nothing,
  'nodes.import': {
    body: '{"path":"/app","data":"","mode":"persistent"}\n{"path":"/app/leader","data":"blue"}\n',
    response: {
      lines: 2,
      created: 1,
      overwritten: 0,
      skipped: 0,
      same: 1,
      ephemerals: 0,
      complete: false,
      dryRun: false,
    },
  },
  'nodes.copy': {
    body: { from: '/app', to: '/app-old' },
    response: { zxid: 58, from: '/app', to: '/app-old', nodes: 2, ephemerals: 0, stat },
  },
  multi: {
    body: {
      ops: [
        { op: 'check', path: '/app/leader', mzxid: 57 },
        { op: 'set', path: '/app/leader', data: 'red' },
      ],
    },
    response: {
      zxid: 58,
      results: [
        { op: 'check', path: '/app/leader' },
        { op: 'set', path: '/app/leader', stat },
      ],
    },
  },
  'events.list': {
    response: { transactions: [{ zxid: 57, events: frame.events }], next: 57 },
  },
  'watch.stream': { response: `id: 57\ndata: ${JSON.stringify(frame)}\n\n` },
  'stats.stream': {
    response: `id: ${at}\ndata: ${JSON.stringify({
      at,
      requestsPerSec: 812,
      p50Ms: 1.2,
      p99Ms: 6.4,
      recordsInPerSec: 5000,
      bytesInPerSec: 640_000,
      recordsOutPerSec: 10_000,
      bytesOutPerSec: 1_280_000,
      connections: 40,
      sockets: 12,
      watches: 31,
      sessions: 18,
      nodes: 214,
      storeMemoryBytes: 73_400_320,
      eventLoopLagMs: 3,
      lag: [{ group: 'billing', lag: 120 }],
    })}\n\n`,
  },
  'watch.socket': nothing,
  socket: nothing,

  'sessions.create': {
    body: { ttl: '10s' },
    response: { ...session, session: 'mK3vX0aJ.3q2-7wEjRZ5yq9o4' },
  },
  'sessions.list': { response: { sessions: [{ ...sessionDetail, ephemerals: 1 }] } },
  'sessions.renew': { response: session },
  'sessions.renewSelf': { response: session },
  'sessions.get': { response: sessionDetail },
  'sessions.getSelf': { response: sessionDetail },
  'sessions.end': nothing,
  'sessions.endSelf': nothing,

  'topics.create': {
    body: { name: 'orders', partitions: 1, config: { 'retention.ms': 604_800_000 } },
    response: topic,
  },
  'topics.list': { response: { topics: [{ name: 'orders', topicId: topic.topicId, partitions: 1 }] } },
  'topics.get': { response: topic },
  'topics.alter': { body: { config: { 'retention.ms': null } }, response: topic },
  'topics.delete': nothing,
  'topics.offsets': { response: { topic: 'orders', partitions: [{ partition: 0, offset: 42 }] } },
  'partitions.get': { response: partition },
  'partitions.reassign': { body: { replicas: [1, 2] }, response: partition },
  'elections.create': {
    body: { topic: 'orders' },
    response: { topic: 'orders', partitions: [{ partition: 0, leader: 1, leaderEpoch: 2, outcome: 'elected' }] },
  },
  'records.produce': { body: records, response: produced },
  'records.produceToPartition': { body: records, response: produced },
  'records.fetch': {
    response: {
      topic: 'orders',
      partition: 0,
      records: [record],
      nextOffset: 41,
      logStartOffset: 0,
      endOffset: 42,
    },
  },
  'records.search': {
    response: `${JSON.stringify({ partition: 0, ...record })}\n${JSON.stringify({ end: { records: 42, bytes: 1834, found: 1 } })}\n`,
  },
  'records.delete': { response: { topic: 'orders', partition: 0, logStartOffset: 40, endOffset: 42 } },
  'records.stream': {
    response: `id: h2Jq9sZr@0:41\ndata: ${JSON.stringify({ type: 'records', partition: 0, records: [record] })}\n\n`,
  },
  'fences.list': {
    response: { topic: 'orders', partition: 0, fences: [{ name: '/locks/orders', token: 41, usedAt: at }] },
  },
  'fences.delete': nothing,
  'producers.register': { body: { name: 'billing' }, response: { id: 'Vb3nQ2xS', epoch: 0 } },
  'producers.list': { response: { producers: [{ id: 'Vb3nQ2xS', name: 'billing', epoch: 0, usedAt: at }] } },

  'groups.list': { response: { groups: [{ groupId: 'billing', state: 'stable', members: 1 }] } },
  'groups.get': {
    response: {
      groupId: 'billing',
      state: 'stable',
      groupEpoch: 3,
      assignor: 'uniform',
      members: [
        {
          memberId: 'worker-1',
          memberEpoch: 3,
          state: 'stable',
          topics: ['orders'],
          assignment,
          revoking: [],
          sessionTimeoutMs: 45_000,
          rebalanceTimeoutMs: 300_000,
          reset: 'earliest',
        },
      ],
      partitions: [
        {
          topic: 'orders',
          partition: 0,
          owner: 'worker-1',
          committed: 41,
          endOffset: 42,
          lag: 1,
          lagFrom: 'committed',
        },
      ],
    },
  },
  'groups.delete': nothing,
  'groups.join': {
    body: { topics: ['orders'], memberId: 'worker-1', reset: 'earliest' },
    response: { ...membership, memberSecret: 'u0Yc1rKpQ7dX' },
  },
  'groups.heartbeat': { body: { memberEpoch: 3, owned: assignment }, response: membership },
  'groups.leave': nothing,
  'groups.consume': { response: consumed },
  'groups.consumeByPost': { response: consumed },
  'groups.commit': {
    body: { memberId: 'worker-1', memberEpoch: 3, offsets: [{ topic: 'orders', partition: 0, offset: 41 }] },
    response: { offsets: [{ topic: 'orders', partition: 0, offset: 41 }] },
  },
  'groups.offsets': {
    response: { offsets: [{ topic: 'orders', partition: 0, offset: 41, committedAt: at }] },
  },
  'groups.deleteOffsets': nothing,
  'groups.resetOffsets': {
    body: { to: 'earliest', dryRun: true },
    response: { dryRun: true, offsets: [{ topic: 'orders', partition: 0, offset: 0, previous: 41 }] },
  },
  'groups.socket': nothing,

  'cluster.get': {
    response: {
      clusterId: 'q8GfS1tB',
      controller: { brokerId: 1, epoch: 4 },
      brokers: [broker],
      store: {
        version: '7.2.4',
        engine: 'standalone',
        shards: 1,
        unreachable: [],
        usedMemoryBytes: 1_893_376,
        maxMemoryBytes: 0,
        appendOnly: true,
      },
    },
  },
  'brokers.list': {
    response: {
      brokers: [
        {
          id: 1,
          version: '0.2.0',
          url: 'http://weir-1:7070',
          rack: null,
          worker: null,
          startedAt: at,
          isController: true,
          partitionsLed: 1,
          connections: 3,
        },
      ],
      offlinePartitions: 0,
    },
  },
  'brokers.get': { response: broker },
  'access.me': {
    response: {
      identity: 'billing',
      token: '2026a',
      admin: false,
      allow: [{ topics: { orders: ['read'] } }],
      limits: { sockets: { limit: 50, used: 2 } },
    },
  },
  'access.check': { response: { identity: 'billing', allowed: false, missing: 'billing needs write on topic orders' } },
  'access.createToken': {
    body: { ttl: '1h', allow: [{ topics: { 'orders.*': ['read'] } }] },
    response: {
      id: 'd-8f3a61c2790be54d',
      token: 'weir_d-8f3a61c2790be54d_3q2-7wEjRZ5yq9o4mK3vX0aJ3q2-7wEjRZ5yq9o4mK3',
      expires: at,
    },
  },
  'access.listTokens': {
    response: { tokens: [{ id: 'd-8f3a61c2790be54d', parent: '2026a', created: at, expires: at + 3_600_000 }] },
  },
  'access.revokeToken': {},
  'access.createTicket': {
    body: { path: '/v1/watch/app?mode=recursive' },
    response: {
      ticket: '3q2-7wEjRZ5yq9o4mK3vX0aJ3q2-7wEjRZ5yq9o4mK3',
      url: '/v1/watch/app?mode=recursive&ticket=3q2-7wEjRZ5yq9o4mK3vX0aJ3q2-7wEjRZ5yq9o4mK3',
      expires: at,
    },
  },
  'health.live': ok,
  'health.ready': ok,
  metrics: {
    response: '# HELP weir_sessions Sessions in the cluster.\n# TYPE weir_sessions gauge\nweir_sessions 12\n',
  },
};

/** Of parameters, by name: such values as the bodies have. */
export const parameterExamples: Readonly<Record<string, unknown>> = {
  path: 'app/leader',
  topic: 'orders',
  partition: 0,
  fence: 'orders',
  group: 'billing',
  member: 'worker-1',
  handle: 'mK3vX0aJ.3q2-7wEjRZ5yq9o4',
  id: 1,
  tokenId: 'd-8f3a61c2790be54d',
};

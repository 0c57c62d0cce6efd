// Two hostile clients, one with few rights and one with no token, try every route with every parameter that it takes. They know the names of
// some things that they may not see. Whatever they receive has nothing of these things, is the same as if they did not exist, and
// nothing of them has changed afterwards. Frames of sockets are in test/ws/hidden-things.test.ts.
import { Agent, request } from 'node:http';
import t, { type Test } from 'tap';
import { openOperations } from '../helpers/access.ts';
import { absent, guessed, hasNoMark, mark, startHostileWorld } from '../helpers/hostile-world.ts';
import { kafka } from '../helpers/kafka-rest.ts';
import { collectRoutes, type ListedRoute } from '../helpers/route-list.ts';
import { http } from '../helpers/server.ts';

const agent = new Agent({ keepAlive: true, maxSockets: 4 });
t.teardown(() => agent.destroy());
const routes = collectRoutes();
const world = await startHostileWorld(t);
const { server, policy } = world;
const { paths } = (await http(`${server.url}/openapi.json`)).body as {
  paths: Record<string, Record<string, Operation>>;
};

interface Operation {
  operationId?: string;
  parameters?: { name: string; in: string; schema: { type?: string; enum?: string[]; anyOf?: { type?: string }[] } }[];
  requestBody?: { content: Record<string, { example?: unknown; examples?: Record<string, { value: unknown }> }> };
}

const operations = new Map(
  Object.values(paths).flatMap((methods) => Object.values(methods).map((each) => [each.operationId, each] as const)),
);

/** Paths of nodes in which hidden ones are meant, in all spellings that might pass a check of the text. */
const hiddenPaths = [
  guessed,
  `%76${guessed.slice(1)}`,
  `/${guessed}`,
  `mine/../${guessed}`,
  `mine/%2e%2e/${guessed}`,
  `mine%2f..%2f${guessed}`,
  `mine%2F%2F${guessed}`,
  `${guessed}/`,
  `${guessed}%00`,
  `${guessed}?mine`,
  `${guessed}%23mine`,
  `${guessed};mine`,
  `./${guessed}`,
  `consumers/${guessed}`,
  `consumers/${guessed}/owners/${guessed}`,
  `consumers/${guessed}/offsets/${guessed}/0`,
  `brokers/topics/${guessed}`,
  `brokers/topics/${guessed}/partitions/0/state`,
  `config/topics/${guessed}`,
  `admin/delete_topics/${guessed}`,
];
/** Those that the client may read, of which a part is hidden. */
const opener = ['', 'mine', 'consumers', 'brokers', 'brokers/topics', 'config', 'config/topics', 'admin', 'cluster'];

/** Values of the parameters in paths. */
const inPath: Record<string, readonly string[]> = {
  topic: [guessed, `%76${guessed.slice(1)}`, `${guessed}%00`, `mine.t%2f..%2f${guessed}`, 'mine.t', '%2e%2e'],
  group: [guessed, `%76${guessed.slice(1)}`, `mine.g%2f..%2f${guessed}`, 'mine.g', 'idle'],
  partition: ['0'],
  member: ['m'],
  fence: ['f'],
  instance: ['i', `%2e%2e`],
  handle: [world.sessionId, `${world.sessionId}.${'A'.repeat(22)}`],
  tokenId: [world.tokenId, 't-ops'],
  id: ['1001'],
  cluster: [server.broker.store.clusterId],
  broker: ['1001'],
  consumer: ['m', `${mark.slice(0, 2)}`],
  name: ['retention.ms'],
};

/** Values of other parameters by their name; of those that are not here, some by their type. */
const byName: Record<string, readonly string[]> = {
  as: ['ops', 'lowly'],
  of: ['ops'],
  verb: ['read', 'write', 'use'],
  path: [`/${guessed}`, '/', '/mine'],
  topic: [guessed],
  group: [guessed],
  producer: [guessed],
  topics: [guessed, `mine.t,${guessed}`],
  pattern: ['.*'],
  after: ['a', 'zzz', `${guessed.slice(0, -1)}`, `9999999999999.${world.sessionId}`],
  before: ['99999999'],
  limit: ['1', '2', '1000'],
  since: ['1'],
  session: [world.sessionId],
  key: ['a', `${mark.slice(0, 2)}`],
  contains: [mark.slice(0, 1)],
  wait: ['1ms'],
  partition: ['0', '0,1'],
  offset: ['earliest', 'latest', '0'],
  timestamp: ['0'],
  ttl: ['1h'],
  version: ['0', '-1'],
  depth: ['9'],
};

function valuesOf({ name, schema }: NonNullable<Operation['parameters']>[number]): readonly string[] {
  return byName[name] ?? schema.enum ?? ['true', '1'];
}

/** Bodies by operation, or by method and URL, besides the example of the documentation. */
const bodies: Record<string, readonly unknown[]> = {
  multi: [
    { ops: [{ op: 'check', path: `/${guessed}` }] },
    { ops: [{ op: 'check', path: `/${guessed}`, exists: false }] },
    {
      ops: [
        { op: 'create', path: '/mine/x' },
        { op: 'delete', path: `/${guessed}`, recursive: true },
      ],
    },
    { ops: [{ op: 'set', path: `/mine/../${guessed}`, data: '' }] },
    { ops: [{ op: 'create', path: `/${guessed}/`, sequential: true }] },
  ],
  'topics.create': [{ name: guessed }, { name: `mine/../${guessed}` }],
  'producers.register': [{ name: guessed }],
  'sessions.create': [{ ttl: '1h' }],
  'access.createTicket': [{ path: `/v1/watch/${guessed}` }, { path: `/v1/topics/${guessed}/stream` }],
  'access.createToken': [{ allow: [{ admin: true }] }, { allow: [{ nodes: { '/**': ['read'] } }] }],
  'groups.join': [
    { topics: [guessed] },
    { topics: ['mine.t', guessed] },
    { pattern: '.*' },
    { pattern: `${guessed}.*` },
  ],
  'groups.commit': [
    { offsets: [{ topic: guessed, partition: 0, offset: 0 }] },
    { memberId: 'm', memberEpoch: 1, offsets: [{ topic: guessed, partition: 0, offset: 0 }] },
  ],
  'groups.resetOffsets': [
    { to: 'earliest', topics: [guessed] },
    { to: 'latest', dryRun: true },
  ],
  'elections.create': [{ topic: guessed }],
  'records.produce': [{ records: [{ value: 1 }] }],
  'POST /topics/:topic': [{ records: [{ value: 1 }] }],
  'POST /topics/:topic/partitions/:partition': [{ records: [{ value: 1 }] }],
  'POST /consumers/:group': [{ name: 'i', format: 'json', 'auto.offset.reset': 'earliest' }],
  'POST /consumers/:group/instances/:instance/subscription': [
    { topics: [guessed] },
    { topic_pattern: '.*' },
    { topics: ['mine.t'] },
  ],
  'POST /consumers/:group/instances/:instance/assignments': [{ partitions: [{ topic: guessed, partition: 0 }] }],
  'POST /consumers/:group/instances/:instance/positions': [{ offsets: [{ topic: guessed, partition: 0, offset: 0 }] }],
  'POST /consumers/:group/instances/:instance/positions/beginning': [
    { partitions: [{ topic: guessed, partition: 0 }] },
  ],
  ...v3Bodies('/v3'),
  ...v3Bodies('/kafka/v3'),
  'POST /consumers/:group/instances/:instance/positions/end': [{ partitions: [{ topic: guessed, partition: 0 }] }],
  'POST /consumers/:group/instances/:instance/offsets': [{ offsets: [{ topic: guessed, partition: 0, offset: 0 }] }],
};

/** Bodies of version 3 of the Kafka REST dialect. */
function v3Bodies(prefix: string): Record<string, readonly unknown[]> {
  const topics = `${prefix}/clusters/:cluster/topics`;
  const value = { type: 'JSON', data: 1 };
  return {
    [`POST ${topics}`]: [{ topic_name: guessed }, { topic_name: guessed, validate_only: true }],
    [`PATCH ${topics}/:topic`]: [{ partitions_count: 3 }],
    [`POST ${topics}/:topic/configs::alter`]: [
      { data: [{ name: 'retention.ms', value: '1' }] },
      { data: [], validate_only: true },
    ],
    [`PUT ${topics}/:topic/configs/:name`]: [{ value: '1' }],
    [`POST ${topics}/:topic/records`]: [{ value }],
    [`POST ${topics}/:topic/records::batch`]: [{ entries: [{ id: '1', value }] }],
  };
}

/** All requests that a hostile client makes to a route. @param withQueries whether with each parameter of its query */
function attemptsAt(
  { method, url, operationId }: ListedRoute,
  withQueries: boolean,
): { target: string; body?: unknown }[] {
  const operation = operations.get(operationId);
  const spellings = url.endsWith('*') && url.startsWith('/v1/') ? [...hiddenPaths, ...opener] : [''];
  let targets = spellings.map((path) => url.replace('*', path));
  for (const [, name = ''] of url.matchAll(/(?<!:):(\w+)/g)) {
    targets = targets.flatMap((target) => (inPath[name] ?? ['0']).map((value) => target.replace(`:${name}`, value)));
  }
  // A route spells a colon of its path twice.
  targets = targets.map((target) => target.replace('::', ':'));
  const query = (operation?.parameters ?? []).filter((each) => each.in === 'query');
  const queries = [
    '',
    ...query.flatMap((each) => valuesOf(each).map((value) => `${each.name}=${encodeURIComponent(value)}`)),
  ];
  const examples = Object.values(operation?.requestBody?.content ?? {}).flatMap(({ example, examples = {} }) => [
    ...(example === undefined ? [] : [example]),
    ...Object.values(examples).map(({ value }) => value),
  ]);
  const known = [...(bodies[operationId ?? ''] ?? bodies[`${method} ${url}`] ?? []), ...examples];
  const sent =
    known.length > 0 ? known : [method === 'GET' || method === 'HEAD' || method === 'DELETE' ? undefined : ''];
  const isWide = targets.length > 8;
  return targets.flatMap((target, at) =>
    // Of many spellings only some are tried with each parameter.
    queries.slice(0, !withQueries || (isWide && at % 7 > 0) ? 1 : queries.length).flatMap((text) =>
      sent.map((body) => ({
        target: text === '' ? target : `${target}${target.includes('?') ? '&' : '?'}${text}`,
        body,
      })),
    ),
  );
}

interface Answer {
  status: number;
  text: string;
  /** What an attacker could tell apart: without what is different in each response. */
  looks: string;
}

/** Sends a request exactly as it is spelt. Of an endless response the first second is enough: it is read to the end of its first part. */
function send(method: string, target: string, body: unknown, headers: Record<string, string>): Promise<Answer> {
  const { port, hostname } = new URL(server.url);
  const text = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body);
  const type = typeof body === 'string' ? 'text/plain' : /^(\/kafka)?\/v\d\//.test(target) ? 'application/json' : kafka;
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        port,
        hostname,
        method,
        path: target,
        agent,
        headers: {
          ...headers,
          ...(text !== '' && { 'content-type': type, 'content-length': Buffer.byteLength(text) }),
        },
      },
      (response) => {
        let received = '';
        const isStream = /^text\/event-stream/.test(response.headers['content-type'] ?? '');
        response.setEncoding('latin1');
        const end = () => resolve(answerOf(response.statusCode ?? 0, response.rawHeaders, received));
        response.on('data', (piece: string) => {
          received += piece;
          if (isStream && received.includes('\n\n')) sent.destroy();
        });
        response.on('close', end);
        response.on('error', end);
      },
    );
    sent.on('upgrade', () => reject(new Error('upgraded')));
    sent.on('error', (error: Error & { code?: string }) => {
      if (error.code !== 'ECONNRESET') reject(error);
      else resolve(answerOf(0, [], error.code));
    });
    sent.setTimeout(5000, () => reject(new Error(`no response: ${method} ${target}`)));
    sent.end(text);
  });
}

const different = new Set(['date', 'x-request-id', 'content-length', 'ratelimit-remaining', 'ratelimit-reset']);

function answerOf(status: number, raw: readonly string[], body: string): Answer {
  const headers = [];
  for (let i = 0; i < raw.length; i += 2) {
    if (!different.has(String(raw[i]).toLowerCase())) headers.push(`${raw[i]}: ${raw[i + 1]}`);
  }
  const looks = `${status}\n${headers.join('\n')}\n\n${body}`
    .replace(/"(requestId|instance|memberSecret)":"[^"]*"|"memberEpoch":\d+/g, '')
    .replace(/[\w-]{43}|[0-9a-f-]{36}|\b\d{13}\b|d-[0-9a-f]{16}|(?<=zxid": ?|weir-zxid: )\d+/g, '#');
  return { status, text: `${headers.join('\n')}\n\n${body}`, looks };
}

/** The same request about a thing that does not exist. */
function aboutNothing(text: string): string {
  return text.replaceAll(guessed, absent).replaceAll(`%76${guessed.slice(1)}`, `%67${absent.slice(1)}`);
}

async function attack(
  t: Test,
  headers: Record<string, string>,
  check: (route: ListedRoute, answer: Answer, what: string) => void,
) {
  const before = await world.snapshot();
  let count = 0;
  for (const route of routes()) {
    for (const { target, body } of attemptsAt(route, 'authorization' in headers)) {
      const what = `${route.method} ${target} ${body === undefined ? '' : JSON.stringify(body)}`;
      const answer = await send(route.method, target, body, headers);
      count += 1;
      hasNoMark(t, answer.text, what);
      check(route, answer, what);
      if (!what.includes(guessed) && !what.includes(`%76${guessed.slice(1)}`)) continue;
      const text = body === undefined ? undefined : JSON.parse(aboutNothing(JSON.stringify(body)));
      const other = await send(route.method, aboutNothing(target), text, headers);
      const same = aboutNothing(answer.looks);
      if (aboutNothing(other.looks) !== same) t.equal(other.looks, same, `as if it did not exist: ${what}`);
    }
  }
  t.equal(await world.snapshot(), before, 'nothing has changed');
  t.ok(count > 300, `${count} requests`);
}

t.test('a client without a token gets nothing but what is open', async (t) => {
  const open = new Set([...openOperations, '/console', '/console/*']);
  await attack(t, {}, ({ access, operationId, url }, { status }, what) => {
    if (access === 'open' || access === 'docs') t.ok(access === 'docs' || open.has(operationId ?? url), what);
    else if (![401, 400, 404].includes(status)) t.equal(status, 401, what);
  });
});

t.test('a client with few rights sees and changes nothing that is hidden', async (t) => {
  await attack(t, policy.as('lowly'), ({ access, url }, { status }, what) => {
    if (access === 'admin' || access === 'metrics') t.equal(status, 403, what);
    // The console may not be built.
    if (status >= 500 && !url.startsWith('/console')) t.fail(`${what}: ${status}`);
  });
});

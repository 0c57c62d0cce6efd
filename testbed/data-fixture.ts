// A small data directory with data of every stored kind, written by this version of the program: a test opens it with the next
// version. As a program (`npm run fixture:data -- test/fixtures/data-layout-N.tar.gz`) it writes that archive. Run it at the
// last commit before the layout is raised.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WebSocket } from 'ws';
import { untilServing } from './server-start.ts';

/** What a test needs to continue with the data. */
export interface DataFacts {
  /** When it was written, ms: a test moves expiry times in Redis by the time since then. */
  madeAt: number;
  session: string;
  /** Absent up to layout 4. */
  writes?: SocketWrites;
  producer: { id: string; epoch: number };
  member: { memberId: string; memberEpoch: number; [secret: string]: unknown };
  /** By path of the request: the response before the server stopped. */
  reads: Record<string, unknown>;
}

/** The session of a socket, and some of its writes with the responses to them. */
interface SocketWrites {
  session: string;
  lastSeq: number;
  exchanged: { request: Record<string, unknown>; response: Record<string, unknown> }[];
}

const years = '12000d';

/** Fills an empty server. */
export async function fillWithEveryKind(url: string): Promise<DataFacts> {
  const send = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => {
    const isJson = body !== undefined && typeof body !== 'string' && !(body instanceof Uint8Array);
    const response = await fetch(`${url}/v1${path}`, {
      method,
      headers: isJson ? { 'content-type': 'application/json', ...headers } : headers,
      ...(body !== undefined && { body: isJson ? JSON.stringify(body) : (body as string) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === '' ? undefined : JSON.parse(text);
  };

  const { session } = await send('POST', '/sessions', { ttl: '24h' });
  const nodes = [
    ['/nodes/kinds', 'the parent'],
    ['/nodes/kinds/text', 'grüße', { 'content-type': 'text/plain; charset=utf-8' }],
    ['/nodes/kinds/json', '{"a":[1,2,{"b":null}]}', { 'content-type': 'application/json' }],
    [
      '/nodes/kinds/binary',
      Buffer.from([0, 1, 2, 253, 254, 255, 13, 10]),
      { 'content-type': 'application/octet-stream' },
    ],
    ['/nodes/kinds/empty', ''],
    ['/nodes/kinds/a%20%22name%22%20%C3%A9', 'its name has to be escaped'],
    [`/nodes/kinds/ephemeral?mode=ephemeral&session=${session}`, 'lives with its session'],
    [`/nodes/kinds/ttl?mode=ttl&ttl=${years}`, 'kept for long'],
    ['/nodes/kinds/container?mode=container', ''],
    ['/nodes/kinds/container/child', 'keeps its container'],
  ] as const;
  for (const [path, data, headers] of nodes) await send('PUT', path, data, headers);
  for (let i = 0; i < 3; i++) await send('POST', '/nodes/kinds/queue-', `entry ${i}`);
  await send('POST', `/nodes/kinds/lock-?mode=ephemeral&session=${session}`, 'waits for a lock');
  await send('PUT', '/nodes/kinds/text', 'changed once', { 'content-type': 'text/plain; charset=utf-8' });
  await send('PUT', '/nodes/kinds/gone', '');
  await send('DELETE', '/nodes/kinds/gone');
  await send('POST', '/multi', {
    ops: [
      { op: 'create', path: '/kinds/multi', data: 'one' },
      { op: 'check', path: '/kinds/text', version: 1 },
    ],
  });
  await send('PUT', '/nodes/kinds/once', 'answered once', { 'idempotency-key': 'fixture-node' });

  const forEver = { 'retention.ms': -1 };
  await send('POST', '/topics', { name: 'plain', partitions: 2, config: forEver });
  const compact = { 'cleanup.policy': 'compact', ...forEver };
  await send('POST', '/topics', { name: 'compacted', partitions: 1, config: compact });
  await send('POST', '/topics', { name: 'gzipped', partitions: 1, config: { 'compression.type': 'gzip', ...forEver } });
  await send('POST', '/topics', { name: 'trimmed', partitions: 1, config: forEver });
  const producer = await send('POST', '/producers', { name: 'named' });
  for (let sequence = 0; sequence < 3; sequence++) {
    const records = [0, 1].map((n) => ({ partition: 0, key: `k${n}`, value: { sequence, n }, headers: { h: 'v' } }));
    await send('POST', '/topics/plain/records', { records, producer: { ...producer, sequence } });
  }
  const fenced = { 'weir-fence': 'writer=7', 'idempotency-key': 'fixture-records' };
  await send('POST', '/topics/plain/partitions/1/records', { records: [{ value: 'fenced' }] }, fenced);
  for (let i = 0; i < 20; i++) {
    await send('POST', '/topics/compacted/records', { records: [{ key: `k${i % 3}`, value: i }] });
  }
  await send('POST', '/topics/compacted/records', { records: [{ key: 'k0', value: null }] });
  const long = Array.from({ length: 200 }, (_, i) => ({
    key: String(i),
    value: `a value that compresses well ${i % 4}`,
  }));
  await send('POST', '/topics/gzipped/records', { records: long });
  await send('POST', '/topics/trimmed/records', { records: long.slice(0, 10) });
  await send('DELETE', '/topics/trimmed/partitions/0/records?before=4');

  const joined = await send('POST', '/groups/living/members', { topics: ['plain'], memberId: 'm', reset: 'earliest' });
  const first = {
    memberId: 'm',
    memberEpoch: joined.memberEpoch,
    offsets: [{ topic: 'plain', partition: 0, offset: 2, metadata: 'two are done' }],
  };
  await send('POST', '/groups/living/offsets', first, { 'weir-member': joined.memberSecret });
  await send('POST', '/groups/emptied/offsets', {
    offsets: [{ topic: 'plain', partition: 1, offset: 1, metadata: 'all' }],
  });

  const writes = await writeOnSocket(url);
  const reads: DataFacts['reads'] = {};
  const paths = [
    ...nodes.map(([path]) => `${path.replace(/\?.*/, '')}?view=node`),
    '/nodes/kinds?view=children',
    '/nodes/kinds/once?view=node',
    '/nodes/config/topics/compacted?view=node',
    '/nodes/cluster/id?view=node',
    '/topics/plain/partitions/0/records?offset=0',
    '/topics/plain/partitions/1/records?offset=0',
    '/topics/compacted/partitions/0/records?offset=0',
    '/topics/gzipped/partitions/0/records?offset=0',
    '/topics/trimmed/partitions/0/records?offset=4',
    '/topics/compacted',
    '/groups/living/offsets',
    '/groups/emptied/offsets',
  ];
  for (const path of paths) reads[path] = await send('GET', path);
  return { madeAt: Date.now(), session, writes, producer, member: joined, reads };
}

/** More writes with a sequence than the results of which are kept; the last ones are a create, one with a large result, and one that fails. */
async function writeOnSocket(url: string): Promise<SocketWrites> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/socket`, 'weir.v1');
  await once(socket, 'open');
  const ask = async (request: Record<string, unknown>): Promise<Record<string, unknown>> => {
    socket.send(JSON.stringify(request));
    const [frame] = await once(socket, 'message');
    return JSON.parse(String(frame));
  };
  const created = await ask({ id: 0, op: 'session', ttl: '24h' });
  const ops = [
    { op: 'create', path: '/kinds/by-socket' },
    ...Array.from({ length: 296 }, (_, i) => ({ op: 'set', path: '/kinds/by-socket', data: `change ${i}` })),
    { op: 'create', path: '/kinds/by-socket-', sequential: true },
    { op: 'multi', ops: Array.from({ length: 20 }, (_, i) => ({ op: 'create', path: `/kinds/of-multi-${i}` })) },
    { op: 'set', path: '/kinds/by-socket', version: 1_000_000 },
  ];
  const exchanged: SocketWrites['exchanged'] = [];
  for (const [index, op] of ops.entries()) {
    const request = { id: index + 1, ...op, seq: index + 1 };
    const response = await ask(request);
    if (index % 7 === 0 || index > 290) exchanged.push({ request, response });
  }
  socket.close();
  const { session } = created.ok as { session: string };
  return { session, lastSeq: ops.length, exchanged };
}

async function makeArchive(archive: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'weir-fixture-'));
  const main = fileURLToPath(new URL('../programs/server.js', import.meta.url));
  const server = spawn(process.execPath, [main], {
    env: { PATH: process.env.PATH ?? '', WEIR_PORT: '0', WEIR_DATA_DIR: folder },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise((resolve) => server.once('close', resolve));
  try {
    let url: unknown;
    await untilServing(server, (entry) => {
      if (entry.msg === 'Weirkeeper serves') url = entry.url;
      return url !== undefined;
    });
    const facts = await fillWithEveryKind(String(url));
    writeFileSync(join(folder, 'facts.json'), `${JSON.stringify(facts, null, 1)}\n`);
  } finally {
    server.kill('SIGTERM');
    await ended;
  }
  const owner = ['--owner=0', '--group=0', '--numeric-owner'];
  execFileSync('tar', ['-czf', resolve(archive), ...owner, '-C', folder, 'facts.json', 'appendonlydir']);
  rmSync(folder, { recursive: true });
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  await makeArchive(process.argv[2] ?? 'data-fixture.tar.gz');
}

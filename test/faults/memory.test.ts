// Requests do not leak memory in a broker: after many requests, long polls, streams and sockets of each kind the heap has its
// old size. Caches and recent transactions are bounded, and are full before the first measurement. The test computes the growth
// per operation: a leaked Set entry is 40 bytes in every round, while the noise of garbage collection is divided by the many
// operations.
import { Agent, request } from 'node:http';
import { createConnection } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { WebSocket } from 'ws';
import { http, startTestServer } from '../helpers/server.ts';

/** The long version, with all kinds, is `npm run test:memory`. */
const isLong = process.env.WEIR_MEMORY_OPERATIONS !== undefined;
const operations = Number(process.env.WEIR_MEMORY_OPERATIONS ?? 20_000);
/** The allowed growth of one operation in bytes, as the average of two consecutive rounds. */
const bytesPerOperationMax = 20;
const roundsMax = 6;
const connections = 16;

t.setTimeout(3_600_000);
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function heapBytes(): number {
  // Twice: the second run collects what finalizers have released.
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}

/** @param bytes of the heap after each round */
function isSteady(bytes: readonly number[]): boolean {
  const [before, , after] = bytes.slice(-3);
  return before !== undefined && after !== undefined && after - before < 2 * operations * bytesPerOperationMax;
}

/** Runs something `count` times, as many at once as there are connections. */
async function repeat(count: number, one: (n: number) => Promise<void>): Promise<void> {
  let begun = 0;
  const worker = async () => {
    while (begun < count) {
      begun += 1;
      await one(begun);
    }
  };
  await Promise.all(Array.from({ length: connections }, worker));
}

interface Call {
  method?: string;
  path: string;
  body?: string;
  headers?: Record<string, string>;
}

/** One request on a kept-alive connection; its status must be `expected`. */
function call(url: string, agent: Agent, { method = 'GET', path, body, headers = {} }: Call, expected: number) {
  return new Promise<void>((resolve, reject) => {
    const sent = request(`${url}${path}`, { method, agent, headers }, (response) => {
      response.resume();
      if (response.statusCode !== expected) reject(new Error(`${method} ${path} got ${response.statusCode}`));
      response.once('end', resolve);
    });
    sent.once('error', reject);
    sent.end(body);
  });
}

/** Opens a socket, sends its frames, receives `responses` messages, and closes it. */
function useSocket(url: string, frames: object[], responses: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url);
    let received = 0;
    socket.on('open', () => {
      for (const frame of frames) socket.send(JSON.stringify(frame));
    });
    socket.on('message', () => {
      received += 1;
      if (received === responses) socket.close();
    });
    socket.on('error', reject);
    socket.on('close', () => {
      if (received >= responses) resolve();
      else reject(new Error(`${url} was closed after ${received} messages`));
    });
  });
}

/** A request that the client aborts after the head of the response (`stream`), or before it (`wait`). */
function breakOff(url: string, path: string, kind: 'stream' | 'wait'): Promise<void> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url);
    const connection = createConnection(Number(port), hostname);
    connection.write(`GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
    if (kind === 'stream') connection.once('data', () => connection.destroy());
    // The server has read the request by then, as responses on one connection come in order.
    else connection.once('connect', () => setImmediate(() => connection.destroy()));
    connection.once('error', reject);
    connection.once('close', () => resolve());
  });
}

t.test('the heap of a broker does not grow with what clients do', async (t) => {
  const server = await startTestServer(t, { eventRetention: 1000 });
  const { url } = server;
  const ws = url.replace('http', 'ws');
  const api = `${url}/v1`;
  await http(`${api}/nodes/kept`, 'PUT', 'x');
  await http(`${api}/topics`, 'POST', { name: 'kept', partitions: 1 });
  await http(`${api}/topics/kept/records`, 'POST', { records: [{ value: 1 }] });
  const { body: session } = await http(`${api}/sessions`, 'POST', { ttl: '1h' });
  const { body: member } = await http(`${api}/groups/kept/members`, 'POST', {
    memberId: 'm',
    topics: ['kept'],
    reset: 'earliest',
    sessionTimeout: '1h',
  });
  const asMember: Record<string, string> = member.memberSecret ? { 'weir-member': member.memberSecret } : {};
  const json = { 'content-type': 'application/json' };
  const heartbeat = JSON.stringify({ memberEpoch: member.memberEpoch, owned: [{ topic: 'kept', partitions: [0] }] });

  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  t.teardown(() => agent.destroy());
  const always =
    (what: Call, expected = 200) =>
    (count: number) =>
      repeat(count, () => call(url, agent, what, expected));
  const records = '/v1/topics/kept/partitions/0/records';
  const asMembers = { ...json, ...asMember };
  // A broker keeps so many transactions for watchers that resume.
  await always({ method: 'PUT', path: '/v1/nodes/kept', body: 'z' })(10_000);
  const kinds: Record<string, (count: number) => Promise<void>> = {
    'reads of a node': always({ path: '/v1/nodes/kept' }),
    'lists of children': always({ path: '/v1/nodes/?view=children' }),
    'writes of a node': always({ method: 'PUT', path: '/v1/nodes/kept', body: 'y' }),
    'nodes created and deleted': (count) =>
      repeat(count, async (n) => {
        await call(url, agent, { method: 'PUT', path: `/v1/nodes/made-${n}`, body: 'x' }, 201);
        await call(url, agent, { method: 'DELETE', path: `/v1/nodes/made-${n}` }, 204);
      }),
    'requests that are refused': always({ path: '/v1/nodes/no/such/node' }, 404),
    'renewals of a session': always({ method: 'PUT', path: `/v1/sessions/${session.session}` }),
    'long polls whose time is over': always({ path: '/v1/nodes/kept?wait=1', headers: { 'if-none-match': '*' } }, 304),
    'produced records': always({
      method: 'POST',
      path: '/v1/topics/kept/records',
      body: '{"records":[{"value":1}]}',
      headers: json,
    }),
    fetches: always({ path: `${records}?offset=0&maxRecords=1` }),
    'fetches whose wait is over': always({ path: `${records}?offset=latest&wait=1` }),
    'consume calls': always({ path: '/v1/groups/kept/members/m/records?maxRecords=1&wait=1', headers: asMember }),
    heartbeats: always({
      method: 'POST',
      path: '/v1/groups/kept/members/m/heartbeat',
      body: heartbeat,
      headers: asMembers,
    }),
    'long polls that are broken off': (count) =>
      repeat(count, () => breakOff(url, `${records}?offset=latest&wait=60s`, 'wait')),
    'event streams of a node': (count) => repeat(count, () => breakOff(url, '/v1/watch/kept', 'stream')),
    'event streams of a topic': (count) =>
      repeat(count, () => breakOff(url, '/v1/topics/kept/stream?offset=latest', 'stream')),
    'sockets with a watch': (count) =>
      repeat(count, () => useSocket(`${ws}/v1/watch`, [{ type: 'watch', id: 'w', path: '/kept', mode: 'node' }], 1)),
    'sockets of a topic': (count) =>
      repeat(count, () =>
        useSocket(`${ws}/v1/topics/kept/stream?offset=0&partition=0`, [{ type: 'credit', records: 1 }], 2),
      ),
  };

  /** These requests run for long, so each has a signal. */
  const short = ['fetches whose wait is over', 'consume calls', 'long polls whose time is over'];
  for (const [kind, run] of Object.entries(kinds).filter(([kind]) => isLong || short.includes(kind))) {
    // Caches and compiled code have their size after the first rounds. A leak grows in all rounds.
    await run(Math.ceil(operations / 2));
    const bytes = [heapBytes()];
    while (bytes.length <= roundsMax && !isSteady(bytes)) {
      await run(operations);
      bytes.push(heapBytes());
    }
    const growths = bytes.slice(1).map((after, round) => ((after - bytes[round]!) / operations).toFixed(1));
    t.ok(
      isSteady(bytes),
      `${operations} ${kind} leave the heap as it was (bytes each, by round: ${growths.join(', ')})`,
    );
  }
});

// Responses that their clients do not read: limited in memory, and cut.
import { connect, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { defaultLimits } from '../../src/app.ts';
import { SharedLimit } from '../../src/core/shared-limit.ts';
import { UnreadResponses } from '../../src/http/unread-responses.ts';
import { eventually, http, startTestServer, type TestServer } from '../helpers/server.ts';

const { admission, timeouts } = defaultLimits;
const MiB = 1024 * 1024;

function responseOf(clientKey: string, bytes: number) {
  const response = {
    clientKey,
    bytes,
    isCut: false,
    cut() {
      response.isCut = true;
    },
  };
  return response;
}

const unreadOf = (max: number) =>
  new UnreadResponses<ReturnType<typeof responseOf>>(new SharedLimit(max, 0.5), (response) => response.cut());

t.test(
  'without room, the response of the client with most bytes that made no progress for longest is cut',
  async (t) => {
    const unread = unreadOf(100);
    const greedy = Array.from({ length: 8 }, () => responseOf('greedy', 10));
    for (const response of greedy) unread.add(response);
    unread.moved(greedy[0]!);
    const other = responseOf('other', 30);
    unread.add(other);
    t.same(
      greedy.map(({ isCut }) => isCut),
      [false, true, false, false, false, false, false, false],
    );
    t.notOk(other.isCut);
    t.equal(unread.limit.used, 100);
    const more = responseOf('greedy', 10);
    unread.add(more);
    t.ok(greedy[2]!.isCut, 'a response of the client with most bytes is cut for its own new one');
    t.notOk(more.isCut);
    for (const response of [...unread]) unread.remove(response);
    unread.remove(more);
    t.equal(unread.limit.used, 0);
  },
);

t.test('a response larger than the limit is sent, and earlier ones are cut for it', async (t) => {
  const unread = unreadOf(100);
  const first = responseOf('a', 1000);
  unread.add(first);
  t.notOk(first.isCut);
  const second = responseOf('a', 1000);
  unread.add(second);
  t.ok(first.isCut);
  t.notOk(second.isCut);
});

/** A connection that sends `times` requests with large responses, and reads only when it is told to. */
function ask(t: Test, { url }: TestServer, path: string, times = 1, localAddress = '127.0.0.1') {
  const socket: Socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1', localAddress });
  t.teardown(() => socket.destroy());
  const state = { socket, isClosed: false, bytes: 0 };
  socket.pause();
  socket.on('error', () => undefined);
  socket.on('close', () => {
    state.isClosed = true;
  });
  socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`.repeat(times));
  return state;
}

async function metric({ url }: TestServer, name: string): Promise<number> {
  const text = (await http(`${url}/metrics`)).body as string;
  return Number(new RegExp(`^weir_${name} (\\d+)`, 'm').exec(text)?.[1] ?? 0);
}

/** One request for each kind of large response: all pass the same hook. */
async function largeThings({ url }: TestServer): Promise<string[]> {
  await http(`${url}/v1/topics`, 'POST', { name: 'large' });
  const value = 'x'.repeat(512 * 1024);
  for (let n = 0; n < 20; n++)
    await http(`${url}/v1/topics/large/records`, 'POST', { records: [{ value, partition: 0 }] });
  await http(`${url}/v1/nodes/large`, 'PUT', 'x'.repeat(MiB), { 'content-type': 'text/plain' });
  return [
    '/v1/topics/large/partitions/0/records?offset=0&maxBytes=16777216',
    '/v1/nodes/large',
    '/v1/nodes/large?view=node',
  ];
}

t.test('unread responses use no more memory than the limit, and other clients are served', async (t) => {
  const server = await startTestServer(t, { trustProxy: ['127.0.0.1'] }, undefined, {
    admission: { ...admission, responsesBytesMax: 40 * MiB },
    timeouts,
  });
  const paths = await largeThings(server);
  const readers = paths.flatMap((path) => Array.from({ length: 12 }, () => ask(t, server, path, 40, '127.0.0.2')));
  await eventually(async () => {
    const { status, body } = await http(`${server.url}/v1/nodes/`, 'GET', undefined, {
      'x-forwarded-for': '127.0.0.2',
    });
    if (status === 429)
      t.match(body, {
        code: 'TOO_MANY_REQUESTS',
        detail: /bytes of responses that clients have not read yet of 127.0.0.2/,
      });
    return status === 429;
  }, 'a client that does not read is refused further work');
  for (const path of paths) {
    const full = async () => (await http(server.url + path)).status === 200;
    await eventually(full, `${path} is sent in full to another client`);
  }
  t.ok((await metric(server, 'response_bytes_unread')) <= 40 * MiB);
  for (const { socket } of readers) socket.destroy();
  await eventually(async () => (await metric(server, 'response_bytes_unread')) < MiB, 'nothing is left');
});

t.test('a response that stalls, or is read too slowly, is cut', async (t) => {
  for (const [reason, own] of [
    ['stalled', { responseIdleMs: 100 }],
    ['slow', { responseGraceMs: 100, responseBytesPerSecondMin: 1e12 }],
  ] as const) {
    const server = await startTestServer(t, {}, undefined, {
      admission,
      timeouts: { ...timeouts, checkIntervalMs: 20, ...own },
    });
    const [fetch] = await largeThings(server);
    const reader = ask(t, server, fetch!, 4);
    await eventually(
      async () => (await metric(server, `responses_cut_total{reason="${reason}"}`)) === 1,
      `it is cut as ${reason}`,
    );
    reader.socket.resume();
    await eventually(() => reader.isClosed, 'its connection is closed');
  }
});

t.test('a slow but steady reader is not cut', async (t) => {
  const quick = { ...timeouts, checkIntervalMs: 20, responseGraceMs: 2000 };
  const server = await startTestServer(t, {}, undefined, { admission, timeouts: quick });
  const [fetch] = await largeThings(server);
  const reader = ask(t, server, fetch!, 2);
  let bytes = 0;
  while (bytes < 2 * 20 * 512 * 1024) {
    const piece = reader.socket.read() as Buffer | null;
    bytes += piece?.length ?? 0;
    if (reader.isClosed) break;
    await new Promise((resolve) => setImmediate(resolve));
  }
  t.ok(bytes >= 2 * 20 * 512 * 1024, 'it had both');
  t.equal(await metric(server, 'responses_cut_total{reason="stalled"}'), 0);
});

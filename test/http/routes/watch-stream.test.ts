import { execFile } from 'node:child_process';
import { connect } from 'node:net';
import { promisify } from 'node:util';
import { EventSource } from 'eventsource';
import t from 'tap';
import { streamFrame } from '../../../schemas/watch.ts';
import { openEventStream, type StreamMessage } from '../../helpers/event-stream.ts';
import { startLossyRedis } from '../../helpers/lossy-redis.ts';
import { eventually, http, metric, startTestServer } from '../../helpers/server.ts';
import { put, putMuch } from '../../helpers/tree-writes.ts';

const withZxid = (zxid: number) => (message: StreamMessage) =>
  message.data.type === 'events' && message.data.zxid === zxid;

t.test(
  'a stream begins with watching, has the zxid as id of each message, and the headers that proxies need',
  async (t) => {
    const one = await startTestServer(t, { corsOrigins: ['https://page.example'] });
    const two = await startTestServer(t, {}, one.target);
    const stream = await openEventStream(t, `${one.url}/v1/watch/app?mode=recursive&data`, {
      origin: 'https://page.example',
    });
    t.equal(stream.response.status, 200);
    t.match(Object.fromEntries(stream.response.headers), {
      'content-type': /^text\/event-stream/,
      'cache-control': /no-store/,
      'x-request-id': /./,
      'access-control-allow-origin': 'https://page.example',
      'weir-zxid': /^\d+$/,
    });
    const watching = await stream.message(({ data }) => data.type === 'watching', 'watching');
    t.equal(stream.messages[0], watching);
    t.equal(watching.id, `${watching.data.zxid}`);
    const created = await put(two, '/app', 'x');
    const child = await put(two, '/app/b');
    await stream.message(withZxid(child), 'both are received');
    t.match(
      stream.messages.filter(({ data }) => data.type === 'events'),
      [
        { id: `${created}`, data: { zxid: created, events: [{ type: 'created', path: '/app', data: 'x' }] } },
        { id: `${child}`, data: { zxid: child, events: [{ type: 'created', path: '/app/b' }] } },
      ],
    );
    const bookmark = await stream.message(({ data }) => data.type === 'bookmark', 'a bookmark');
    t.equal(bookmark.id, `${bookmark.data.zxid}`);
    for (const { data } of stream.messages)
      t.ok(streamFrame.safeParse(data).success, `${data.type} is as the schema says`);
    t.equal(await metric(one, 'weir_watch_streams_open'), 1);
    stream.cut();
    await eventually(async () => (await metric(one, 'weir_watch_streams_open')) === 0, 'a client that goes frees it');
    t.notMatch((await http(`${one.url}/metrics`)).body, /weir_watches\{mode="recursive",state="synced"\}/);
  },
);

t.test('since replays, Last-Event-ID wins over it, and once ends the stream', async (t) => {
  const server = await startTestServer(t);
  const z = [];
  for (let i = 0; i < 5; i++) z.push(await put(server, '/r', `${i}`));
  const since = await openEventStream(t, `${server.url}/v1/watch/r?since=${z[0]}`);
  await since.message(withZxid(z[4]!), 'the last');
  t.same(
    since.messages.map(({ data }) => [data.type, data.zxid]),
    [['watching', z[0]], ...z.slice(1).map((zxid) => ['events', zxid])],
  );
  const resumed = await openEventStream(t, `${server.url}/v1/watch/r?since=0&once`, { 'last-event-id': `${z[2]}` });
  await resumed.end();
  t.same(
    resumed.messages.map(({ data }) => [data.type, data.zxid]),
    [
      ['watching', z[2]],
      ['events', z[3]],
    ],
  );
});

t.test('the root is watched at /v1/watch/, and encoded names are read as names', async (t) => {
  const server = await startTestServer(t);
  const root = await openEventStream(t, `${server.url}/v1/watch/?mode=children`);
  const named = await openEventStream(t, `${server.url}/v1/watch/caf%C3%A9%20x`);
  await named.message(({ data }) => data.type === 'watching', 'watching');
  const created = await put(server, '/caf%C3%A9%20x');
  t.match((await root.message(withZxid(created), 'the list of the root')).data.events, [
    { type: 'children', path: '/' },
  ]);
  t.match((await named.message(withZxid(created), 'the node')).data.events, [{ type: 'created', path: '/café x' }]);
});

t.test('what is wrong before the stream is a problem', async (t) => {
  const server = await startTestServer(t);
  const refused = async (path: string, expected: object, headers: Record<string, string> = {}) =>
    t.match(await http(`${server.url}/v1/watch${path}`, 'GET', undefined, headers), expected, path);
  await refused('/a//b', { status: 400, body: { code: 'INVALID_PATH', path: '/a//b' } });
  await refused('/a?mode=all', { status: 400, body: { code: 'BAD_REQUEST', detail: /mode/ } });
  await refused('/a?sinse=1', { status: 400, body: { code: 'BAD_REQUEST', detail: /'sinse'/ } });
  await refused(
    '/a',
    { status: 400, body: { code: 'BAD_REQUEST', detail: /last-event-id/ } },
    { 'last-event-id': 'x' },
  );
  const head = await http(`${server.url}/v1/watch/a`, 'HEAD');
  t.equal(head.status, 405);
});

t.test('what goes wrong later is an error message, and the end: here, changes that the store has lost', async (t) => {
  const redis = await startLossyRedis(t);
  const server = await startTestServer(t, {}, redis);
  await put(server, '/n');
  redis.backUp();
  const stream = await openEventStream(t, `${server.url}/v1/watch/n`);
  await stream.message(({ data }) => data.type === 'watching', 'watching');
  await stream.message(withZxid(await put(server, '/n', 'lost')), 'the change');
  await redis.killAndRestore();
  await stream.end();
  t.match(stream.messages.at(-1), { event: 'problem', data: { type: 'error', code: 'COMPACTED', status: 410 } });
  t.ok(streamFrame.safeParse(stream.messages.at(-1)!.data).success);
});

t.test(
  'an EventSource whose place is lost is told why in a problem it can read, and is stopped when it comes back',
  async (t) => {
    const server = await startTestServer(t);
    const url = `${server.url}/v1/watch/a`;
    const source = new EventSource(`${url}?since=999999999`);
    t.teardown(() => source.close());
    let received: any;
    source.addEventListener('problem', ({ data, lastEventId }) => {
      received = { ...JSON.parse(data), lastEventId };
    });
    await eventually(() => received, 'the problem is received');
    t.match(received, { code: 'COMPACTED', oldest: 0, lastEventId: 'lost:999999999' });
    // It would come back in a minute with that id; one that does so at once is closed for good.
    const again = new EventSource(url, {
      fetch: (input, init) =>
        fetch(input, { ...init, headers: { ...init.headers, 'last-event-id': received.lastEventId } }),
    });
    t.teardown(() => again.close());
    await eventually(() => again.readyState === EventSource.CLOSED, 'it is stopped');
    const raw = await http(`${url}?since=999999999`);
    t.match(raw.body, /^retry: 1000\nretry: 60000\nid: lost:999999999\nevent: problem\ndata: /);
    t.match(raw.headers.get('weir-zxid'), /^\d+$/);
  },
);

t.test("a browser's EventSource goes on by itself where it was, through another server", async (t) => {
  const one = await startTestServer(t);
  const two = await startTestServer(t, {}, one.target);
  const { port } = new URL(one.url);
  const source = new EventSource(`${one.url}/v1/watch/es?mode=recursive`);
  t.teardown(() => source.close());
  const received: number[] = [];
  let watching = 0;
  source.onmessage = ({ data }) => {
    const frame = JSON.parse(data);
    if (frame.type === 'watching') watching += 1;
    if (frame.type === 'events') received.push(frame.zxid);
  };
  await eventually(() => watching === 1, 'it watches');
  const z = [await put(two, '/es')];
  await eventually(() => received.length === 1, 'the first event arrives');
  await one.close();
  for (let i = 0; i < 3; i++) z.push(await put(two, `/es/${i}`));
  // In the place of the first server comes another one.
  await startTestServer(t, { port: Number(port) }, one.target);
  await eventually(() => received.length === 4, 'what was written meanwhile arrives');
  z.push(await put(two, '/es/last'));
  await eventually(() => received.length === 5, 'and goes on');
  t.same(received, z);
});

t.test('curl reads it', async (t) => {
  const server = await startTestServer(t);
  const zxid = await put(server, '/c');
  const { stdout } = await promisify(execFile)('curl', ['-sN', `${server.url}/v1/watch/c?since=${zxid - 1}&once`]);
  t.match(stdout, /^retry: 1000\nid: \d+\ndata: \{"type":"watching"/);
  t.match(stdout, new RegExp(`\nid: ${zxid}\ndata: \\{"type":"events","zxid":${zxid},"events":\\[\\{"type":"created"`));
});

t.test('a reader that reads nothing is cut off when 8 MiB wait for it', async (t) => {
  const server = await startTestServer(t);
  await put(server, '/big');
  const { hostname, port } = new URL(server.url);
  const raw = connect(Number(port), hostname);
  t.teardown(() => raw.destroy());
  let closed = false;
  raw.on('error', () => {});
  raw.on('close', () => {
    closed = true;
  });
  raw.write(`GET /v1/watch/big?data HTTP/1.1\r\nHost: ${hostname}:${port}\r\n\r\n`);
  raw.pause();
  await eventually(async () => (await metric(server, 'weir_watch_streams_open')) === 1, 'the stream is open');
  await eventually(async () => {
    for (let i = 0; i < 5; i++) await putMuch(server, '/big');
    return (await metric(server, 'weir_slow_readers_cut_total{kind="watch-stream"}')) === 1;
  }, 'it is cut off');
  t.equal(await metric(server, 'weir_watch_streams_open'), 0);
  raw.resume();
  await eventually(() => closed, 'its connection is closed');
});

t.test('a long history is replayed whole to a reader that takes its time', async (t) => {
  const server = await startTestServer(t);
  const first = await put(server, '/h');
  let last = first;
  for (let i = 0; i < 60; i++) last = await putMuch(server, '/h');
  const stream = await openEventStream(t, `${server.url}/v1/watch/h?data&since=${first}`);
  await stream.message(withZxid(last), 'the last');
  t.equal(stream.messages.filter(({ data }) => data.type === 'events').length, 60);
  t.not(await metric(server, 'weir_slow_readers_cut_total{kind="watch-stream"}'), 1);
});

t.test('streams end when the server stops', async (t) => {
  const server = await startTestServer(t);
  const stream = await openEventStream(t, `${server.url}/v1/watch/`);
  await stream.message(({ data }) => data.type === 'watching', 'watching');
  await server.close();
  await stream.end();
  t.equal(stream.messages[0]!.data.type, 'watching');
});

// Guarantee S5 from the first frame on: a session that is created with an idempotencyKey is created once, however often the network says
// what the client has said, and the writes of its connection take effect once.
import { type AddressInfo, connect, createServer } from 'node:net';
import t, { type Test } from 'tap';
import { openPipeline } from '../../helpers/pipeline.ts';
import { eventually, http, startTestServer } from '../../helpers/server.ts';

const server = await startTestServer(t);
const tooLate = { error: { code: 'SESSION_EXPIRED', status: 410 } };

let keys = 0;
/** A key that no other test of this file uses. */
function newKey(): string {
  keys += 1;
  return `a-key-of-this-test-${keys}`;
}

/** A way to the server that remembers what was said to it, and can say it again over another connection. */
async function startRecorder(t: Test) {
  const port = Number(new URL(server.url).port);
  const said: Buffer[] = [];
  const proxy = createServer((client) => {
    const upstream = connect(port, '127.0.0.1');
    client.on('data', (data) => said.push(data));
    client.pipe(upstream).pipe(client);
    for (const socket of [client, upstream]) socket.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  t.teardown(() => proxy.close());
  return {
    url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    /** Repeats everything, byte by byte. @returns what the server says when it has responded to the request `lastId` */
    repeat: async (lastId: number): Promise<string> => {
      const again = connect(port, '127.0.0.1');
      t.teardown(() => again.destroy());
      let heard = '';
      again
        .on('error', () => undefined)
        .on('data', (data) => {
          heard += data.toString('latin1');
        });
      again.write(Buffer.concat(said));
      return eventually(
        () => (heard.includes(`"id":${lastId},`) ? heard : undefined),
        'the repeated requests have responses',
      );
    },
  };
}

async function childrenOf(path: string): Promise<string[]> {
  return (await http(`${server.url}/v1/nodes${path}?view=children`)).body.children;
}

async function sessionsLabelled(label: string): Promise<string[]> {
  const { sessions } = (await http(`${server.url}/v1/sessions?limit=1000`)).body;
  return sessions.filter((each: { label?: string }) => each.label === label).map(({ id }: { id: string }) => id);
}

t.test(
  'a connection that the network repeats as a whole creates no second session, and writes nothing again',
  async (t) => {
    await http(`${server.url}/v1/nodes/whole`, 'PUT');
    const recorder = await startRecorder(t);
    const first = await openPipeline(t, recorder.url);
    const { ok } = await first.ask({ op: 'session', ttl: '1m', label: 'whole', idempotencyKey: newKey() });
    const creates = Array.from({ length: 5 }, (_, n) => ({
      id: n + 1,
      op: 'create',
      path: '/whole/n-',
      sequential: true,
      seq: n + 1,
    }));
    first.send(creates);
    await first.response(5);
    first.ws.terminate();
    const second = await openPipeline(t, server.url);
    t.match(await second.ask({ op: 'session', attach: ok.session }), { ok: { lastSeq: 5 } });
    t.match(await second.ask({ op: 'create', path: '/whole/n-', sequential: true, seq: 6 }), {
      ok: { name: 'n-0000000005' },
    });

    const heard = await recorder.repeat(5);
    t.equal(
      heard.split('"replayed":true').length - 1,
      6,
      'the creation of the session and the five writes are replays',
    );
    t.equal((await childrenOf('/whole')).length, 6);
    t.same(await sessionsLabelled('whole'), [ok.id]);

    const seventh = { op: 'create', path: '/whole/n-', sequential: true, seq: 7 };
    t.match(
      await second.ask(seventh),
      { error: { code: 'SESSION_MOVED' } },
      'the repeated connection was attached last',
    );
    const third = await openPipeline(t, server.url);
    t.match(await third.ask({ op: 'session', attach: ok.session }), { ok: { lastSeq: 6 } }, 'the client takes it back');
    t.match(await third.ask(seventh), { ok: { name: 'n-0000000006' } });
  },
);

t.test('a connection that is repeated after the end of its session changes nothing', async (t) => {
  await http(`${server.url}/v1/nodes/ended`, 'PUT');
  const recorder = await startRecorder(t);
  const first = await openPipeline(t, recorder.url);
  await first.ask({ op: 'session', label: 'ended', idempotencyKey: newKey() });
  first.send([
    { id: 1, op: 'create', path: '/ended/n-', sequential: true, seq: 1 },
    { id: 2, op: 'create', path: '/ended/e-', sequential: true, mode: 'ephemeral', seq: 2 },
    { id: 3, op: 'session', end: true },
  ]);
  await first.response(3);
  const heard = await recorder.repeat(3);
  t.match(heard, /"SESSION_EXPIRED".*which the first request with this idempotencyKey created, has ended/);
  t.same(await childrenOf('/ended'), ['n-0000000000']);
  t.same(await sessionsLabelled('ended'), []);
});

t.test('a client that has lost the response to the creation repeats it, with the writes behind it', async (t) => {
  const create = { op: 'session', ttl: '1m', idempotencyKey: newKey() };
  const lost = await openPipeline(t, server.url);
  const [{ ok: created }] = await lost.askAll([create, { op: 'create', path: '/repeated', seq: 1 }]);
  const again = await openPipeline(t, server.url);
  const [session, one, two] = await again.askAll([
    create,
    { op: 'create', path: '/repeated', seq: 1 },
    { op: 'set', path: '/repeated', data: 'two', seq: 2 },
  ]);
  t.match(session, { replayed: true, ok: { id: created.id, session: created.session, ttlMs: 60_000, lastSeq: 1 } });
  t.match(one, { replayed: true, ok: { stat: { version: 0 } } });
  t.match(two, { ok: { stat: { version: 1 } } });
  t.notOk('replayed' in two);
  t.match(await lost.ask({ op: 'set', path: '/repeated', data: 'late', seq: 2 }), { error: { code: 'SESSION_MOVED' } });
});

t.test('a key belongs to one creation, and must be impossible to guess', async (t) => {
  const socket = await openPipeline(t, server.url);
  const idempotencyKey = newKey();
  await socket.ask({ op: 'session', ttl: '1m', label: 'a', idempotencyKey });
  await socket.ask({ op: 'session', end: true });
  t.match(await socket.ask({ op: 'session', ttl: '1m', label: 'a', idempotencyKey }), tooLate, 'its session has ended');
  for (const other of [
    { ttl: '2m', label: 'a' },
    { ttl: '1m', label: 'b' },
  ]) {
    const reused = await socket.ask({ op: 'session', ...other, idempotencyKey });
    t.match(reused, { error: { code: 'IDEMPOTENCY_KEY_REUSED', status: 422 } });
  }
  t.match(await socket.ask({ op: 'session', idempotencyKey: 'short' }), {
    error: { code: 'BAD_REQUEST', detail: /session\.idempotencyKey has 5 characters.*at least 16/ },
  });
  for (const request of [{ end: true }, { renew: true }, { attach: 'x' }])
    t.match(await socket.ask({ op: 'session', ...request, idempotencyKey }), { error: { code: 'BAD_REQUEST' } });
  t.match(
    await socket.ask({ op: 'session', idempotencyKey: newKey() }),
    { ok: { lastSeq: 0 } },
    'a new key, a new session',
  );
});

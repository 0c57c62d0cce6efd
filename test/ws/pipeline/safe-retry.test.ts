// Guarantee S5: writes with a seq take effect once and in order, whatever happens to connections, brokers and the store; and when the
// fate of a request is unknown, nothing behind it is carried out and the socket closes.
import t, { type Test } from 'tap';
import { startFaultyNetwork } from '../../helpers/faulty-network.ts';
import { openPipeline, type TestPipeline } from '../../helpers/pipeline.ts';
import { chooseSeed, randomOf } from '../../helpers/random.ts';
import { startTestRedis } from '../../helpers/redis.ts';
import { eventually, http, startTestServer } from '../../helpers/server.ts';

const seed = chooseSeed();
t.comment(`WEIR_TEST_SEED=${seed}`);

interface Write {
  seq: number;
  request: Record<string, unknown>;
}

/** Sends writes with a window, and again after each loss of the connection, until all have responses. */
class Writer {
  readonly results = new Map<number, any>();
  reconnects = 0;
  replays = 0;
  readonly #t: Test;
  readonly #url: string;
  #handle = '';

  constructor(t: Test, url: string) {
    this.#t = t;
    this.#url = url;
  }

  async run(writes: readonly Write[], window: number, onResult: (received: number) => void): Promise<void> {
    while (this.results.size < writes.length) {
      const socket = await openPipeline(this.#t, this.#url).catch(() => undefined);
      if (!socket) continue;
      await Promise.race([this.#serve(socket, writes, window, onResult), socket.closed]).catch(() => undefined);
      socket.ws.terminate();
      this.reconnects += 1;
    }
  }

  async #serve(
    socket: TestPipeline,
    writes: readonly Write[],
    window: number,
    onResult: (received: number) => void,
  ): Promise<void> {
    const { ok } = await socket.ask({ op: 'session', ...(this.#handle ? { attach: this.#handle } : { ttl: '1m' }) });
    this.#handle ||= ok.session;
    const pending = writes.filter(({ seq }) => !this.results.has(seq));
    let sent = 0;
    const fill = () => {
      const inFlight = sent - pending.slice(0, sent).filter(({ seq }) => this.results.has(seq)).length;
      const next = pending.slice(sent, sent + window - inFlight);
      sent += next.length;
      if (next.length > 0) socket.send(next.map(({ seq, request }) => ({ id: seq, ...request, seq })));
    };
    fill();
    let seen = 0;
    await eventually(() => {
      for (; seen < socket.received.length; seen += 1) {
        const response = socket.received[seen];
        if (response.type !== undefined || response.id > writes.length) continue;
        if (response.replayed) this.replays += 1;
        this.results.set(response.id, response);
        onResult(this.results.size);
      }
      if (socket.ws.readyState !== socket.ws.OPEN) throw new Error('The connection was lost');
      fill();
      return this.results.size === writes.length;
    }, 'all writes have responses');
  }
}

t.test(
  `connections that are cut at random lose no write and repeat none (seed ${seed})`,
  { timeout: 240_000 },
  async (t) => {
    const one = await startTestServer(t);
    const two = await startTestServer(t, {}, one.target);
    const network = await startFaultyNetwork(t, one.url);
    const random = randomOf(seed);
    await http(`${one.url}/v1/nodes/q`, 'PUT');
    const count = 400;
    // Every third write fails, which stops nothing behind it.
    const writes = Array.from({ length: count }, (_, n) => ({
      seq: n + 1,
      request:
        n % 3 === 2
          ? { op: 'set', path: '/none', data: '' }
          : { op: 'create', path: '/q/n-', sequential: true, data: `${n}` },
    }));
    const writer = new Writer(t, network.url);
    let [cuts, nextCut] = [0, 1 + random.below(40)];
    await writer.run(writes, 64, (received) => {
      if (received < nextCut) return;
      nextCut = received + 1 + random.below(80);
      cuts += 1;
      network.redirect(random.pick([one.url, two.url]));
    });
    t.ok(cuts >= 3, `${cuts} cuts, ${writer.reconnects} connections, ${writer.replays} replays`);
    const created = writes.filter((_, n) => n % 3 !== 2);
    t.same(
      created.map(({ seq }) => writer.results.get(seq).ok?.name),
      created.map((_, n) => `n-${String(n).padStart(10, '0')}`),
      'each create took effect once, in order',
    );
    t.ok(writes.every(({ seq }, n) => n % 3 !== 2 || writer.results.get(seq).error.code === 'NO_NODE'));
    const { stat } = (await http(`${one.url}/v1/nodes/q?view=stat`)).body;
    t.equal(stat.numChildren, created.length);
    t.equal(stat.cversion, created.length);
  },
);

t.test(
  'while the store hangs, the socket closes with the request whose fate is unknown, and a repeat is safe',
  async (t) => {
    const { socketPath, redis } = await startTestRedis(t);
    const server = await startTestServer(t, { storeTimeoutMs: 2000 }, { socketPath });
    const socket = await openPipeline(t, server.url);
    const { ok } = await socket.ask({ op: 'session', ttl: '1m' });
    await socket.ask({ op: 'create', path: '/n', data: '0', seq: 1 });
    process.kill(redis.pid, 'SIGSTOP');
    t.teardown(() => process.kill(redis.pid, 'SIGCONT'));
    socket.send([
      { id: 2, op: 'set', path: '/n', data: '2', seq: 2 },
      { id: 3, op: 'set', path: '/n', data: '3', seq: 3 },
      { id: 4, op: 'get', path: '/n' },
    ]);
    const closed = await socket.closed;
    t.match(closed, { code: 1013, reason: /fate of a request is unknown/ });
    t.match(socket.received.at(-1), { type: 'error', request: 2, code: 'STORE_UNAVAILABLE', detail: /same seq/ });
    t.notOk(
      socket.received.some(({ id }) => id === 2 || id === 3 || id === 4),
      'neither it nor what is behind it gets a response',
    );
    process.kill(redis.pid, 'SIGCONT');
    const again = await openPipeline(t, server.url);
    t.match(await again.ask({ op: 'session', attach: ok.session }), { ok: { id: ok.id } });
    const [two, three, read] = await again.askAll([
      { op: 'set', path: '/n', data: '2', seq: 2 },
      { op: 'set', path: '/n', data: '3', seq: 3 },
      { op: 'get', path: '/n' },
    ]);
    t.match([two.ok.stat.version, three.ok.stat.version], [1, 2], 'each took effect once');
    t.match(read.ok, { data: '3', stat: { version: 2 } });
  },
);

t.test('a store that is killed ends the socket, also for produce; a fetch is only refused', async (t) => {
  const { socketPath, redis } = await startTestRedis(t);
  const server = await startTestServer(t, { storeTimeoutMs: 2000 }, { socketPath });
  await http(`${server.url}/v1/topics`, 'POST', { name: 'topic' });
  const [writing, producing, fetching] = await Promise.all([1, 2, 3].map(() => openPipeline(t, server.url)));
  await producing!.ask({ op: 'produce', topic: 'topic', records: [{ value: 1 }] });
  process.kill(redis.pid, 'SIGSTOP');
  t.teardown(() => process.kill(redis.pid, 'SIGCONT'));
  writing!.send({ id: 1, op: 'create', path: '/a' });
  producing!.send([1, 2].map((id) => ({ id, op: 'produce', topic: 'topic', partition: 0, records: [{ value: id }] })));
  fetching!.send([
    { id: 1, op: 'fetch', topic: 'topic', partition: 0 },
    { id: 2, op: 'ping' },
  ]);
  t.equal((await writing!.closed).code, 1013);
  t.equal((await producing!.closed).code, 1013);
  t.match(producing!.received.at(-1), { type: 'error', request: 1 });
  t.match(await fetching!.response(1), { error: { code: 'STORE_UNAVAILABLE', retryable: true } });
  t.match(await fetching!.response(2), { ok: {} });
});

t.test('a seq without a session, a gap and a repeat of old writes are refused', async (t) => {
  const server = await startTestServer(t);
  const socket = await openPipeline(t, server.url);
  t.match(await socket.ask({ op: 'create', path: '/a', seq: 1 }), {
    error: { code: 'BAD_REQUEST', detail: /none is attached/ },
  });
  await socket.ask({ op: 'session' });
  const [first, gap, invalid, next] = await socket.askAll([
    { op: 'create', path: '/a', seq: 1 },
    { op: 'create', path: '/b', seq: 3 },
    { op: 'create', path: '/b', seq: 2, unknown: true },
    { op: 'create', path: '/b', seq: 3 },
  ]);
  t.match(
    [first.ok.path, gap.error.code, invalid.error.code, next.ok.path],
    ['/a', 'OUT_OF_ORDER_SEQUENCE', 'BAD_REQUEST', '/b'],
  );
  const repeat = await socket.ask({ op: 'create', path: '/a', seq: 1 });
  t.match(repeat, { ok: first.ok, replayed: true, zxid: first.zxid });
  t.match(await socket.ask({ op: 'create', path: '/b', seq: 2, unknown: true }), {
    error: { code: 'BAD_REQUEST' },
    replayed: true,
  });
});

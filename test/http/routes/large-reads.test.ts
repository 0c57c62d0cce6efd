// Reads of large nodes: a bounded number of bytes is read at once, however many ask for them, and small reads pass them.
import { setImmediate } from 'node:timers/promises';
import t from 'tap';
import { eventually, http, metric, startTestServer } from '../../helpers/server.ts';

const server = await startTestServer(t);
const { url, broker } = server;
const { large_reads: limiter } = broker.store.namespace.limiters;
const large = Buffer.alloc(1024 * 1024, 'x');
const sizes = [1, 65_536, 65_537, large.length];

t.test('nodes of all sizes are read as they are, in all forms', async (t) => {
  await http(`${url}/v1/nodes/n`, 'PUT', '');
  for (const size of sizes) await http(`${url}/v1/nodes/n/${size}`, 'PUT', large.subarray(0, size));
  for (const query of ['', '?view=node', '?read=local', '?read=local']) {
    const bodies = await Promise.all(sizes.map((size) => http(`${url}/v1/nodes/n/${size}${query}`)));
    t.same(
      bodies.map(({ body }) => (query === '?view=node' ? body.data : body).length),
      sizes,
      query,
    );
  }
});

t.test('many reads of large nodes at once are served in turn', async (t) => {
  let isRunning = true;
  let most = 0;
  const watch = (async () => {
    while (isRunning) {
      most = Math.max(most, limiter.inFlight);
      await setImmediate();
    }
  })();
  const responses = await Promise.all(
    Array.from({ length: 100 }, async () => {
      const response = await fetch(`${url}/v1/nodes/n/${large.length}`);
      return { status: response.status, length: (await response.arrayBuffer()).byteLength };
    }),
  );
  isRunning = false;
  await watch;
  for (const { status, length } of responses) {
    if (status !== 200 || length !== large.length) t.match({ status, length }, { status: 200, length: large.length });
  }
  t.ok(most > 1 && most <= 8, `${most} at once`);
});

t.test('without room a large read is refused after a while; small ones are served meanwhile', async (t) => {
  const other = await startTestServer(t, { storeTimeoutMs: 1000 }, server.target);
  let resolve = () => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  const held = other.broker.store.namespace.limiters.large_reads.run(() => promise, Number.MAX_SAFE_INTEGER);
  const refused = http(`${other.url}/v1/nodes/n/${large.length}`);
  await eventually(
    async () => (await metric(other, 'weir_store_limited_waiting{kind="large_reads"}')) === 1,
    'it waits for room',
  );
  t.equal((await http(`${other.url}/v1/nodes/n/65536`)).status, 200);
  t.match(await refused, { status: 429, body: { code: 'TOO_MANY_REQUESTS', detail: /reads of large nodes/ } });
  resolve();
  await held;
  t.equal((await http(`${other.url}/v1/nodes/n/${large.length}`)).status, 200);
});

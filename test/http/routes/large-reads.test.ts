// Reads of large nodes take turns: a bounded number of bytes is read at once, however many ask for them, and small reads pass them.
import { connect, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { defaultLimits } from '../../../src/app.ts';
import { eventually, http, metric, startTestServer, type TestServer } from '../../helpers/server.ts';

// A slow machine needs longer for a crowd of reads than a client should wait.
const patience = { ...defaultLimits.admission, largeReadWaitMsMax: 240_000 };
const server = await startTestServer(t, { storeTimeoutMs: 60_000 }, undefined, { admission: patience });
const { url } = server;
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

/** Holds back the calls that read large data until `release`; `most` is how many there were at once. */
function holdLargeReads(t: Test, { broker }: TestServer) {
  const { connection } = broker.store;
  const call = connection.call.bind(connection);
  const { promise, release } = held();
  const seen = { now: 0, most: 0, release };
  t.intercept(connection, 'call', {
    value: async (...args: Parameters<typeof call>) => {
      if (args[0] !== 'nodes/get' || !args[2].includes('all')) return call(...args);
      seen.now += 1;
      seen.most = Math.max(seen.most, seen.now);
      await promise;
      return call(...args).finally(() => {
        seen.now -= 1;
      });
    },
  });
  return seen;
}

function held() {
  let release = () => {};
  const promise = new Promise<void>((resolve) => {
    release = resolve;
  });
  return { promise, release };
}

t.test('a crowd of reads of large nodes waits, and all are served, a few at a time', async (t) => {
  const reads = holdLargeReads(t, server);
  const responses = Array.from({ length: 300 }, async () => {
    const response = await fetch(`${url}/v1/nodes/n/${large.length}`);
    return { status: response.status, length: (await response.arrayBuffer()).byteLength };
  });
  await eventually(async () => (await metric(server, 'weir_large_reads_waiting')) === 296, 'all others wait');
  t.equal((await http(`${url}/v1/nodes/n/65536`)).status, 200, 'small reads pass them');
  t.equal((await http(`${url}/v1/nodes/n/small`, 'PUT', 'x')).status, 201, 'and so do writes');
  reads.release();
  for (const { status, length } of await Promise.all(responses)) {
    if (status !== 200 || length !== large.length) t.match({ status, length }, { status: 200, length: large.length });
  }
  t.equal(reads.most, 4, 'so many at once');
  t.equal(await metric(server, 'weir_large_reads_waiting'), 0);
});

t.test('a client that is gone leaves the queue, whichever way it closes its connection', async (t) => {
  const reads = holdLargeReads(t, server);
  const path = `${url}/v1/nodes/n/${large.length}`;
  const first = Array.from({ length: 4 }, () => http(path));
  await eventually(() => reads.now === 4, 'there is no room');
  const { hostname, port } = new URL(url);
  const request = `GET /v1/nodes/n/${large.length} HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`;
  const waits = async (count: number, message: string) =>
    eventually(async () => (await metric(server, 'weir_large_reads_waiting')) === count, message);
  for (const leave of [
    (socket: Socket) => socket.resetAndDestroy(),
    (socket: Socket) => socket.destroy(),
    (socket: Socket) => socket.end(),
  ]) {
    const waiting = connect(Number(port), hostname);
    waiting.on('error', () => undefined).write(request);
    await waits(1, 'it waits');
    leave(waiting);
    await waits(0, 'it has left');
  }
  const late = connect(Number(port), hostname);
  late.on('error', () => undefined).end(request);
  await new Promise((resolve) => late.resume().once('close', resolve));
  t.equal(late.bytesRead, 0, 'who has closed its half before gets no place');
  await waits(0, 'nobody waits');
  reads.release();
  for (const { status } of await Promise.all(first)) t.equal(status, 200);
});

t.test('a client that has closed its half of the connection gets a large node, if it need not wait', async (t) => {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.end(`GET /v1/nodes/n/${large.length} HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`);
  await new Promise((resolve) => socket.resume().once('close', resolve));
  t.ok(socket.bytesRead > large.length);
});

t.test('beyond the places, or after a long wait, a large read is refused', async (t) => {
  const { admission } = defaultLimits;
  const limits = { admission: { ...admission, largeReadsWaitingMax: 1, largeReadWaitMsMax: 2000 } };
  const other = await startTestServer(t, { storeTimeoutMs: 60_000 }, server.target, limits);
  const path = `${other.url}/v1/nodes/n/${large.length}`;
  const reads = holdLargeReads(t, other);
  const first = Array.from({ length: 4 }, () => http(path));
  await eventually(() => reads.now === 4, 'there is no room');
  const late = http(path);
  await eventually(async () => (await metric(other, 'weir_large_reads_waiting')) === 1, 'it waits');
  const refused = { status: 429, body: { code: 'TOO_MANY_REQUESTS', retryable: true } };
  t.match(await http(path), {
    ...refused,
    body: { ...refused.body, detail: /reads of large nodes: 1 wait for their turn/ },
  });
  t.match(await late, { ...refused, body: { ...refused.body, detail: /waited for its turn for 2000 ms/ } });
  reads.release();
  await Promise.all(first);
  t.equal((await http(path)).status, 200);
});

t.test('a store that hangs when it is the turn of a large read is an error after the usual time', async (t) => {
  const other = await startTestServer(t, { storeTimeoutMs: 1000 }, server.target);
  const reads = holdLargeReads(t, other);
  const response = await http(`${other.url}/v1/nodes/n/${large.length}`);
  t.match(response, { status: 503, body: { code: 'STORE_UNAVAILABLE' } });
  reads.release();
});

// Measures the time from the request that produces a record to its arrival at the reader of a topic tail, at 1,000 records per
// second. The reference is the time of the produce request alone.
import { WebSocket } from 'ws';
import { HttpLoad, requestBytes } from '../lib/http-load.ts';
import type { LogSite } from '../lib/log-site.ts';
import { percentile, shown, table } from '../lib/measure.ts';

const perSecond = 1000;
const readersOf = [1, 100];

export async function measureTail(site: LogSite): Promise<string[]> {
  const rows: string[][] = [];
  for (const appendfsync of ['everysec', 'always'] as const) {
    await site.sync(appendfsync);
    for (const readers of readersOf) rows.push(await measure(site, readers, appendfsync));
  }
  await site.sync('everysec');
  const head = ['readers', 'records', 'to the reader, p50 ms', 'p99 ms', 'produce alone, p50 ms', 'p99 ms'];
  return [
    table(`Produce to tail at ${perSecond.toLocaleString('en')} single records a second (WebSocket)`, head, rows),
  ];
}

async function measure({ server, scale }: LogSite, readers: number, appendfsync: string): Promise<string[]> {
  const name = `bench-tail-${readers}-${appendfsync}`;
  const headers = { 'content-type': 'application/json' };
  await fetch(`${server.url}/v1/topics`, { method: 'POST', headers, body: JSON.stringify({ name }) });
  const sentAt: number[] = [];
  const latencies: number[] = [];
  const sockets = await Promise.all(Array.from({ length: readers }, () => openTail(server.url, name)));
  for (const socket of sockets) {
    socket.on('message', (data) => {
      const now = performance.now();
      const frame = JSON.parse(String(data)) as { type: string; records?: { offset: number }[] };
      for (const { offset } of frame.records ?? []) latencies.push(now - sentAt[offset]!);
    });
  }
  // One request after the other on one connection, so that offsets have the order of sending.
  const load = await HttpLoad.open(server.url, 1);
  const responses: number[] = [];
  const count = scale.quick ? 1500 : 5000;
  const startedAt = performance.now();
  for (let n = 0; n < count; n++) {
    const dueAt = startedAt + (n * 1000) / perSecond;
    while (performance.now() < dueAt) await new Promise((resolve) => setImmediate(resolve));
    sentAt[n] = performance.now();
    const body = JSON.stringify({ records: [{ value: 'x'.repeat(100) }] });
    responses.push((await load.send(requestBytes('POST', `/v1/topics/${name}/records`, body, headers))) - sentAt[n]!);
  }
  const until = performance.now() + 10_000;
  while (latencies.length < count * readers && performance.now() < until) await new Promise((r) => setTimeout(r, 10));
  if (latencies.length !== count * readers)
    throw new Error(`${latencies.length} of ${count * readers} records arrived`);
  load.close();
  for (const socket of sockets) socket.terminate();
  await fetch(`${server.url}/v1/topics/${name}`, { method: 'DELETE' });
  // The first ones do not count: the processes were not warm.
  const warm = latencies.slice(Math.floor(latencies.length / 5));
  const warmResponses = responses.slice(Math.floor(responses.length / 5));
  return [
    `${readers}, ${appendfsync}`,
    shown(count),
    shown(percentile(warm, 0.5)),
    shown(percentile(warm, 0.99)),
    shown(percentile(warmResponses, 0.5)),
    shown(percentile(warmResponses, 0.99)),
  ];
}

/** Opens a reader of a topic from its beginning, with credit for a million records. */
export function openTail(url: string, topic: string): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/topics/${topic}/stream?offset=earliest`);
    socket.once('error', reject);
    socket.once('open', () => {
      socket.send(JSON.stringify({ type: 'credit', records: 1_000_000 }));
      resolve(socket);
    });
  });
}

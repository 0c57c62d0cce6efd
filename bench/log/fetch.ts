// Measures the rate of fetches, compared with a bare Fastify route that sends as many bytes and with a Redis client that reads the
// same range of the Redis stream. All three take turns in short rounds.
import { randomBytes } from 'node:crypto';
import { countOfBatches } from '../lib/batches.ts';
import { HttpLoad, requestBytes } from '../lib/http-load.ts';
import type { LogSite, Topic } from '../lib/log-site.ts';
import { median, percent, shown, table } from '../lib/measure.ts';
import { Sums, watchedRound } from '../lib/rounds.ts';

interface Case {
  what: string;
  /** Records in a batch, which is one produce request. */
  batch: number;
  query: string;
  connections: number;
  /** The form of the response; absent: JSON. */
  form?: 'ndjson' | 'batches';
  config?: Record<string, string>;
  /** Whether values compress like lines of a log. */
  compressible?: boolean;
}

const recordBytes = 100;
const bytesMax = 1024 * 1024;
/** More than any of the responses needs. */
const large = `maxBytes=${bytesMax}&maxRecords=100000`;
/** Different offsets to read from in rotation, so that no two readers share a read. */
const places = 16;

const cases: Case[] = [
  { what: '1 MiB, batches of 1,000', batch: 1000, query: large, connections: 4 },
  { what: '1 MiB, batches of 1,000, NDJSON', batch: 1000, query: large, connections: 4, form: 'ndjson' },
  { what: '1 MiB, batches of 1,000, as batches', batch: 1000, query: large, connections: 4, form: 'batches' },
  { what: '1 MiB, batches of 100, as batches', batch: 100, query: large, connections: 4, form: 'batches' },
  { what: '1 MiB, batches of 1,000, 1 connection', batch: 1000, query: large, connections: 1 },
  { what: '1 MiB, batches of 100', batch: 100, query: large, connections: 4 },
  { what: '1 MiB, batches of 10', batch: 10, query: large, connections: 4 },
  { what: '1 MiB, single records', batch: 1, query: large, connections: 4 },
  { what: '500 records, batches of 100', batch: 100, query: 'maxRecords=500', connections: 64 },
  { what: '1 record, batches of 100', batch: 100, query: 'maxRecords=1', connections: 64 },
  { what: '1 MiB, as a log’s texts', batch: 1000, query: large, connections: 4, compressible: true },
  {
    what: '1 MiB, as a log’s texts, gzip',
    batch: 1000,
    query: large,
    connections: 4,
    compressible: true,
    config: { 'compression.type': 'gzip' },
  },
  {
    what: '1 MiB, as a log’s texts, gzip, as batches',
    batch: 1000,
    query: large,
    connections: 4,
    compressible: true,
    config: { 'compression.type': 'gzip' },
    form: 'batches',
  },
];

const headersOf: Record<NonNullable<Case['form']> | 'json', Record<string, string>> = {
  json: {},
  ndjson: { accept: 'application/x-ndjson' },
  batches: { accept: 'application/vnd.weir.batches', 'accept-encoding': 'gzip' },
};

/** The number of records in a response. */
function countOf(form: Case['form'], body: Buffer): number {
  if (form === undefined) return JSON.parse(body.toString()).records.length;
  if (form === 'ndjson') return body.toString('latin1').split('\n').length - 1;
  return countOfBatches(body);
}

export async function measureFetch(site: LogSite): Promise<string[]> {
  const rows: string[][] = [];
  for (const [index, each] of cases.entries()) rows.push(await measureCase(site, each, `bench-fetch-${index}`));
  const head = [
    'response',
    'requests/s',
    'records/s',
    'MB/s',
    'p50 ms',
    'p99 ms',
    'server µs',
    'Redis µs',
    'of bare route',
    'Redis client, records/s',
    'of Redis client',
  ];
  return [table(`Fetch, records of ${recordBytes} B`, head, rows)];
}

async function measureCase(site: LogSite, each: Case, name: string): Promise<string[]> {
  const { server, bare, scale } = site;
  const topic = await site.createTopic(name, 1, each.config);
  await fill(site, topic, each);
  const headers = headersOf[each.form ?? 'json'];
  const path = (offset: number) => `/v1/topics/${name}/partitions/0/records?offset=${offset}&${each.query}`;
  const response = await fetch(`${server.url}${path(0)}`, { headers });
  const body = Buffer.from(await response.arrayBuffer());
  const records = countOf(each.form, body);

  const requests = Array.from({ length: places }, (_, i) => requestBytes('GET', path(i * 10), '', headers));
  const load = await HttpLoad.open(server.url, each.connections);
  const bareLoad = await HttpLoad.open(bare.url, each.connections);
  const bareRequest = requestBytes('GET', `/bytes/${body.length}`);
  const stored = await storedEntries(site, topic, records);
  let turn = 0;
  const next = () => requests[turn++ % places]!;
  await load.run(next, scale.roundMs);
  await bareLoad.run(() => bareRequest, scale.roundMs);
  if (scale.profiles !== undefined) {
    await server.profiled(`${scale.profiles}/${name}.cpuprofile`, () => load.run(next, 2000));
  }
  const [ours, ofBare, raw, ofRaw] = [new Sums(), [] as number[], [] as number[], [] as number[]];
  for (let i = 0; i < scale.rounds; i++) {
    const { perSecond } = ours.add(await watchedRound(() => load.run(next, scale.roundMs), server));
    ofBare.push(perSecond / (await bareLoad.run(() => bareRequest, scale.roundMs)).perSecond);
    const rawRate = await readRaw(site, stored, each.connections, scale.roundMs);
    raw.push(rawRate);
    ofRaw.push(perSecond / rawRate);
  }
  load.close();
  bareLoad.close();
  await fetch(`${server.url}/v1/topics/${name}`, { method: 'DELETE' });
  return [
    each.what,
    shown(ours.rate),
    shown(ours.rate * records),
    shown((ours.rate * body.length) / 1e6),
    ours.latencyMs(50),
    ours.latencyMs(99),
    shown(ours.serverUsEach),
    shown(ours.redisUsEach),
    percent(median(ofBare)),
    shown(median(raw) * records),
    percent(median(ofRaw)),
  ];
}

/** Produces enough records for a response of 1 MiB from each offset. */
async function fill({ server }: LogSite, { name }: Topic, { batch, compressible = false }: Case): Promise<void> {
  const wanted = 12_000;
  const load = await HttpLoad.open(server.url, 8);
  const record = (n: number) => {
    const noise = randomBytes(recordBytes).toString('base64url').slice(0, recordBytes);
    const text = `10.0.${n % 250}.${n % 199} - - [21/Nov/2026:00:0${n % 10}] "GET /articles/${n % 1000}?page=${n % 7} HTTP/1.1" 200 ${n}`;
    return JSON.stringify({ value: compressible ? text.padEnd(recordBytes, ' ').slice(0, recordBytes) : noise });
  };
  let made = 0;
  const request = () => {
    const records = Array.from({ length: batch }, () => record(made++));
    const headers = { 'content-type': 'application/json' };
    return requestBytes('POST', `/v1/topics/${name}/records`, `{"records":[${records.join(',')}]}`, headers);
  };
  await load.run(request, 60_000, Math.ceil(wanted / batch));
  load.close();
}

/** The stream, and how many of its entries a Redis client must read to get as many records as a response has. */
async function storedEntries(site: LogSite, topic: Topic, records: number): Promise<{ key: string; count: number }> {
  const key = site.partitionKey(topic, 0).replace(/partition$/, 'log');
  const entries = await site.redis.client.xrange(key, '-', '+');
  let left = records;
  const count = entries.findIndex(([id]) => {
    left -= Number(id.split('-')[1]);
    return left <= 0;
  });
  return { key, count: count < 0 ? entries.length : count + 1 };
}

/** Plain reads of that range, per second. */
async function readRaw(
  site: LogSite,
  { key, count }: { key: string; count: number },
  inFlight: number,
  ms: number,
): Promise<number> {
  const startedAt = performance.now();
  let reads = 0;
  const loop = async () => {
    while (performance.now() - startedAt < ms) {
      await site.redis.client.xrangeBuffer(key, '-', '+', 'COUNT', count);
      reads += 1;
    }
  };
  await Promise.all(Array.from({ length: Math.min(inFlight, 8) }, loop));
  return (reads * 1000) / (performance.now() - startedAt);
}

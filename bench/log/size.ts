// Measures the memory of a record in Redis, and whether a log becomes slower with its length or with the number of other
// partitions.
import { randomBytes } from 'node:crypto';
import { HttpLoad, requestBytes } from '../lib/http-load.ts';
import type { LogSite, Topic } from '../lib/log-site.ts';
import { percent, shown, table } from '../lib/measure.ts';

const recordBytes = 100;
const headers = { 'content-type': 'application/json' };

export async function measureSize(site: LogSite): Promise<string[]> {
  return [await measureMemory(site), await measureLength(site), await measurePartitions(site)];
}

async function measureMemory(site: LogSite): Promise<string> {
  const rows: string[][] = [];
  const cases: [what: string, batch: number, text: boolean, config: Record<string, string>][] = [
    ...[1, 10, 100, 1000].map((batch): (typeof cases)[number] => [`batches of ${batch}`, batch, false, {}]),
    ['log texts, batches of 100', 100, true, {}],
    ['log texts, batches of 100, gzip', 100, true, { 'compression.type': 'gzip' }],
    ['log texts, batches of 1,000, gzip', 1000, true, { 'compression.type': 'gzip' }],
  ];
  const count = site.scale.quick ? 50_000 : 200_000;
  for (const [index, [what, batch, text, config]] of cases.entries()) {
    const topic = await site.createTopic(`bench-size-${index}`, 1, { 'retention.bytes': '-1', ...config });
    const before = await site.redis.usedMemoryBytes();
    await produce(site, topic, count, batch, text);
    const used = (await site.redis.usedMemoryBytes()) - before;
    const described = await fetch(`${site.server.url}/v1/topics/${topic.name}`);
    const { partitions } = (await described.json()) as { partitions: { bytes: number }[] };
    rows.push([what, shown(count), shown(used / count), shown(partitions[0]!.bytes / count)]);
    await remove(site, topic);
  }
  return table(
    `Memory of a record with a value of ${recordBytes} B, bytes`,
    ['', 'records', 'in Redis', 'of them its line'],
    rows,
  );
}

/** The same work on a log as it grows: a produce, and a fetch in the middle. */
async function measureLength(site: LogSite): Promise<string> {
  const topic = await site.createTopic('bench-length', 1, { 'retention.bytes': '-1', 'compression.type': 'gzip' });
  const rows: string[][] = [];
  let first: number[] | undefined;
  let length = 0;
  for (const target of site.scale.quick ? [10_000, 100_000, 1_000_000] : [10_000, 1_000_000, 10_000_000]) {
    const batch = 5000;
    await produce(site, topic, target - length, Math.min(batch, target - length), true);
    length = target;
    const times = await timesOf(site, topic, length);
    first ??= times;
    rows.push([shown(length), ...times.flatMap((time, i) => [shown(time), percent(time / first![i]!)])]);
  }
  await remove(site, topic);
  const head = ['records in the log', 'produce 100, µs', 'of the first', 'fetch in the middle, µs', 'of the first'];
  return table('A log that grows (gzip)', head, rows);
}

async function measurePartitions(site: LogSite): Promise<string> {
  const rows: string[][] = [];
  const topic = await site.createTopic('bench-few', 1);
  await produce(site, topic, 10_000, 1000, false);
  const many: Topic[] = [];
  let first: number[] | undefined;
  for (const total of site.scale.quick ? [1, 2000] : [1, 10_000]) {
    const before = await site.redis.usedMemoryBytes();
    const had = 1 + many.reduce((sum, { partitions }) => sum + partitions, 0);
    for (let left = total - had; left > 0; left -= 2000) {
      many.push(await site.createTopic(`bench-many-${many.length}`, Math.min(left, 2000)));
    }
    const each = total > had ? ((await site.redis.usedMemoryBytes()) - before) / (total - had) : undefined;
    const times = await timesOf(site, topic, 10_000);
    first ??= times;
    // The cost of log maintenance for them while nothing is appended.
    const idleMs = site.scale.quick ? 3000 : 10_000;
    const [cpu, redisCpu] = [site.server.cpuUs!, site.server.redisCpuUs!];
    await new Promise((resolve) => setTimeout(resolve, idleMs));
    const idle = (site.server.cpuUs! - cpu) / (idleMs * 10);
    const redisIdle = (site.server.redisCpuUs! - redisCpu) / (idleMs * 10);
    rows.push([
      shown(total),
      ...times.flatMap((time, i) => [shown(time), percent(time / first![i]!)]),
      shown(each),
      shown(idle),
      shown(redisIdle),
    ]);
  }
  for (const one of [topic, ...many]) await remove(site, one);
  const head = [
    'partitions',
    'produce 100, µs',
    'of the first',
    'fetch in the middle, µs',
    'of the first',
    'Redis bytes each',
    'idle server, % of a core',
    'idle Redis, %',
  ];
  return table('Partitions beside the one that is used', head, rows);
}

/** The times of a produce of 100 records and of a fetch of 500 from the middle, µs. */
async function timesOf(site: LogSite, topic: Topic, length: number): Promise<number[]> {
  const path = `/v1/topics/${topic.name}/records`;
  const produceRequest = requestBytes('POST', path, bodyOf(100, true), headers);
  const middle = `/v1/topics/${topic.name}/partitions/0/records?offset=${Math.floor(length / 2)}`;
  const times: number[] = [];
  for (const request of [produceRequest, requestBytes('GET', middle)]) {
    const load = await HttpLoad.open(site.server.url, 1);
    await load.run(() => request, 100);
    const { latencyUs } = await load.run(() => request, site.scale.roundMs * 2);
    times.push(latencyUs.percentile(50));
    load.close();
  }
  return times;
}

async function produce(site: LogSite, topic: Topic, count: number, batch: number, text: boolean): Promise<void> {
  const bodies = Array.from({ length: 16 }, () => bodyOf(batch, text));
  const requests = bodies.map((body) => requestBytes('POST', `/v1/topics/${topic.name}/records`, body, headers));
  const load = await HttpLoad.open(site.server.url, 8);
  let turn = 0;
  await load.run(() => requests[turn++ % requests.length]!, 600_000, Math.ceil(count / batch));
  load.close();
  await site.redis.settled();
}

function bodyOf(batch: number, text: boolean): string {
  const records = Array.from({ length: batch }, (_, n) => {
    const line = `10.0.${n % 250}.${n % 199} - - [21/Nov/2026:00:0${n % 10}] "GET /articles/${n % 1000}?page=${n % 7} HTTP/1.1" 200 ${n}`;
    const noise = randomBytes(recordBytes).toString('base64url').slice(0, recordBytes);
    return JSON.stringify({ value: text ? line.padEnd(recordBytes, ' ').slice(0, recordBytes) : noise });
  });
  return `{"records":[${records.join(',')}]}`;
}

async function remove(site: LogSite, { name }: Topic): Promise<void> {
  await fetch(`${site.server.url}/v1/topics/${name}`, { method: 'DELETE' });
  await site.redis.settled();
}

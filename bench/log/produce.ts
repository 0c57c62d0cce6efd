// Measures the rate of produce requests, compared with a bare Fastify route that reads the same body and discards it and with a
// Redis client that calls the same append script with the same batches. All three take turns in short rounds.
import { randomBytes, randomInt } from 'node:crypto';
import { LogWriter } from '../../src/broker/log/log-writer.ts';
import { TopicTraffic } from '../../src/broker/log/topic-traffic.ts';
import type { TopicCache } from '../../src/broker/metadata/topic-cache.ts';
import { createMetrics } from '../../src/broker/metrics.ts';
import { parseLines, parseRecords, type RequestRecords } from '../../src/core/records/record-input.ts';
import { effectiveConfig } from '../../src/core/records/topic-config.ts';
import type { Producers } from '../../src/store/log/producers.ts';
import { callTimeouts } from '../../src/store/redis/time-limits.ts';
import { HttpLoad, requestBytes } from '../lib/http-load.ts';
import { type LogSite, logCallsOf, type Topic } from '../lib/log-site.ts';
import { median, percent, shown, table } from '../lib/measure.ts';
import type { ScriptCall } from '../lib/redis-load.ts';
import { Sums, watchedRound } from '../lib/rounds.ts';

interface Case {
  /** Records per request. */
  records: number;
  bytes: 100 | 1024;
  keyed: boolean;
  type: 'json' | 'ndjson';
  connections: number;
  appendfsync: 'everysec' | 'always';
}

/** Different requests that are sent in rotation. */
const requestsInTurn = 64;
const partitions = 8;
const warmUpRounds = 2;
const profileMs = 2000;
const types = { json: 'application/json', ndjson: 'application/x-ndjson' };

const usual: Case = { records: 100, bytes: 100, keyed: false, type: 'json', connections: 64, appendfsync: 'everysec' };

const cases: Case[] = [
  ...[1, 10, 100, 1000].map((records) => ({ ...usual, records })),
  ...[1, 10, 100, 1000].map((records) => ({ ...usual, records, keyed: true })),
  { ...usual, bytes: 1024 },
  ...[1, 100, 1000].map((records): Case => ({ ...usual, records, type: 'ndjson' })),
  { ...usual, type: 'ndjson', keyed: true },
  ...[100, 1000].map((records): Case => ({ ...usual, records, appendfsync: 'always' })),
  ...[1, 100, 1000].map((records) => ({ ...usual, records, connections: 1 })),
  { ...usual, records: 100, connections: 1, keyed: true },
  { ...usual, records: 1, connections: 1, appendfsync: 'always' },
];

export async function measureProduce(site: LogSite): Promise<string[]> {
  const topic = await site.createTopic('bench-produce', partitions);
  const rows: string[][] = [];
  for (const each of cases) rows.push(await measureCase(site, topic, each));
  await site.sync('everysec');
  const head = [
    'records a request',
    'requests/s',
    'records/s',
    'MB/s',
    'p50 ms',
    'p99 ms',
    'server µs',
    'Redis µs',
    'of bare route',
    'raw script, records/s',
    'of raw script',
  ];
  return [table(`Produce, ${partitions} partitions`, head, rows), await measureCrowds(site, topic)];
}

async function measureCase(site: LogSite, topic: Topic, each: Case): Promise<string[]> {
  const { server, bare, redis, scale } = site;
  const bodies = Array.from({ length: requestsInTurn }, () => bodyOf(each));
  const headers = { 'content-type': types[each.type] };
  const requests = bodies.map((body) => requestBytes('POST', `/v1/topics/${topic.name}/records`, body, headers));
  const discarded = bodies.map((body) => requestBytes('POST', '/discard', body, headers));
  const calls: ScriptCall[] = [];
  for (const body of bodies) calls.push(...(await callsFor(topic, each, body)));
  const callsPerRequest = calls.length / requestsInTurn;

  const load = await HttpLoad.open(server.url, each.connections);
  const bareLoad = await HttpLoad.open(bare.url, each.connections);
  await site.sync(each.appendfsync);
  const round = (into: Sums) => watchedRound(() => load.run(inTurn(requests), scale.roundMs), server).then(into.add);
  const bareRound = (into: Sums) =>
    watchedRound(() => bareLoad.run(inTurn(discarded), scale.roundMs), bare).then(into.add);
  const rawRound = async () => {
    const { perSecond } = await redis.run(inTurn(calls), each.connections * callsPerRequest, scale.roundMs);
    return perSecond / callsPerRequest;
  };
  for (let i = 0; i < warmUpRounds; i++) await round(new Sums());
  await bareRound(new Sums());
  if (scale.profiles !== undefined) {
    const file = `${scale.profiles}/produce-${nameOf(each).replaceAll(/\W+/g, '-')}.cpuprofile`;
    await server.profiled(file, () => load.run(inTurn(requests), profileMs));
  }
  await site.clear(topic);

  const [ours, ofBare, raw, ofRaw] = [new Sums(), [] as number[], [] as number[], [] as number[]];
  const bareSums = new Sums();
  for (let i = 0; i < scale.rounds; i++) {
    const { perSecond } = await round(ours);
    await site.clear(topic);
    const bareRate = (await bareRound(bareSums)).perSecond;
    const rawRate = await rawRound();
    await site.clear(topic);
    ofBare.push(perSecond / bareRate);
    raw.push(rawRate);
    ofRaw.push(perSecond / rawRate);
  }
  load.close();
  bareLoad.close();
  return [
    nameOf(each),
    shown(ours.rate),
    shown(ours.rate * each.records),
    shown((ours.rate * each.records * each.bytes) / 1e6),
    ours.latencyMs(50),
    ours.latencyMs(99),
    shown(ours.serverUsEach),
    shown(ours.redisUsEach),
    percent(median(ofBare)),
    shown(median(raw) * each.records),
    percent(median(ofRaw)),
  ];
}

/** Many connections that send at once, more than a broker handles at the same time (requestsMax); one record per request. */
async function measureCrowds(site: LogSite, topic: Topic): Promise<string> {
  const one: Case = { ...usual, records: 1 };
  const requests = Array.from({ length: requestsInTurn }, () =>
    requestBytes('POST', `/v1/topics/${topic.name}/records`, bodyOf(one), { 'content-type': types.json }),
  );
  const rows: string[][] = [];
  for (const connections of [1000, 5000]) {
    const load = await HttpLoad.open(site.server.url, connections);
    await load.run(inTurn(requests), site.scale.roundMs);
    const sums = new Sums();
    // Any response that is not a success ends the run.
    for (let i = 0; i < site.scale.rounds; i++) {
      sums.add(await watchedRound(() => load.run(inTurn(requests), 2 * site.scale.roundMs), site.server));
    }
    load.close();
    await site.clear(topic);
    rows.push([
      connections.toLocaleString('en'),
      shown(sums.rate),
      sums.latencyMs(50),
      sums.latencyMs(99),
      shown(sums.serverUsEach),
    ]);
  }
  return table(
    'Many connections that all send at once, one record a request, no error',
    ['connections', 'requests/s', 'p50 ms', 'p99 ms', 'server µs'],
    rows,
  );
}

function nameOf({ records, bytes, keyed, type, connections, appendfsync }: Case): string {
  return [
    `${records.toLocaleString('en')} × ${bytes} B`,
    ...(keyed ? ['keyed'] : []),
    ...(type === 'ndjson' ? ['NDJSON'] : []),
    ...(connections === 1 ? ['1 connection'] : []),
    ...(appendfsync === 'always' ? ['always'] : []),
  ].join(', ');
}

function recordsOf({ records, bytes, keyed }: Case): string[] {
  return Array.from({ length: records }, () => {
    const value = randomBytes(bytes).toString('base64url').slice(0, bytes);
    return JSON.stringify(keyed ? { key: `key-${randomInt(100_000)}`, value } : { value });
  });
}

function bodyOf(each: Case): string {
  const records = recordsOf(each);
  return each.type === 'json' ? `{"records":[${records.join(',')}]}` : records.map((line) => `${line}\n`).join('');
}

/** The measured records have no named producer. */
const noProducers = {} as Producers;

/** The append that the server would make for this body. */
async function callsFor({ name, topicId }: Topic, { type }: Case, body: string): Promise<ScriptCall[]> {
  const bytes = Buffer.from(body);
  const records: RequestRecords =
    type === 'json' ? parseRecords(bytes).records : { kind: 'separate', records: parseLines(bytes, 1).records };
  const info = { name, topicId, partitionCount: partitions, homePartitions: partitions, config: effectiveConfig({}) };
  const topics = { withTopic: (_name: string, use: (topic: typeof info) => unknown) => use(info) };
  const metrics = createMetrics();
  return logCallsOf((logs) =>
    new LogWriter(
      topics as unknown as TopicCache,
      { connection: { timeouts: callTimeouts(2000) } as never, logs, producers: noProducers, namespace: {} as never },
      { traffic: new TopicTraffic(metrics), quotas: { requireRoom: () => undefined } },
      metrics,
    ).produce({
      topic: name,
      records,
      acks: '1',
    }),
  );
}

function inTurn<T>(all: readonly T[]): () => T {
  let next = 0;
  return () => all[next++ % all.length]!;
}

// What a record of 100 bytes costs, and how fast reading back is, beside NATS JetStream and Kafka. Here over HTTP; there over each system's
// own protocol, and in Kafka's case by its own load programs, which put records into batches of up to 16 KiB.
import { randomInt } from 'node:crypto';
import { createHistogram } from 'node:perf_hooks';
import { countOfBatches } from '../lib/batches.ts';
import { closedLoop } from '../lib/closed-loop.ts';
import { HttpLoad, type Round, requestBytes } from '../lib/http-load.ts';
import { KafkaTools } from '../lib/kafka-tools.ts';
import type { LogSite, Topic } from '../lib/log-site.ts';
import { table } from '../lib/measure.ts';
import { NatsClient } from '../lib/nats-client.ts';
import { comparedRow, type PairScale, pairHead, type Side, side } from '../lib/pairs.ts';
import { peerAddress, peerCpu } from '../lib/peer-sites.ts';

const partitions = 8;
const recordBytes = 100;
const inFlight = 64;
const value = Buffer.alloc(recordBytes, 'x');
const json = { 'content-type': 'application/json' };
/** How many different keys the records of a keyed load have. */
const keysCount = 100_000;
/** Different requests that are sent in rotation. */
const requestsInTurn = 64;
/** More than one response of 1 MiB holds, and few enough for a quick run. */
const recordsRead = 200_000;
const batchRead = 1000;
const readers = 4;
const run = Date.now().toString(36);

/** @returns Markdown tables, one for each peer that runs */
export async function measureRecords(site: LogSite, scale: PairScale): Promise<string[]> {
  await site.sync('everysec');
  const topic = await site.createTopic(`peers-${run}`, partitions);
  const filled = await site.createTopic(`peers-read-${run}`, 1);
  await fill(site, filled);
  const tables = [await besideNats(site, topic, filled, scale), await besideKafka(site, topic, filled, scale)];
  return tables.filter((text) => text !== undefined);
}

async function besideNats(site: LogSite, topic: Topic, filled: Topic, scale: PairScale): Promise<string | undefined> {
  const address = peerAddress('NATS');
  if (address === undefined) return undefined;
  const client = await NatsClient.open(address);
  const [stream, subject] = [`LOG_${run}`, `log.${run}`];
  const bounds = { max_bytes: 1 << 30, discard: 'old', storage: 'file' };
  await client.api(`STREAM.CREATE.${stream}`, { name: stream, subjects: [subject], ...bounds });
  const cpuUs = peerCpu(address);
  const publish = (messages: number): Side =>
    side((ms) => closedLoop((done) => client.request(subject, value, () => done()), messages, ms), cpuUs);
  const rows = [
    await comparedRow('1 record a request, 64 in flight', produce(site, topic, 1), publish(inFlight), scale),
    await comparedRow(
      '100 records a request, 64 in flight; there 6,400 messages',
      produce(site, topic, 100),
      publish(100 * inFlight),
      scale,
      { ours: 100, peer: 1 },
    ),
  ];
  const reading = await fetching(site, filled);
  const consume = side(() => consumeNats(client, stream, recordsRead), cpuUs);
  rows.push(
    await comparedRow('reading back', reading.side, consume, scale, { ours: reading.records, peer: recordsRead }),
  );
  await client.api(`STREAM.DELETE.${stream}`, {});
  client.close();
  return table(`Records, beside NATS ${client.info.version} JetStream, file storage, 1 connection`, pairHead, rows);
}

async function besideKafka(site: LogSite, topic: Topic, filled: Topic, scale: PairScale): Promise<string | undefined> {
  const address = peerAddress('Kafka');
  const tools = address === undefined ? undefined : KafkaTools.find(address);
  if (address === undefined || tools === undefined) return undefined;
  const kafkaTopic = `peers-${run}`;
  await tools.createTopic(kafkaTopic, partitions);
  const cpuUs = peerCpu(address);
  // The programs measure themselves, without the start of their JVM; they take a number of records instead of a time.
  const counted = (records: number, measure: () => Promise<number>): Side =>
    side(async () => ({ perSecond: await measure(), requests: records, latencyUs: createHistogram() }), cpuUs);
  const produced = 500_000;
  const rows: string[][] = [];
  for (const keys of [0, keysCount]) {
    const kafka = counted(produced, () => tools.produce(kafkaTopic, produced, recordBytes, keys));
    for (const records of [100, 1000]) {
      const name = `${records.toLocaleString('en')} ${keys > 0 ? 'keyed ' : ''}records a request, 64 in flight`;
      const ours = produce(site, topic, records, keys);
      rows.push(await comparedRow(name, ours, kafka, scale, { ours: records, peer: 1 }));
    }
  }
  const consume = counted(produced, () => tools.consume(kafkaTopic, produced));
  for (const form of ['json', 'batches'] as const) {
    const reading = await fetching(site, filled, form);
    const units = { ours: reading.records, peer: 1 };
    rows.push(await comparedRow(`reading back, ${readNames[form]}`, reading.side, consume, scale, units));
  }
  return table(`Records, beside Kafka ${tools.version}, acks=1, its own load programs`, pairHead, rows);
}

/** @param keys how many different keys the records have; 0: they have none */
function produceRequest({ name }: Topic, records: number, keys = 0): Buffer {
  const record = () => JSON.stringify({ ...(keys > 0 && { key: `key-${randomInt(keys)}` }), value: value.toString() });
  const body = `{"records":[${Array.from({ length: records }, record).join(',')}]}`;
  return requestBytes('POST', `/v1/topics/${name}/records`, body, json);
}

/** Rounds of produce requests, each into an empty topic. */
function produce(site: LogSite, topic: Topic, records: number, keys = 0): Side {
  const requests = Array.from({ length: requestsInTurn }, () => produceRequest(topic, records, keys));
  let turn = 0;
  const measured = side(async (ms) => {
    const load = await HttpLoad.open(site.server.url, inFlight);
    try {
      return await load.run(() => requests[turn++ % requestsInTurn]!, ms);
    } finally {
      load.close();
    }
  }, site.cpuUs);
  return async (ms) => {
    const round = await measured(ms);
    await site.clear(topic);
    return round;
  };
}

async function fill(site: LogSite, topic: Topic): Promise<void> {
  const load = await HttpLoad.open(site.server.url, readers);
  const request = produceRequest(topic, batchRead);
  await load.run(() => request, 60_000, recordsRead / batchRead);
  load.close();
}

/** The forms of a response with records, by their media types. */
const readTypes = { json: 'application/json', batches: 'application/vnd.weir.batches' };
const readNames = { json: 'as JSON', batches: 'as batches' };

/** Fetches of 1 MiB by a few readers, each from the next place. @returns also the records of one response */
async function fetching(
  site: LogSite,
  { name }: Topic,
  form: keyof typeof readTypes = 'json',
): Promise<{ side: Side; records: number }> {
  const headers = { accept: readTypes[form] };
  const path = (offset: number) =>
    `/v1/topics/${name}/partitions/0/records?offset=${offset}&maxBytes=1048576&maxRecords=100000`;
  const response = await fetch(site.server.url + path(0), { headers });
  const first = Buffer.from(await response.arrayBuffer());
  const records = form === 'json' ? JSON.parse(first.toString()).records.length : countOfBatches(first);
  const places = Math.floor(recordsRead / records) - 1;
  const requests = Array.from({ length: places }, (_, place) =>
    requestBytes('GET', path(place * records), '', headers),
  );
  const load = await HttpLoad.open(site.server.url, readers);
  let turn = 0;
  return { side: side((ms) => load.run(() => requests[turn++ % places]!, ms), site.cpuUs), records };
}

/** Reads messages from the beginning of a stream, in pulls of up to 10,000. */
async function consumeNats(client: NatsClient, stream: string, count: number): Promise<Round> {
  const pull = 10_000;
  const created = await client.api(`CONSUMER.CREATE.${stream}`, {
    stream_name: stream,
    config: { deliver_policy: 'all', ack_policy: 'none', mem_storage: true, inactive_threshold: 10_000_000_000 },
  });
  const next = `$JS.API.CONSUMER.MSG.NEXT.${stream}.${created.name as string}`;
  const startedAt = performance.now();
  let [received, asked] = [0, 0];
  await new Promise<void>((resolve) => {
    const inbox = client.subscribe(({ headers }) => {
      // A status, such as the end of a pull, is no message.
      if (/^NATS\/1\.0 \d/.test(headers)) return;
      received += 1;
      if (received === count) resolve();
      else if (asked < count && asked - received < pull / 2) ask();
    });
    const ask = () => {
      const batch = Math.min(pull, count - asked);
      asked += batch;
      client.publish(next, inbox, Buffer.from(JSON.stringify({ batch })));
    };
    ask();
  });
  const seconds = (performance.now() - startedAt) / 1000;
  return { perSecond: 1 / seconds, requests: 1, latencyUs: createHistogram() };
}

// The time from sending a record until a reader has it, at 100 and at 1,000 records a second: here by HTTP or on a socket to the WebSocket
// of a topic tail, there by NATS JetStream to a push consumer. All take turns.
import { setTimeout as sleep } from 'node:timers/promises';
import { HttpLoad, requestBytes } from '../lib/http-load.ts';
import type { LogSite } from '../lib/log-site.ts';
import { percentile, shown, table } from '../lib/measure.ts';
import { NatsClient } from '../lib/nats-client.ts';
import type { RecordScale } from '../lib/pairs.ts';
import { peerAddress } from '../lib/peer-sites.ts';
import { SocketClient } from '../lib/socket-client.ts';
import { openTail } from '../log/tail.ts';

const rates = [100, 1000];
const value = 'x'.repeat(100);
const run = Date.now().toString(36);

/** Times in ms; for each record in the order of sending. */
interface Times {
  toReader: number[];
  toReply: number[];
}

/** One side: sends a record and says when its response came; `onReceived` is called for each that a reader gets, in order. */
interface Line {
  name: string;
  /** The rate up to which it is measured. */
  perSecondMax: number;
  send(): Promise<void>;
  onReceived: () => void;
  close(): void;
}

/** @returns a Markdown table for each rate */
export async function measureLatency(site: LogSite, { rounds, roundMs, sync }: RecordScale): Promise<string[]> {
  await site.sync(sync);
  const lines = [await openHttp(site), await openSocket(site), await openNats()].filter((line) => line !== undefined);
  const tables: string[] = [];
  for (const perSecond of rates) {
    const measured = lines.filter(({ perSecondMax }) => perSecond <= perSecondMax);
    tables.push(await tableOf(measured, perSecond, { rounds, roundMs, sync }));
  }
  for (const line of lines) line.close();
  return tables;
}

async function tableOf(lines: Line[], perSecond: number, { rounds, roundMs, sync }: RecordScale): Promise<string> {
  const count = (roundMs * perSecond) / 1000;
  const all = lines.map((): Times => ({ toReader: [], toReply: [] }));
  for (const line of lines) await measure(line, count, perSecond, { toReader: [], toReply: [] });
  for (let n = 0; n < rounds; n++) {
    for (const [index, line] of lines.entries()) await measure(line, count, perSecond, all[index]!);
  }
  const cells = (times: number[]) => [shown(percentile(times, 0.5)), shown(percentile(times, 0.99))];
  const rows = lines.map(({ name }, index) => [
    name,
    ...cells(all[index]!.toReader),
    ...cells(all[index]!.toReply),
    shown(all[index]!.toReader.length),
  ]);
  const head = ['', 'to the reader, p50 ms', 'p99 ms', 'to the response, p50 ms', 'p99 ms', 'records'];
  return table(
    `Latency of a record at ${perSecond} a second, ${sync === 'always' ? 'synced' : 'not synced'}`,
    head,
    rows,
  );
}

/** Sends records at a rate, without waiting for responses. */
async function measure(line: Line, count: number, perSecond: number, into: Times): Promise<void> {
  const sentAt: number[] = [];
  let received = 0;
  const allReceived = new Promise<void>((resolve, reject) => {
    const late = () => reject(new Error(`${line.name}: ${received} of ${count} records arrived within 30 s`));
    const timer = setTimeout(late, 30_000);
    line.onReceived = () => {
      into.toReader.push(performance.now() - sentAt[received++]!);
      if (received < count) return;
      clearTimeout(timer);
      resolve();
    };
  });
  const replies: Promise<void>[] = [];
  const startedAt = performance.now();
  for (let n = 0; n < count; n++) {
    const waitMs = startedAt + (n * 1000) / perSecond - performance.now();
    if (waitMs > 0) await sleep(waitMs);
    const at = performance.now();
    sentAt.push(at);
    replies.push(line.send().then(() => void into.toReply.push(performance.now() - at)));
  }
  await Promise.all([...replies, allReceived]);
}

async function openHttp(site: LogSite): Promise<Line> {
  const { name } = await site.createTopic(`latency-http-${run}`, 1);
  const load = await HttpLoad.open(site.server.url, 1);
  const body = JSON.stringify({ records: [{ value }] });
  const request = requestBytes('POST', `/v1/topics/${name}/records`, body, { 'content-type': 'application/json' });
  // A connection has one request at a time; several connections would reorder the records, which are recognised by their order.
  let last: Promise<unknown> = Promise.resolve();
  const send = () => {
    const sent = last.then(async () => void (await load.send(request)));
    last = sent;
    return sent;
  };
  const close = () => load.close();
  return withTail(site, name, { name: 'ours: HTTP to WebSocket', perSecondMax: 100, send, close });
}

async function openSocket(site: LogSite): Promise<Line> {
  const { name } = await site.createTopic(`latency-socket-${run}`, 1);
  const client = await SocketClient.open(site.server.url);
  const send = () => client.ask({ op: 'produce', topic: name, records: [{ value }] });
  const close = () => client.close();
  return withTail(site, name, {
    name: 'ours: socket to WebSocket',
    perSecondMax: Number.POSITIVE_INFINITY,
    send,
    close,
  });
}

/** Completes a line with the reader of its topic. */
async function withTail(site: LogSite, topic: string, sender: Omit<Line, 'onReceived'>): Promise<Line> {
  const tail = await openTail(site.server.url, topic);
  const line: Line = {
    ...sender,
    onReceived: () => {},
    close: () => {
      sender.close();
      tail.terminate();
    },
  };
  tail.on('message', (data) => {
    const { records = [] } = JSON.parse(String(data)) as { records?: unknown[] };
    for (const _ of records) line.onReceived();
  });
  return line;
}

async function openNats(): Promise<Line | undefined> {
  const address = peerAddress('NATS');
  if (address === undefined) return undefined;
  const [client, reader] = await Promise.all([NatsClient.open(address), NatsClient.open(address)]);
  const [stream, subject] = [`LATENCY_${run}`, `latency.${run}`];
  await client.api(`STREAM.CREATE.${stream}`, { name: stream, subjects: [subject], storage: 'file' });
  const line: Line = {
    name: `NATS ${client.info.version} JetStream`,
    perSecondMax: Number.POSITIVE_INFINITY,
    send: () => new Promise((resolve) => client.request(subject, Buffer.from(value), () => resolve())),
    onReceived: () => {},
    close: () => {
      client.close();
      reader.close();
    },
  };
  const inbox = reader.subscribe(() => line.onReceived());
  await reader.api(`CONSUMER.CREATE.${stream}`, {
    stream_name: stream,
    config: { deliver_policy: 'new', ack_policy: 'none', deliver_subject: inbox, mem_storage: true },
  });
  return line;
}

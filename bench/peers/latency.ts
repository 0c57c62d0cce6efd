// The time from sending a record until a reader has it, at 100 records a second: here by HTTP to a WebSocket, there by NATS JetStream to
// a push consumer. Both take turns.
import { setTimeout as sleep } from 'node:timers/promises';
import { HttpLoad, requestBytes } from '../lib/http-load.ts';
import type { LogSite } from '../lib/log-site.ts';
import { percentile, shown, table } from '../lib/measure.ts';
import { NatsClient } from '../lib/nats-client.ts';
import type { PairScale } from '../lib/pairs.ts';
import { peerAddress } from '../lib/peer-sites.ts';
import { openTail } from '../log/tail.ts';

const perSecond = 100;
const run = Date.now().toString(36);

/** Times in ms; for each record in the order of sending. */
interface Times {
  toReader: number[];
  toReply: number[];
}

/** One side: sends a record and says when its response came; `received` is called for each that a reader gets, in order. */
interface Line {
  name: string;
  send(): Promise<void>;
  onReceived: () => void;
  close(): void;
}

/** @returns a Markdown table */
export async function measureLatency(site: LogSite, { rounds, roundMs }: PairScale): Promise<string[]> {
  await site.sync('everysec');
  const lines = [await openOwn(site), await openNats()].filter((line) => line !== undefined);
  const all = lines.map((): Times => ({ toReader: [], toReply: [] }));
  for (const [index, line] of lines.entries()) await measure(line, 50, { toReader: [], toReply: [] }, index);
  for (let n = 0; n < rounds; n++) {
    for (const [index, line] of lines.entries()) await measure(line, (roundMs * perSecond) / 1000, all[index]!, index);
  }
  const cells = (times: number[]) => [shown(percentile(times, 0.5)), shown(percentile(times, 0.99))];
  const rows = lines.map(({ name }, index) => [
    name,
    ...cells(all[index]!.toReader),
    ...cells(all[index]!.toReply),
    shown(all[index]!.toReader.length),
  ]);
  for (const line of lines) line.close();
  const head = ['', 'to the reader, p50 ms', 'p99 ms', 'to the response, p50 ms', 'p99 ms', 'records'];
  return [table(`Latency of a record at ${perSecond} a second`, head, rows)];
}

async function measure(line: Line, count: number, into: Times, lineIndex: number): Promise<void> {
  const sentAt: number[] = [];
  let received = 0;
  const allReceived = new Promise<void>((resolve, reject) => {
    const late = () => reject(new Error(`Line ${lineIndex}: ${received} of ${count} records arrived within 30 s`));
    const timer = setTimeout(late, 30_000);
    line.onReceived = () => {
      into.toReader.push(performance.now() - sentAt[received++]!);
      if (received < count) return;
      clearTimeout(timer);
      resolve();
    };
  });
  const startedAt = performance.now();
  for (let n = 0; n < count; n++) {
    await sleep(Math.max(0, startedAt + (n * 1000) / perSecond - performance.now()));
    sentAt.push(performance.now());
    await line.send();
    into.toReply.push(performance.now() - sentAt[n]!);
  }
  await allReceived;
}

async function openOwn(site: LogSite): Promise<Line> {
  const { name } = await site.createTopic(`latency-${run}`, 1);
  const load = await HttpLoad.open(site.server.url, 1);
  const tail = await openTail(site.server.url, name);
  const body = JSON.stringify({ records: [{ value: 'x'.repeat(100) }] });
  const request = requestBytes('POST', `/v1/topics/${name}/records`, body, { 'content-type': 'application/json' });
  const line: Line = {
    name: 'ours: HTTP, WebSocket',
    send: async () => {
      await load.send(request);
    },
    onReceived: () => {},
    close: () => {
      load.close();
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
    send: () => new Promise((resolve) => client.request(subject, Buffer.alloc(100, 'x'), () => resolve())),
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

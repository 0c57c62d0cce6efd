// Readers of a topic on WebSockets that always reconnect: after the end of a connection they resume through any broker at the
// position of the last message. They take a few records at a time.
import { setTimeout as pause } from 'node:timers/promises';
import WebSocket from 'ws';
import type { Random } from '../helpers/random.ts';
import type { LogRecord } from './repeating-producers.ts';
import { unavailableCodes } from './torture-client.ts';

const handshakeMs = 2000;

export class SocketReader {
  /** All records that it received, in order. */
  readonly received: LogRecord[] = [];
  readonly problems: string[] = [];
  /** How often it has connected. */
  connections = 0;
  readonly #topic: string;
  readonly #urls: readonly string[];
  readonly #random: Random;
  #position: string | undefined;
  #ws: WebSocket | undefined;
  #stopped = false;

  constructor(topic: string, urls: readonly string[], random: Random) {
    this.#topic = topic;
    this.#urls = urls;
    this.#random = random;
  }

  async run(): Promise<void> {
    while (!this.#stopped) {
      await this.#connect(this.#random.pick(this.#urls));
      await pause(this.#random.between(0, 200));
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#ws?.terminate();
  }

  /** Settles when the connection has ended. */
  #connect(url: string): Promise<void> {
    return new Promise((resolve) => {
      const from = encodeURIComponent(this.#position ?? 'earliest');
      const target = `${url.replace(/^http/, 'ws')}/v1/topics/${this.#topic}/stream?offset=${from}`;
      const ws = new WebSocket(target, { handshakeTimeout: handshakeMs });
      this.#ws = ws;
      const credit = 1 + this.#random.below(50);
      let left = credit;
      // The reader's own side breaks, too; data that was not read yet is lost then.
      const breaks = setTimeout(() => ws.terminate(), this.#random.between(500, 8000));
      ws.on('open', () => {
        this.connections += 1;
        ws.send(JSON.stringify({ type: 'credit', records: credit }));
      });
      ws.on('message', (data: Buffer) => {
        if (ws.readyState !== WebSocket.OPEN) return;
        const frame = JSON.parse(data.toString());
        if (frame.type === 'error' && !unavailableCodes.includes(frame.code)) this.problems.push(JSON.stringify(frame));
        if (frame.position !== undefined) this.#position = frame.position;
        if (frame.type !== 'records') return;
        left -= frame.records.length;
        if (left < 0) this.problems.push(`sent ${-left} records more than there was credit for`);
        for (const record of frame.records) this.received.push({ ...record, partition: frame.partition });
        if (left > 0) return;
        left = credit;
        ws.send(JSON.stringify({ type: 'credit', records: credit }));
      });
      ws.on('error', () => ws.terminate());
      ws.on('close', () => {
        clearTimeout(breaks);
        resolve();
      });
    });
  }
}

/** The faults in the records that a reader received of a topic: it must get each partition completely, in order, and once. */
export function readerProblems({ received, problems }: SocketReader, log: readonly LogRecord[]): string[] {
  const found = [...problems];
  const valueAt = new Map(log.map(({ partition, offset, value }) => [`${partition}/${offset}`, value]));
  const next = new Map<number, number>();
  for (const { partition, offset, value } of received) {
    const due = next.get(partition) ?? 0;
    if (offset !== due) found.push(`received ${partition}/${offset} where ${due} is due`);
    next.set(partition, offset + 1);
    const there = valueAt.get(`${partition}/${offset}`);
    if (JSON.stringify(there) !== JSON.stringify(value)) {
      found.push(`received ${JSON.stringify(value)} at ${partition}/${offset}, where ${JSON.stringify(there)} is`);
    }
  }
  if (received.length !== log.length) found.push(`received ${received.length} of ${log.length} records`);
  return found;
}

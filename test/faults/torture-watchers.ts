// Watchers that always reconnect: after the end of a connection they resume through any broker from the last zxid that they
// have seen. They record every message.
import { type ClientRequest, get } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import WebSocket from 'ws';
import type { Random } from '../helpers/random.ts';
import type { Message, Watched } from './expected-events.ts';
import { unavailableCodes } from './torture-client.ts';

const handshakeMs = 2000;

/** One watch and its messages over all of its connections. */
export class WatchRecord {
  readonly watched: Watched;
  /** The zxid of its first `watching`. */
  from: number | undefined;
  /** The last zxid that it has seen, in any frame. */
  last: number | undefined;
  readonly received: Message[] = [];
  readonly problems: string[] = [];
  readonly #onMessage: (message: Message) => void;

  constructor(watched: Watched, onMessage: (message: Message) => void) {
    this.watched = watched;
    this.#onMessage = onMessage;
  }

  /** @param asked the zxid that it resumed after */
  watching(zxid: number, asked: number | undefined): void {
    if (asked !== undefined && zxid !== asked) this.#problem(`asked to resume after ${asked}, watching from ${zxid}`);
    this.from ??= zxid;
    this.last ??= zxid;
  }

  events(message: Message): void {
    if (this.from === undefined) this.#problem(`received ${message.zxid} before watching`);
    if (message.zxid <= (this.last ?? 0)) this.#problem(`received ${message.zxid} after ${this.last}`);
    this.last = message.zxid;
    this.received.push(message);
    this.#onMessage(message);
  }

  bookmark(zxid: number): void {
    if (this.last === undefined) return;
    this.last = Math.max(this.last, zxid);
  }

  failed(problem: any): void {
    if (!unavailableCodes.includes(problem.code)) this.#problem(`failed: ${JSON.stringify(problem)}`);
  }

  #problem(text: string): void {
    this.problems.push(`${this.watched.mode} ${this.watched.path}: ${text}`);
  }
}

export interface Watcher {
  records: WatchRecord[];
  /** How often it has connected. */
  connections: number;
  /** Breaks its connection. */
  cut(): void;
  stop(): void;
}

abstract class Reconnecting implements Watcher {
  readonly records: WatchRecord[];
  connections = 0;
  readonly #urls: string[];
  readonly #random: Random;
  #stopped = false;

  constructor(records: WatchRecord[], urls: string[], random: Random) {
    this.records = records;
    this.#urls = urls;
    this.#random = random;
  }

  async run(): Promise<void> {
    while (!this.#stopped) {
      await this.connect(this.#random.pick(this.#urls));
      await pause(this.#random.between(0, 200));
    }
  }

  stop(): void {
    this.#stopped = true;
    this.cut();
  }

  abstract cut(): void;
  /** Connects, and settles when that connection is over. */
  protected abstract connect(url: string): Promise<void>;
}

/** Several watches on one WebSocket. */
export class SocketWatcher extends Reconnecting {
  #ws: WebSocket | undefined;

  cut(): void {
    const ws = this.#ws;
    // Data that was not read when a connection breaks is lost.
    this.#ws = undefined;
    ws?.terminate();
  }

  protected connect(url: string): Promise<void> {
    return new Promise((resolve) => {
      const ws = new WebSocket(`${url.replace(/^http/, 'ws')}/v1/watch`, { handshakeTimeout: handshakeMs });
      this.#ws = ws;
      const asked = this.records.map(({ last }) => last);
      const begun = new Set<number>();
      ws.on('open', () => {
        this.connections += 1;
        for (const [n, { watched, last }] of this.records.entries()) {
          ws.send(JSON.stringify({ type: 'watch', id: String(n), ...watched, since: last }));
        }
      });
      ws.on('message', (data: Buffer) => {
        if (this.#ws !== ws) return;
        const frame = JSON.parse(data.toString());
        if (frame.type === 'bookmark') {
          for (const n of begun) this.records[n]!.bookmark(frame.zxid);
          return;
        }
        // A broker that is starting or stopping refuses the socket as a whole.
        if (frame.id === undefined) {
          for (const each of this.records) each.failed(frame);
          ws.terminate();
          return;
        }
        const n = Number(frame.id);
        const record = this.records[n]!;
        if (frame.type === 'watching') {
          begun.add(n);
          record.watching(frame.zxid, asked[n]);
        } else if (frame.type === 'events') {
          record.events({ zxid: frame.zxid, events: frame.events });
        } else {
          record.failed(frame);
          ws.terminate();
        }
      });
      ws.on('error', () => ws.terminate());
      ws.on('close', () => resolve());
    });
  }
}

/** One watch as server-sent events, resumed like an EventSource. */
export class StreamWatcher extends Reconnecting {
  #request: ClientRequest | undefined;

  cut(): void {
    const request = this.#request;
    this.#request = undefined;
    request?.destroy();
  }

  protected connect(url: string): Promise<void> {
    const record = this.records[0]!;
    const { path, mode, data } = record.watched;
    const asked = record.last;
    return new Promise((resolve) => {
      const headers = asked === undefined ? {} : { 'last-event-id': String(asked) };
      const request = get(`${url}/v1/watch${path}?mode=${mode}&data=${data}`, { headers, agent: false });
      this.#request = request;
      const timer = setTimeout(() => request.destroy(), handshakeMs);
      request.on('error', () => undefined);
      request.on('close', () => {
        clearTimeout(timer);
        resolve();
      });
      request.on('response', (response) => {
        clearTimeout(timer);
        response.setEncoding('utf8');
        let rest = '';
        if (response.statusCode === 200) this.connections += 1;
        response.on('error', () => undefined);
        response.on('data', (chunk: string) => {
          if (this.#request !== request) return;
          rest += chunk;
          if (response.statusCode !== 200) return;
          const blocks = rest.split('\n\n');
          rest = blocks.pop()!;
          for (const block of blocks) this.#take(record, block, asked);
        });
        response.on('end', () => {
          if (response.statusCode !== 200) record.failed(JSON.parse(rest));
        });
      });
    });
  }

  #take(record: WatchRecord, block: string, asked: number | undefined): void {
    const fields = new Map(block.split('\n').map((line) => line.split(/: (.*)/s).slice(0, 2) as [string, string]));
    const frame = JSON.parse(fields.get('data')!);
    if (frame.type !== 'error' && fields.get('id') !== String(frame.zxid)) {
      record.problems.push(`A ${frame.type} of ${frame.zxid} has the id ${fields.get('id')}`);
    }
    if (frame.type === 'watching') record.watching(frame.zxid, asked);
    else if (frame.type === 'events') record.events({ zxid: frame.zxid, events: frame.events });
    else if (frame.type === 'bookmark') record.bookmark(frame.zxid);
    else record.failed(frame);
  }
}

// Sockets that record when something happens in a cluster: a watch of its nodes, and a member of a group that reconnects to
// another broker when its broker is gone.
import { WebSocket } from 'ws';

const options = { perMessageDeflate: false, skipUTF8Validation: true };

export interface SeenEvent {
  type: string;
  path: string;
  data?: string;
  /** As performance.now(). */
  at: number;
}

export class TreeWatch {
  readonly #ws: WebSocket;
  readonly #listeners = new Set<(event: SeenEvent) => void>();

  /** Watches all nodes below some paths, with their data, through one broker. */
  static async open(url: string, paths: string[]): Promise<TreeWatch> {
    const ws = new WebSocket(`${url.replace('http', 'ws')}/v1/watch`, options);
    await new Promise((resolve, reject) => ws.once('open', resolve).once('error', reject));
    const watch = new TreeWatch(ws);
    let left = paths.length;
    await new Promise<void>((resolve) => {
      ws.on('message', (message: Buffer) => {
        const frame = JSON.parse(message.toString());
        if (frame.type === 'error') throw new Error(`The watch of the bench was refused: ${message}`);
        if (frame.type === 'watching' && --left === 0) resolve();
        if (frame.type === 'events') watch.#tell(frame.events);
      });
      for (const path of paths)
        ws.send(JSON.stringify({ type: 'watch', id: path, path, mode: 'recursive', data: true }));
    });
    return watch;
  }

  private constructor(ws: WebSocket) {
    this.#ws = ws;
  }

  /** Waits for an event. Must be called before the event is caused. @returns when it arrived */
  seen(isIt: (event: SeenEvent) => boolean): Promise<number> {
    return new Promise((resolve) => {
      const listener = (event: SeenEvent) => {
        if (!isIt(event)) return;
        this.#listeners.delete(listener);
        resolve(event.at);
      };
      this.#listeners.add(listener);
    });
  }

  close(): void {
    this.#ws.terminate();
  }

  #tell(events: Omit<SeenEvent, 'at'>[]): void {
    const at = performance.now();
    for (const event of events) for (const listener of this.#listeners) listener({ ...event, at });
  }
}

/** The only member of a group, on a socket. */
export class RoamingMember {
  readonly #path: string;
  readonly #urls: string[];
  #at = 0;
  #ws: WebSocket | undefined;
  #closed = false;
  #onRecords: (from: string) => void = () => {};

  /** @param urls of the brokers, in the order in which the member tries them */
  constructor(urls: string[], group: string, topic: string) {
    this.#urls = urls;
    this.#path = `/v1/groups/${group}/stream?topics=${topic}&reset=latest&memberId=only`;
    this.#open();
  }

  /** Waits for records through one of the brokers. @returns when they arrived, as performance.now() */
  records(isIt: (url: string) => boolean): Promise<number> {
    return new Promise((resolve) => {
      this.#onRecords = (url) => {
        if (isIt(url)) resolve(performance.now());
      };
    });
  }

  close(): void {
    this.#closed = true;
    this.#ws?.close();
  }

  #open(): void {
    const url = this.#urls[this.#at % this.#urls.length]!;
    const ws = new WebSocket(url.replace('http', 'ws') + this.#path, options);
    this.#ws = ws;
    const send = (frame: unknown) => ws.send(JSON.stringify(frame));
    ws.on('message', (message: Buffer) => {
      const frame = JSON.parse(message.toString());
      if (frame.type === 'joined') send({ type: 'credit', records: 1000 });
      if (frame.type === 'revoking') send({ type: 'released', memberEpoch: frame.memberEpoch });
      if (frame.type !== 'records') return;
      send({ type: 'credit', records: frame.records.length });
      this.#onRecords(url);
    });
    // An error is ignored: a close follows, and its handler reconnects.
    ws.on('error', () => {});
    ws.once('close', () => {
      if (this.#closed) return;
      this.#at += 1;
      setTimeout(() => this.#open(), 20);
    });
  }
}

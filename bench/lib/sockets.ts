// Many WebSocket clients of one address. Records when a message reached the first and the last of them.
import { WebSocket } from 'ws';

const openAtOnce = 200;
const waitMsMax = 30_000;

export interface Arrival {
  /** As performance.now(). */
  firstAt: number;
  lastAt: number;
}

export class SocketFleet {
  readonly #sockets: WebSocket[] = [];
  readonly #url: string;
  /** Whether a message counts. Others, such as bookmarks, may arrive at any time. */
  readonly #counts: (message: Buffer) => boolean;
  #arrived = 0;
  #firstAt = 0;
  #expected = Number.POSITIVE_INFINITY;
  #allArrived: (arrival: Arrival) => void = () => {};

  constructor(url: string, counts: (message: Buffer) => boolean) {
    this.#url = url.replace('http', 'ws');
    this.#counts = counts;
  }

  /** Opens sockets until there are `count`. Each sends the frames, if there are any, and is ready after their replies. */
  async grow(count: number, frames: string[] = []): Promise<void> {
    while (this.#sockets.length < count) {
      const batch = Math.min(openAtOnce, count - this.#sockets.length);
      await Promise.all(Array.from({ length: batch }, () => this.#open(frames)));
    }
  }

  /** Sends frames on the first `count` sockets, `openAtOnce` sockets at a time, and waits for the replies. */
  async send(frames: string[], count = this.#sockets.length): Promise<void> {
    for (let i = 0; i < count; i += openAtOnce) {
      const some = this.#sockets.slice(i, Math.min(i + openAtOnce, count));
      await Promise.all(some.map((socket) => exchange(socket, frames)));
    }
  }

  /** Waits for one message on every socket. Must be called before the message is caused. */
  arrival(): Promise<Arrival> {
    this.#arrived = 0;
    this.#expected = this.#sockets.length;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error(`Only ${this.#arrived} of ${this.#expected} sockets got it within ${waitMsMax} ms`));
      }, waitMsMax);
      this.#allArrived = (arrival) => {
        clearTimeout(timer);
        resolve(arrival);
      };
    });
  }

  async close(): Promise<void> {
    const closed = this.#sockets.map((socket) => new Promise((resolve) => socket.once('close', resolve)));
    for (const socket of this.#sockets) socket.terminate();
    await Promise.all(closed);
    this.#sockets.length = 0;
  }

  async #open(frames: string[]): Promise<void> {
    const socket = new WebSocket(this.#url, { perMessageDeflate: false, skipUTF8Validation: true });
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
    socket.on('error', (error) => {
      throw error;
    });
    await exchange(socket, frames);
    socket.on('message', this.#take);
    this.#sockets.push(socket);
  }

  readonly #take = (message: Buffer): void => {
    if (!this.#counts(message)) return;
    const now = performance.now();
    if (this.#arrived === 0) this.#firstAt = now;
    this.#arrived += 1;
    if (this.#arrived === this.#expected) this.#allArrived({ firstAt: this.#firstAt, lastAt: now });
  };
}

/** Sends frames and waits for a `watching` frame for each. */
function exchange(socket: WebSocket, frames: string[]): Promise<void> {
  if (frames.length === 0) return Promise.resolve();
  return new Promise((resolve, reject) => {
    let left = frames.length;
    const hear = (message: Buffer) => {
      const { type } = JSON.parse(message.toString()) as { type: string };
      if (type === 'error') reject(new Error(`A socket received an error: ${message}`));
      if (type === 'watching') left -= 1;
      if (left > 0) return;
      socket.off('message', hear);
      resolve();
    };
    socket.on('message', hear);
    for (const frame of frames) socket.send(frame);
  });
}

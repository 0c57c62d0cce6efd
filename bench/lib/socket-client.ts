// A client of /v1/socket for load: requests of one turn of the event loop share a frame, and responses are matched by their ids.
import { WebSocket } from 'ws';

type Done = (error?: Error) => void;

interface Response {
  id: number;
  ok?: unknown;
  error?: { code: string; detail?: string };
}

export class SocketClient {
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, Done>();
  #id = 0;
  /** The number of the session's last write. */
  #seq = 0;
  #unsent: string[] = [];

  /** @returns a client with a session of its own, so that its writes can be pipelined */
  static async open(url: string): Promise<SocketClient> {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/socket`, 'weir.v1', { perMessageDeflate: false });
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
    const client = new SocketClient(socket);
    await client.ask({ op: 'session', ttl: '30s' });
    return client;
  }

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on('message', (data) => this.#receive(String(data)));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', (code, reason) => this.#fail(new Error(`The socket was closed with ${code}: ${reason}`)));
  }

  /** Sends a request. @param isWrite whether it takes the next number of the session's writes */
  send(request: Record<string, unknown>, isWrite: boolean, done: Done): void {
    this.#id += 1;
    this.#waiting.set(this.#id, done);
    if (this.#unsent.length === 0) queueMicrotask(() => this.#flush());
    if (isWrite) this.#seq += 1;
    this.#unsent.push(JSON.stringify({ id: this.#id, ...request, ...(isWrite && { seq: this.#seq }) }));
  }

  /** Sends a request that is no write of a node, and waits for its response. @throws Error if it is refused */
  ask(request: Record<string, unknown>): Promise<void> {
    return new Promise((resolve, reject) => {
      this.send(request, false, (error) => (error ? reject(error) : resolve()));
    });
  }

  close(): void {
    this.#socket.removeAllListeners('close');
    this.#socket.terminate();
  }

  #flush(): void {
    const unsent = this.#unsent;
    this.#unsent = [];
    this.#socket.send(unsent.length === 1 ? unsent[0]! : `[${unsent.join(',')}]`);
  }

  #receive(frame: string): void {
    const responses = JSON.parse(frame) as Response | Response[];
    for (const { id, error } of Array.isArray(responses) ? responses : [responses]) {
      const done = this.#waiting.get(id);
      this.#waiting.delete(id);
      done?.(error && new Error(`${error.code}: ${error.detail}`));
    }
  }

  #fail(error: Error): void {
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const done of waiting) done(error);
  }
}

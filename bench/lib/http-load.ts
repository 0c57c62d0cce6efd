// A load generator for HTTP/1.1 on one address: keep-alive connections, each with one request in flight (closed loop). They send
// prepared bytes and parse only status and length of a response, as the generator must cost less than what it measures.
import { createConnection, type Socket } from 'node:net';
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';

/** The result of one round of load. */
export interface Round {
  perSecond: number;
  requests: number;
  /** Latencies of single requests, µs; undefined if only batches were timed. */
  latencyUs: RecordableHistogram;
}

/** The bytes of a request. Its content type is application/octet-stream, unless `headers` has another. */
export function requestBytes(method: string, path: string, body = '', headers: Record<string, string> = {}): Buffer {
  const all: Record<string, string> = { host: 'localhost', ...headers };
  if (body !== '') {
    all['content-type'] ??= 'application/octet-stream';
    all['content-length'] = String(Buffer.byteLength(body));
  }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`);
}

export class HttpLoad {
  readonly #connections: Connection[];

  private constructor(connections: Connection[]) {
    this.#connections = connections;
  }

  static async open(url: string, connections: number): Promise<HttpLoad> {
    const { hostname, port } = new URL(url);
    const opening = Array.from({ length: connections }, () => Connection.open(hostname, Number(port)));
    return new HttpLoad(await Promise.all(opening));
  }

  close(): void {
    for (const connection of this.#connections) connection.close();
  }

  /** Sends one request on the first connection. @returns when its response was complete, as performance.now() */
  send(request: Buffer): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#connections[0]!.send(request, () => resolve(performance.now()), reject);
    });
  }

  /** Keeps every connection busy for `ms`, or until `requestsMax` were sent. @param next returns the bytes of each request */
  run(next: () => Buffer, ms: number, requestsMax = Number.POSITIVE_INFINITY): Promise<Round> {
    return new Promise((resolve, reject) => {
      const latencyUs = createHistogram();
      const startedAt = performance.now();
      const until = startedAt + ms;
      let sent = 0;
      let requests = 0;
      let busy = 0;
      const start = (connection: Connection) => {
        const sentAt = performance.now();
        if (sentAt >= until || sent >= requestsMax) return;
        sent += 1;
        busy += 1;
        const responded = () => {
          busy -= 1;
          requests += 1;
          latencyUs.record(Math.max(1, Math.round((performance.now() - sentAt) * 1000)));
          start(connection);
          if (busy > 0) return;
          resolve({ perSecond: (requests * 1000) / (performance.now() - startedAt), requests, latencyUs });
        };
        connection.send(next(), responded, reject);
      };
      for (const connection of this.#connections) start(connection);
    });
  }
}

/** One keep-alive connection. It always reads into the same buffer, so that reading allocates nothing. */
class Connection {
  readonly #socket: Socket;
  #responded: () => void = () => {};
  #failed: (error: Error) => void = () => {};
  /** The beginning of a response whose head is not complete yet. */
  #headPart: Buffer | undefined;
  #bodyBytesLeft = 0;
  /** The last bytes of a chunked response, which has no length; undefined while there is none. */
  #chunksEnd: string | undefined;

  static open(host: string, port: number): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const connection: Connection = new Connection(host, port, () => resolve(connection));
      connection.#failed = reject;
    });
  }

  private constructor(host: string, port: number, connected: () => void) {
    const onread = {
      buffer: Buffer.allocUnsafe(64 * 1024),
      callback: (bytes: number, buffer: Uint8Array) => {
        this.#receive((buffer as Buffer).subarray(0, bytes));
        return true;
      },
    };
    this.#socket = createConnection({ host, port, noDelay: true, onread }, connected);
    this.#socket.on('error', (error) => this.#failed(error));
    this.#socket.on('close', () => this.#failed(new Error('The server closed a connection under load')));
  }

  close(): void {
    this.#failed = () => {};
    this.#socket.destroy();
  }

  send(request: Buffer, responded: () => void, failed: (error: Error) => void): void {
    this.#responded = responded;
    this.#failed = failed;
    this.#socket.write(request);
  }

  #receive(chunk: Buffer): void {
    if (this.#chunksEnd !== undefined) {
      this.#receiveChunks(chunk);
      return;
    }
    if (this.#bodyBytesLeft > 0) {
      this.#bodyBytesLeft -= chunk.length;
      if (this.#bodyBytesLeft <= 0) this.#finish();
      return;
    }
    const bytes = this.#headPart ? Buffer.concat([this.#headPart, chunk]) : chunk;
    const headEnd = bytes.indexOf('\r\n\r\n');
    if (headEnd < 0) {
      this.#headPart = Buffer.from(bytes);
      return;
    }
    this.#headPart = undefined;
    const head = bytes.toString('latin1', 0, headEnd);
    if (head[9] !== '2') {
      this.#failed(new Error(`Not a success: ${bytes.toString()}`));
      return;
    }
    if (head.includes('\r\nTransfer-Encoding: chunked')) {
      this.#chunksEnd = '';
      this.#receiveChunks(bytes.subarray(headEnd + 4));
      return;
    }
    this.#bodyBytesLeft = headEnd + 4 + contentLength(head) - bytes.length;
    if (this.#bodyBytesLeft <= 0) this.#finish();
  }

  /** Responses to NDJSON are lines of JSON, which cannot contain the mark of the last chunk. */
  #receiveChunks(chunk: Buffer): void {
    const end = this.#chunksEnd + chunk.toString('latin1', Math.max(0, chunk.length - lastChunk.length));
    this.#chunksEnd = end.slice(-lastChunk.length);
    if (this.#chunksEnd !== lastChunk) return;
    this.#chunksEnd = undefined;
    this.#finish();
  }

  #finish(): void {
    const tooMany = -this.#bodyBytesLeft;
    this.#bodyBytesLeft = 0;
    if (tooMany > 0) this.#failed(new Error(`A response has ${tooMany} bytes more than its head says`));
    else this.#responded();
  }
}

const lastChunk = '\r\n0\r\n\r\n';

/** The body length of a response with this head. @throws Error if the head has none */
function contentLength(head: string): number {
  const at = head.indexOf('\r\ncontent-length: ');
  if (at >= 0) return Number.parseInt(head.slice(at + 18, at + 30), 10);
  if (head.startsWith('HTTP/1.1 204')) return 0;
  throw new Error(`The response has no Content-Length: ${head}`);
}

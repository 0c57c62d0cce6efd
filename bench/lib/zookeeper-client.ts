// A client of ZooKeeper's own protocol for load: one connection, pipelined, with as much of it as a benchmark needs. Lengths and
// integers are big-endian; a string or buffer has its length before it. Responses come in the order of the requests.
import { createConnection, type Socket } from 'node:net';

const opcodes = { create: 1, getData: 4, setData: 5, ping: 11 } as const;
/** The xid of responses to pings. */
const pingXid = -2;
const nodeExists = -110;
const sessionTimeoutMs = 30_000;
/** READ, WRITE, CREATE, DELETE and ADMIN for everyone. */
const openAcl = Buffer.concat([int(1), int(31), text('world'), text('anyone')]);

type Done = (error?: Error) => void;

export class ZooKeeperClient {
  readonly #socket: Socket;
  readonly #waiting: Done[] = [];
  #xid = 0;
  #received: Buffer = Buffer.alloc(0);
  #unsent: Buffer[] = [];
  #connected: Done | undefined;
  #ping: NodeJS.Timeout | undefined;

  /** @param address such as `127.0.0.1:2181` */
  static async open(address: string): Promise<ZooKeeperClient> {
    const client = new ZooKeeperClient(address);
    await new Promise<void>((resolve, reject) => {
      client.#connected = (error) => (error ? reject(error) : resolve());
    });
    return client;
  }

  private constructor(address: string) {
    const [host, port] = address.split(':');
    this.#socket = createConnection({ host: host!, port: Number(port), noDelay: true });
    // Protocol version 0, last zxid 0, timeout, session id 0 and an empty password of 16 bytes; not read-only.
    const login = [int(0), long(0), int(sessionTimeoutMs), long(0), int(16), Buffer.alloc(16), Buffer.from([0])];
    this.#socket.write(framed(login));
    this.#socket.on('data', (chunk) => this.#receive(chunk));
    this.#socket.on('error', (error) => this.#fail(error));
    this.#socket.on('close', () => this.#fail(new Error('ZooKeeper closed the connection')));
    this.#ping = setInterval(() => this.#socket.write(framed([int(pingXid), int(opcodes.ping)])), sessionTimeoutMs / 3);
    this.#ping.unref();
  }

  /** Creates a persistent node. */
  create(path: string, data: Buffer, done: Done): void {
    this.#send([int(opcodes.create), text(path), int(data.length), data, openAcl, int(0)], done);
  }

  /** Sets the data of a node, whatever its version. */
  set(path: string, data: Buffer, done: Done): void {
    this.#send([int(opcodes.setData), text(path), int(data.length), data, int(-1)], done);
  }

  get(path: string, done: Done): void {
    this.#send([int(opcodes.getData), text(path), Buffer.from([0])], done);
  }

  /** Creates a node that may exist already. */
  ensure(path: string, data: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      this.create(path, data, (error) => {
        if (error && !(error instanceof ZooKeeperError && error.code === nodeExists)) reject(error);
        else resolve();
      });
    });
  }

  close(): void {
    clearInterval(this.#ping);
    this.#socket.removeAllListeners('close');
    this.#socket.destroy();
  }

  #send(parts: Buffer[], done: Done): void {
    this.#xid += 1;
    this.#waiting.push(done);
    // The requests of one turn of the event loop are written together.
    if (this.#unsent.length === 0) queueMicrotask(() => this.#flush());
    this.#unsent.push(framed([int(this.#xid), ...parts]));
  }

  #flush(): void {
    const unsent = this.#unsent;
    this.#unsent = [];
    this.#socket.write(unsent.length === 1 ? unsent[0]! : Buffer.concat(unsent));
  }

  #receive(chunk: Buffer): void {
    const bytes = this.#received.length > 0 ? Buffer.concat([this.#received, chunk]) : chunk;
    let at = 0;
    while (bytes.length - at >= 4) {
      const end = at + 4 + bytes.readInt32BE(at);
      if (bytes.length < end) break;
      this.#take(bytes.subarray(at + 4, end));
      at = end;
    }
    this.#received = bytes.subarray(at);
  }

  #take(reply: Buffer): void {
    if (this.#connected) {
      const connected = this.#connected;
      this.#connected = undefined;
      connected();
      return;
    }
    if (reply.readInt32BE(0) === pingXid) return;
    const done = this.#waiting.shift()!;
    const code = reply.readInt32BE(12);
    done(code === 0 ? undefined : new ZooKeeperError(code));
  }

  #fail(error: Error): void {
    this.#connected?.(error);
    for (const done of this.#waiting.splice(0)) done(error);
  }
}

class ZooKeeperError extends Error {
  readonly code: number;

  constructor(code: number) {
    super(`ZooKeeper replied with the error ${code}`);
    this.code = code;
  }
}

function framed(parts: Buffer[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([int(length), ...parts], length + 4);
}

function int(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeInt32BE(value);
  return bytes;
}

function long(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigInt64BE(BigInt(value));
  return bytes;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([int(bytes.length), bytes]);
}

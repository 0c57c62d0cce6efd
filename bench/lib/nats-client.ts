// A client of NATS' own protocol for load: one connection, pipelined. Each request has a reply subject of its own below one inbox.
import { randomUUID } from 'node:crypto';
import { createConnection, type Socket } from 'node:net';

export interface NatsMessage {
  /** The status line and headers of the message; empty if it has none. */
  headers: string;
  data: Buffer;
}

type Take = (message: NatsMessage) => void;

const lineEnd = Buffer.from('\r\n');

export class NatsClient {
  /** What the server says about itself. */
  info: { version: string } = { version: '' };
  readonly #socket: Socket;
  readonly #inbox = `_INBOX.${randomUUID()}`;
  readonly #requests = new Map<string, Take>();
  readonly #subscriptions = new Map<string, Take>();
  /** Of replies and subscriptions; 1 is the subscription of the inbox. */
  #next = 2;
  #received: Buffer = Buffer.alloc(0);
  #unsent: Buffer[] = [];
  #ready: (error?: Error) => void = () => {};
  #isClosed = false;

  /** @param address such as `127.0.0.1:4222` */
  static async open(address: string): Promise<NatsClient> {
    const client = new NatsClient(address);
    await new Promise<void>((resolve, reject) => {
      client.#ready = (error) => (error ? reject(error) : resolve());
    });
    return client;
  }

  private constructor(address: string) {
    const [host, port] = address.split(':');
    this.#socket = createConnection({ host: host!, port: Number(port), noDelay: true });
    this.#socket.on('data', (chunk) => this.#receive(chunk));
    this.#socket.on('error', (error) => this.#ready(error));
    this.#socket.on('close', () => {
      if (!this.#isClosed) throw new Error('NATS closed the connection under load');
    });
    const options = {
      verbose: false,
      pedantic: false,
      headers: true,
      no_responders: true,
      lang: 'bench',
      version: '1',
    };
    this.#write(`CONNECT ${JSON.stringify(options)}\r\nSUB ${this.#inbox}.* 1\r\nPING\r\n`);
  }

  /** Publishes a message that is replied to. @param headers such as `Name: value\r\n`; empty = none */
  request(subject: string, data: Buffer, done: Take, headers = ''): void {
    const reply = String(this.#next++);
    this.#requests.set(reply, done);
    this.#publish(subject, `${this.#inbox}.${reply}`, data, headers);
  }

  /** A call of the JetStream API. @returns its response @throws Error if that is an error */
  async api(subject: string, body: unknown): Promise<Record<string, unknown>> {
    const { data } = await new Promise<NatsMessage>((resolve) => {
      this.request(`$JS.API.${subject}`, Buffer.from(JSON.stringify(body)), resolve);
    });
    const result = JSON.parse(data.toString()) as Record<string, unknown>;
    if (result.error) throw new Error(`JetStream refused ${subject}: ${JSON.stringify(result.error)}`);
    return result;
  }

  /** Receives all messages of a subject. @returns the subject with which a request names this subscription */
  subscribe(take: Take): string {
    const [id, subject] = [String(this.#next++), `_INBOX.${randomUUID()}`];
    this.#subscriptions.set(id, take);
    this.#write(`SUB ${subject} ${id}\r\n`);
    return subject;
  }

  /** Publishes with a reply subject of a subscription. */
  publish(subject: string, reply: string, data: Buffer): void {
    this.#publish(subject, reply, data, '');
  }

  close(): void {
    this.#isClosed = true;
    this.#socket.destroy();
  }

  #publish(subject: string, reply: string, data: Buffer, headers: string): void {
    if (headers === '') this.#write(`PUB ${subject} ${reply} ${data.length}\r\n`);
    else {
      const head = `NATS/1.0\r\n${headers}\r\n`;
      this.#write(`HPUB ${subject} ${reply} ${head.length} ${head.length + data.length}\r\n${head}`);
    }
    this.#unsent.push(data, lineEnd);
  }

  /** The messages of one turn of the event loop are written together. */
  #write(text: string): void {
    if (this.#unsent.length === 0) {
      queueMicrotask(() => {
        const unsent = this.#unsent;
        this.#unsent = [];
        this.#socket.write(Buffer.concat(unsent));
      });
    }
    this.#unsent.push(Buffer.from(text));
  }

  #receive(chunk: Buffer): void {
    const bytes = this.#received.length > 0 ? Buffer.concat([this.#received, chunk]) : chunk;
    let at = 0;
    for (;;) {
      const end = bytes.indexOf(lineEnd, at);
      if (end < 0) break;
      const line = bytes.toString('latin1', at, end);
      if (line.startsWith('MSG') || line.startsWith('HMSG')) {
        const words = line.split(' ');
        const length = Number(words.at(-1));
        const dataAt = end + 2;
        if (bytes.length < dataAt + length + 2) break;
        const headLength = words[0] === 'HMSG' ? Number(words.at(-2)) : 0;
        this.#deliver(words, {
          headers: bytes.toString('latin1', dataAt, dataAt + headLength),
          data: bytes.subarray(dataAt + headLength, dataAt + length),
        });
        at = dataAt + length + 2;
        continue;
      }
      if (line === 'PING') this.#write('PONG\r\n');
      else if (line === 'PONG') this.#ready();
      else if (line.startsWith('INFO ')) this.info = JSON.parse(line.slice(5)) as { version: string };
      else if (line.startsWith('-ERR')) throw new Error(`NATS refused: ${line}`);
      at = end + 2;
    }
    this.#received = bytes.subarray(at);
  }

  #deliver([, subject, id]: string[], message: NatsMessage): void {
    if (id !== '1') {
      this.#subscriptions.get(id!)?.(message);
      return;
    }
    const reply = subject!.slice(this.#inbox.length + 1);
    const take = this.#requests.get(reply);
    this.#requests.delete(reply);
    take?.(message);
  }
}

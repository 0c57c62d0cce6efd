// A client of etcd's gRPC interface for load, over Node's own HTTP/2: the few messages that a benchmark needs are encoded by hand, which
// costs a fraction of what a general gRPC client does.
import { type ClientHttp2Session, connect, constants } from 'node:http2';

const { HTTP2_HEADER_METHOD, HTTP2_HEADER_PATH, HTTP2_HEADER_CONTENT_TYPE, HTTP2_HEADER_TE } = constants;

type Done = (error?: Error) => void;

export class EtcdClient {
  readonly #session: ClientHttp2Session;

  /** @param address such as `127.0.0.1:2379` */
  static open(address: string): Promise<EtcdClient> {
    return new Promise((resolve, reject) => {
      const session = connect(`http://${address}`);
      session.once('error', reject);
      session.once('connect', () => resolve(new EtcdClient(session)));
    });
  }

  private constructor(session: ClientHttp2Session) {
    this.#session = session;
  }

  /** Sets a key. */
  put(key: string, value: Buffer, done: Done): void {
    this.#call('/etcdserverpb.KV/Put', putRequest(key, value), done);
  }

  /** Sets a key that does not exist yet, as a transaction with the condition that its create revision is 0. */
  create(key: string, value: Buffer, done: Done): void {
    // Compare { result: EQUAL (0, the default), target: CREATE (1), key, create_revision: 0 }
    const compare = Buffer.concat([varintField(2, 1), bytesField(3, Buffer.from(key)), varintField(5, 0)]);
    const put = bytesField(2, putRequest(key, value));
    this.#call('/etcdserverpb.KV/Txn', Buffer.concat([bytesField(1, compare), bytesField(2, put)]), done);
  }

  /** Reads a key, linearizable. */
  get(key: string, done: Done): void {
    this.#call('/etcdserverpb.KV/Range', bytesField(1, Buffer.from(key)), done);
  }

  close(): void {
    this.#session.destroy();
  }

  #call(path: string, message: Buffer, done: Done): void {
    const stream = this.#session.request({
      [HTTP2_HEADER_METHOD]: 'POST',
      [HTTP2_HEADER_PATH]: path,
      [HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc',
      [HTTP2_HEADER_TE]: 'trailers',
    });
    let status: unknown = 'none';
    const learn = (headers: Record<string, unknown>) => {
      status = headers['grpc-status'] ?? status;
    };
    stream.on('response', learn).on('trailers', learn);
    stream.on('error', done);
    stream.on('end', () =>
      done(status === '0' ? undefined : new Error(`etcd replied to ${path} with status ${status}`)),
    );
    stream.resume();
    const frame = Buffer.allocUnsafe(5 + message.length);
    frame[0] = 0;
    frame.writeUInt32BE(message.length, 1);
    message.copy(frame, 5);
    stream.end(frame);
  }
}

function putRequest(key: string, value: Buffer): Buffer {
  return Buffer.concat([bytesField(1, Buffer.from(key)), bytesField(2, value)]);
}

function bytesField(field: number, value: Buffer): Buffer {
  return Buffer.concat([varint(field * 8 + 2), varint(value.length), value]);
}

function varintField(field: number, value: number): Buffer {
  return Buffer.concat([varint(field * 8), varint(value)]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let left = value;
  for (; left > 127; left >>>= 7) bytes.push((left & 127) | 128);
  bytes.push(left);
  return Buffer.from(bytes);
}

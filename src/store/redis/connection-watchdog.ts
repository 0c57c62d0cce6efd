// Detects a dead connection: the other machine is gone or hangs, or the network drops packets without an error. It counts checks
// instead of elapsed time: a process that was stopped, or busy, may have replies in its socket that it has not read yet.
import type { Socket } from 'node:net';
import type { Redis } from 'ioredis';
import { inactivityCheckEveryMs } from './time-limits.ts';

/** The internals of an ioredis client that show whether a reply is outstanding. */
interface ClientInternals {
  stream?: Socket;
  /** Commands that were sent and have no reply yet. */
  commandQueue: { length: number };
}

export class ConnectionWatchdog {
  readonly #client: Redis;
  readonly #silentChecksMax: number;
  #stream: Socket | undefined;
  #bytesRead = 0;
  #silentChecks = 0;

  /** @param inactivityMsMax how long a connection with an outstanding reply may receive nothing before it counts as dead */
  constructor(client: Redis, inactivityMsMax: number) {
    this.#client = client;
    this.#silentChecksMax = Math.ceil(inactivityMsMax / inactivityCheckEveryMs);
  }

  /**
   * Must be called every inactivityCheckEveryMs. Destroys the socket of a dead connection. If no reply is outstanding it sends a
   * PING, as a connection that only listens would otherwise never be found dead.
   */
  check(): void {
    const { stream, commandQueue } = this.#client as unknown as ClientInternals;
    if (!stream) return;
    const isReplyOutstanding = commandQueue.length > 0;
    if (!isReplyOutstanding && this.#client.status === 'ready') this.#client.ping().catch(() => undefined);
    if (!isReplyOutstanding || stream !== this.#stream || stream.bytesRead !== this.#bytesRead) {
      this.#stream = stream;
      this.#bytesRead = stream.bytesRead;
      this.#silentChecks = 0;
      return;
    }
    this.#silentChecks += 1;
    if (this.#silentChecks >= this.#silentChecksMax) {
      stream.destroy(new Error(`Redis sent nothing for ${this.#silentChecks * inactivityCheckEveryMs} ms.`));
    }
  }
}

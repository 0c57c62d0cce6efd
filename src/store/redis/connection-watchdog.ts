// Finds out that a connection is dead: its machine is gone or hangs, or the network between lets nothing through and does not say
// so. Looks are counted, and not the time: to a process that was stopped itself, or too busy, what has come meanwhile is still to be
// read.
import type { Socket } from 'node:net';
import type { Redis } from 'ioredis';
import { inactivityCheckEveryMs } from './time-limits.ts';

/** The parts of a client that tell whether an answer is due. */
interface ClientInternals {
  stream?: Socket;
  /** Commands that were sent and are not answered. */
  commandQueue: { length: number };
}

export class ConnectionWatchdog {
  readonly #client: Redis;
  readonly #silentChecksMax: number;
  #stream: Socket | undefined;
  #bytesRead = 0;
  #silentChecks = 0;

  /** @param inactivityMsMax for so long at most nothing may come while an answer is due */
  constructor(client: Redis, inactivityMsMax: number) {
    this.#client = client;
    this.#silentChecksMax = Math.ceil(inactivityMsMax / inactivityCheckEveryMs);
  }

  /**
   * Looks at the connection, as often as inactivityCheckEveryMs says, and destroys it if it is dead. One on which no answer is due is
   * asked for a sign of life, which the next looks wait for: who only listens would never know.
   */
  check(): void {
    const { stream, commandQueue } = this.#client as unknown as ClientInternals;
    if (!stream) return;
    const isDue = commandQueue.length > 0;
    if (!isDue && this.#client.status === 'ready') this.#client.ping().catch(() => undefined);
    if (!isDue || stream !== this.#stream || stream.bytesRead !== this.#bytesRead) {
      this.#stream = stream;
      this.#bytesRead = stream.bytesRead;
      this.#silentChecks = 0;
      return;
    }
    this.#silentChecks += 1;
    if (this.#silentChecks >= this.#silentChecksMax) stream.destroy(new Error('It says nothing any more.'));
  }
}

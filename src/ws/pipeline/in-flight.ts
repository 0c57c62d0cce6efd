// What one pipelined socket has in flight, and all of them together (guarantee S6). Over a limit a socket is not read.
import type { SharedLimit } from '../../core/shared-limit.ts';
import type { PipelineLimits } from '../limits.ts';

interface Amount {
  readonly bytes: number;
  readonly operations: number;
}

export class InFlight {
  readonly #limits: PipelineLimits;
  readonly #clientKey: string;
  /** The bytes of frames of all sockets. */
  readonly #ofAll: SharedLimit;
  #requests = 0;
  #operations = 0;
  #bytes = 0;

  constructor(limits: PipelineLimits, clientKey: string, ofAll: SharedLimit) {
    this.#limits = limits;
    this.#clientKey = clientKey;
    this.#ofAll = ofAll;
  }

  get requests(): number {
    return this.#requests;
  }

  /** Whether nothing more may be read. A socket with nothing in flight may always send one frame. */
  get isFull(): boolean {
    const { requestsMax, operationsMax, bytesMax } = this.#limits;
    if (this.#requests >= requestsMax || this.#operations >= operationsMax || this.#bytes >= bytesMax) return true;
    return this.#requests > 0 && this.#ofAll.refusalFor(this.#clientKey) !== undefined;
  }

  add({ bytes, operations }: Amount): void {
    this.#requests += 1;
    this.#operations += operations;
    this.#bytes += bytes;
    this.#ofAll.add(this.#clientKey, bytes);
  }

  remove({ bytes, operations }: Amount): void {
    this.#requests -= 1;
    this.#operations -= operations;
    this.#bytes -= bytes;
    this.#ofAll.release(this.#clientKey, bytes);
  }

  /** Ends the account of a closed socket. */
  close(): void {
    this.#ofAll.release(this.#clientKey, this.#bytes);
    this.#requests = 0;
    this.#operations = 0;
    this.#bytes = 0;
  }
}

// The rates of a pipelined socket's identity: how long nothing more is read, and what the client is told of it.
import type { FastifyRequest } from 'fastify';
import type { EventFrame } from '../../../schemas/socket.ts';

/** How often a client is told that its identity has used up a rate, ms. */
const tellEveryMs = 10_000;

export class RateLimit {
  readonly #request: Pick<FastifyRequest, 'account'>;
  readonly #tell: (frame: EventFrame) => void;
  #toldAt = Number.NEGATIVE_INFINITY;

  /** @param tell sends a frame to the client */
  constructor(request: Pick<FastifyRequest, 'account'>, tell: (frame: EventFrame) => void) {
    this.#request = request;
    this.#tell = tell;
  }

  /** Counts the bytes of a frame. */
  received(bytes: number): void {
    this.#request.account?.useBytes(bytes);
  }

  /** How long the client must wait, ms, 0 = it need not; it is told so now and then. */
  waitMs(): number {
    const { account } = this.#request;
    const over = account?.overdrawn();
    if (!account || !over) return 0;
    const { limit, waitMs: retryAfterMs } = over;
    const problem = account.delayed(over).toProblem();
    const now = performance.now();
    if (now - this.#toldAt > tellEveryMs) {
      this.#toldAt = now;
      this.#tell({ ...problem, type: 'throttled', limit, retryAfterMs });
    }
    return retryAfterMs;
  }
}

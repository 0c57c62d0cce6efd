// Reads of large nodes take turns: so many bytes at a time, the clients in turn. Each is some milliseconds of Redis and of the broker, so
// more at once would not be faster; all would take longer than a call of the store may. A read that waits has no permit, so small
// requests of the same client pass it, and its wait is not counted as that of the store.
import type { FastifyInstance, FastifyReply } from 'fastify';
import fp from 'fastify-plugin';
import type { Metrics } from '../../broker/metrics.ts';
import { ServiceError } from '../../core/service-error.ts';
import type { AdmissionLimits } from '../limits.ts';
import type { Refuse } from '../refusals.ts';
import { type Permit, WaitQueue } from '../wait-queue.ts';

interface LargeReadsOptions {
  limits: AdmissionLimits;
  /** How long a response may take once it is its turn, ms. */
  replyMs: number;
  refuse: Refuse;
  metrics: Metrics;
}

declare module 'fastify' {
  interface FastifyRequest {
    /**
     * Reads so many bytes when it is their turn.
     * @throws ServiceError TOO_MANY_REQUESTS if too many wait, or it has waited for too long; what `read` throws
     */
    readInTurn<T>(reply: FastifyReply, bytes: number, read: () => Promise<T>): Promise<T>;
  }
}

/**
 * A turn lasts until the response has left, but no longer than this after the read, ms: the bytes of quick readers do not pile up, and
 * slow ones keep nobody waiting.
 */
const sendMsMax = 250;

async function installLargeReads(app: FastifyInstance, options: LargeReadsOptions): Promise<void> {
  const { limits, replyMs, refuse, metrics } = options;
  const { largeReadBytesMax, largeReadsWaitingMax, largeReadWaitMsMax } = limits;
  const queue = new WaitQueue({
    capacity: largeReadBytesMax,
    waitingMax: largeReadsWaitingMax,
    waitMsMax: largeReadWaitMsMax,
  });
  metrics.gauge('large_read_bytes', 'Bytes of large nodes that are being read and sent.', () => queue.used);
  metrics.gauge('large_reads_waiting', 'Reads of large nodes that wait for their turn.', () => queue.waiting);

  function turnOf(client: string, bytes: number, { raw }: FastifyReply): Promise<Permit> {
    return new Promise((resolve, reject) => {
      const refused = (reason: 'total' | 'time') => {
        const state =
          reason === 'time'
            ? `this one waited for its turn for ${largeReadWaitMsMax} ms`
            : `${queue.waiting} wait for their turn`;
        reject(refuse('largeReads', reason, client, state));
      };
      const leave = queue.enter(client, bytes, { admitted: resolve, refused });
      if (!leave) return;
      const gone = () => {
        leave();
        reject(new ServiceError('TOO_MANY_REQUESTS', 'The client broke off while its read of a large node waited.'));
      };
      if (raw.destroyed) return gone();
      raw.once('close', gone);
      // A client that has given up closes its half of the connection first; the broker would learn no more before it writes.
      if (raw.socket?.readableEnded) raw.socket.destroy();
    });
  }

  app.decorateRequest('readInTurn', async function readInTurn(reply, bytes, read) {
    this.permit?.release();
    this.respondByMs = Number.POSITIVE_INFINITY;
    this.isQueued = true;
    const turn = await turnOf(this.clientKey, bytes, reply).finally(() => {
      this.isQueued = false;
    });
    try {
      const behind = app.unreadResponses.refusalFor(this.clientKey);
      if (behind) throw refuse('responses', behind, this.clientKey, app.unreadResponses);
      await this.acquirePermit();
      this.respondByMs = performance.now() + replyMs;
      return await read();
    } finally {
      releaseAfter(reply, turn);
    }
  });
}

export const largeReads = fp(installLargeReads, {
  name: 'large-reads',
  fastify: '5.x',
  dependencies: ['admission', 'pipelining', 'time-limit', 'unread-responses'],
});

function releaseAfter({ raw }: FastifyReply, turn: Permit): void {
  const release = () => {
    clearTimeout(timer);
    turn.release();
  };
  const timer = setTimeout(release, sendMsMax);
  if (raw.destroyed || raw.writableFinished) release();
  else raw.once('close', release);
}

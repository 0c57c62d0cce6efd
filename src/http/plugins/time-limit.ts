// How long an answer may take that is made of several calls of the store, one after the other: each has a limit of its own, and a store
// that is slow at each, or hangs between two of them, must not make the sum of these limits of it (guarantee E3). What waits for
// something to happen is asked to (admission.ts), and is no business of this.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { ServiceError } from '../../core/service-error.ts';
import { multiStepReplyMsMax } from '../../store/redis/time-limits.ts';
import { withTimeout } from '../../store/redis/with-timeout.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** When its answer is due, as performance.now(). */
    answerBy: number;
  }
}

async function installTimeLimit(app: FastifyInstance): Promise<void> {
  app.decorateRequest('answerBy', 0);
  // Behind the body, which takes as long as its sender does, and before the session that comes with a request is renewed.
  app.addHook('preValidation', (request, _reply, done) => {
    request.answerBy = performance.now() + multiStepReplyMsMax;
    done();
  });
  app.addHook('onRoute', (route) => {
    const limit = route.config?.timeLimit ?? 'none';
    if (limit === 'none') return;
    const { handler } = route;
    const effect = timeoutTexts[limit];
    route.handler = function limited(request, reply) {
      const work: unknown = handler.call(this, request, reply);
      return work instanceof Promise && isLimited(request) ? withDeadline(work, request, reply, effect) : work;
    };
  });
}

export const timeLimit = fp(installTimeLimit, {
  name: 'time-limit',
  fastify: '5.x',
  dependencies: ['route-config', 'admission'],
});

/** What became of a request whose answer did not come in time. */
const timeoutTexts = {
  read: 'Nothing was done.',
  write: 'Whether the change was made is unknown: retry with the same Idempotency-Key, or read it.',
  consume: 'Whether the member was given records is unknown: call again with the same after, or with from=committed.',
};

/** What was asked to wait may, and a search by time may have to go through a whole log. */
function isLimited({ admittedAs, query }: FastifyRequest): boolean {
  const { wait, timestamp, at } = query as Record<string, unknown>;
  return (
    (admittedAs === 'requests' || admittedAs === 'reserved') &&
    !wait &&
    timestamp === undefined &&
    typeof at !== 'number'
  );
}

function withDeadline<T>(
  work: Promise<T>,
  { answerBy }: FastifyRequest,
  reply: FastifyReply,
  effect: string,
): Promise<T> {
  return withTimeout(work, Math.max(0, answerBy - performance.now()), () => {
    // The handler goes on, and must not answer once more.
    const { send } = reply;
    reply.send = (payload) => (reply.sent ? reply : send.call(reply, payload));
    return new ServiceError('STORE_UNAVAILABLE', `The store did not answer in time. ${effect}`);
  });
}

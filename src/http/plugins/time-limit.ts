// Limits the time of a response that takes several calls of the store in sequence. Each call has a limit of its own, but a store that is
// slow at each must not add them up (guarantee E3). Requests that wait on purpose, such as long polls, have no such limit.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { ServiceError } from '../../core/service-error.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Deadline of the response, as performance.now(); it may be set anew while the request waits for other reasons than the store. */
    respondByMs: number;
  }
}

interface TimeLimitOptions {
  /** How long a response may take, from its whole request on, ms. */
  replyMs: number;
}

async function installTimeLimit(app: FastifyInstance, { replyMs }: TimeLimitOptions): Promise<void> {
  app.decorateRequest('respondByMs', 0);
  // After the body, whose time depends on its sender, and before the session of the request is renewed.
  app.addHook('preValidation', (request, _reply, done) => {
    request.respondByMs = performance.now() + replyMs;
    done();
  });
  app.addHook('onRoute', (route) => {
    const limit = route.config?.timeLimit ?? 'none';
    if (limit === 'none') return;
    const { handler } = route;
    const effect = timeoutTexts[limit];
    route.handler = function limited(request, reply) {
      const work: unknown = handler.call(this, request, reply);
      return work instanceof Promise && isLimited(request) ? withDeadline(work, request, reply, effect, replyMs) : work;
    };
  });
}

export const timeLimit = fp(installTimeLimit, {
  name: 'time-limit',
  fastify: '5.x',
  dependencies: ['route-config', 'admission'],
});

/** What a request that exceeded the limit may have done, for its error. */
const timeoutTexts = {
  read: 'Nothing was done.',
  write: 'Whether the change was made is unknown: retry with the same Idempotency-Key, or read it.',
  consume: 'Whether the member was given records is unknown: call again with the same after, or with from=committed.',
};

/** Requests with `wait` have no limit; neither have exports, and searches by time, which may read a whole log. */
function isLimited({ admittedAs, query }: FastifyRequest): boolean {
  const { wait, timestamp, at, view } = query as Record<string, unknown>;
  return (
    (admittedAs === 'requests' || admittedAs === 'reserved') &&
    !wait &&
    timestamp === undefined &&
    view !== 'export' &&
    typeof at !== 'number'
  );
}

function withDeadline<T>(
  work: Promise<T>,
  request: FastifyRequest,
  reply: FastifyReply,
  effect: string,
  replyMs: number,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    let timer: NodeJS.Timeout;
    const check = () => {
      const leftMs = request.respondByMs - performance.now();
      if (leftMs > 0) {
        timer = setTimeout(check, Math.min(leftMs, replyMs));
        return;
      }
      // Replies that arrived while this process was busy are read before the immediate.
      setImmediate(() => {
        // The handler still runs, and must not send a second response.
        const { send } = reply;
        reply.send = (payload) => (reply.sent ? reply : send.call(reply, payload));
        reject(new ServiceError('STORE_UNAVAILABLE', `The store did not reply in time. ${effect}`));
      });
    };
    check();
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

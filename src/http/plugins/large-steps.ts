// Requests with large bodies take turns (../large-steps.ts): before the body is parsed, before it is validated, before the handler is
// called, and before the response is written. So each of these pieces is a step of its own, also of a request that is alone.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import type { Steps } from '../../core/steps.ts';
import { inSlices } from '../in-slices.ts';
import type { LargeSteps } from '../large-steps.ts';
import { bodyBytesUsual } from '../limits.ts';
import type { Refuse } from '../refusals.ts';
import { isReserved, routeOf } from '../route-config.ts';

interface LargeStepsOptions {
  steps: LargeSteps;
  /** How long a first step waits at most, ms. */
  waitMsMax: number;
  refuse: Refuse;
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Calls `parse` when it is its turn; at once if its body is not large. `failed` is called if it is refused. */
    parseInTurn(bodyBytes: number, parse: () => void, failed: (error: Error) => void): void;
    /**
     * Runs a generator to its end, in slices between which others have their turns.
     * @param bytes those that it reads, if it must wait for its turn before the first slice: not in a handler whose body has been counted
     */
    inSteps<T>(steps: Steps<T>, bytes?: number): Promise<T>;
  }
}

/** A slice counts as so many bytes of JSON: as many as take about as long. */
const sliceBytes = 256 * 1024;

async function installLargeSteps(app: FastifyInstance, { steps, waitMsMax, refuse }: LargeStepsOptions): Promise<void> {
  app.decorateRequest('parseInTurn', function parseInTurn(this: FastifyRequest, bodyBytes, parse, failed) {
    if (!steps.isLarge(bodyBytes)) return parse();
    const { clientKey } = this;
    // What keeps sessions and members alive does not wait behind the other work of its client.
    const key = isReserved(routeOf(this)) ? `${clientKey} reserved` : clientKey;
    const leave = steps.begin(key, bodyBytes, {
      run: () => {
        this.leaveQueue = undefined;
        parse();
      },
      refused: (reason) => {
        this.leaveQueue = undefined;
        const state =
          reason === 'time'
            ? `this one waited for its turn for ${waitMsMax} ms`
            : `${steps.waiting} wait for their turn`;
        failed(refuse('largeBodies', reason, clientKey, state));
      },
    });
    if (leave) this.leaveQueue = leave;
  });

  app.decorateRequest('inSteps', async function runInSteps<
    T,
  >(this: FastifyRequest, work: Steps<T>, bytes = 0): Promise<T> {
    const turn = (of: number) => new Promise<void>((resolve) => void steps.goOn(this.clientKey, of, resolve));
    if (steps.isLarge(bytes)) await turn(bytes);
    return inSlices(work, () => turn(sliceBytes));
  });

  const goOn = (request: FastifyRequest, done: () => void) => {
    const bytes = request.countedBody?.bytes ?? 0;
    if (!steps.isLarge(bytes)) return done();
    const since = performance.now();
    const leave = steps.goOn(request.clientKey, bytes, () => {
      request.leaveQueue = undefined;
      // The wait is not one for the store.
      request.respondByMs += performance.now() - since;
      done();
    });
    if (leave) request.leaveQueue = leave;
  };

  app.addHook('onRoute', (route) => {
    if ((route.bodyLimit ?? 0) <= bodyBytesUsual) return;
    // Behind all other hooks, which may refuse the request.
    const before = (request: FastifyRequest, _reply: FastifyReply, done: () => void) => goOn(request, done);
    route.preValidation = [route.preValidation ?? [], before].flat();
    route.preHandler = [route.preHandler ?? [], before].flat();
    const beforeResponse = (request: FastifyRequest, reply: FastifyReply, payload: unknown, done: Written) => {
      // A refusal is short.
      if (reply.statusCode >= 400) return done(null, payload);
      goOn(request, () => done(null, payload));
    };
    route.preSerialization = [route.preSerialization ?? [], beforeResponse].flat();
  });
}

type Written = (error: null, payload: unknown) => void;

export const largeSteps = fp(installLargeSteps, {
  name: 'large-steps',
  fastify: '5.x',
  dependencies: ['route-config', 'client', 'body-bytes-limit', 'admission', 'time-limit', 'bodies'],
});

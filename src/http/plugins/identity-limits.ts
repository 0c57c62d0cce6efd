// The limits of the caller's identity on requests and bytes a second (../../access/accounts.ts): a request beyond them is refused before
// its body is read, but after its session was renewed. Health is always served; what keeps sessions and members alive is judged by
// admission control, as it may use the reserved capacity. What is not known yet, such as the bytes of the response, is counted later.
import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import type { AccessControl } from '../../access/access-control.ts';
import type { Account } from '../../access/accounts.ts';
import { sizeOf } from '../response-size.ts';
import { isUpload, mayBeReserved, routeOf } from '../route-config.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Counts a batch of a stream of records as one request, once the rates of its identity allow it. */
    waitForRates(bytes: number): Promise<void>;
  }
}

interface IdentityLimitsOptions {
  access: Pick<AccessControl, 'isOn'>;
}

async function installIdentityLimits(app: FastifyInstance, { access }: IdentityLimitsOptions): Promise<void> {
  app.decorateRequest('waitForRates', async function waitForRates(this: FastifyRequest, bytes: number) {
    const { account } = this;
    if (!account) return;
    for (let over = account.overdrawn(); over; over = account.overdrawn()) {
      account.delayed(over);
      await sleep(over.waitMs);
    }
    account.useRequests(1);
    account.useBytes(bytes);
  });
  // Without a policy no identity has limits.
  if (!access.isOn) return;
  app.addHook('preParsing', (request, reply, payload, done) => {
    const { account } = request;
    const route = routeOf(request);
    if (!account || route === 'always') return done(null, payload);
    const now = performance.now();
    try {
      if (!mayBeReserved(route)) account.takeRequest(now);
    } catch (error) {
      tellLimit(reply, account, now);
      return done(error as Error, payload);
    }
    tellLimit(reply, account, now);
    const { headers, raw } = request;
    // The lines of a stream count with their batches (waitForRates), as its reader sets the pace.
    if (isUpload(request)) return done(null, payload);
    if (headers['content-length'] !== undefined) account.useBytes(Number(headers['content-length']));
    else if (headers['transfer-encoding'] !== undefined)
      raw.on('data', (piece: Buffer) => account.useBytes(piece.length));
    done(null, payload);
  });
  app.addHook('onSend', ({ account }, _reply, payload, done) => {
    account?.useBytes(sizeOf(payload));
    done();
  });
}

export const identityLimits = fp(installIdentityLimits, {
  name: 'identity-limits',
  fastify: '5.x',
  dependencies: ['access', 'route-config', 'body-type'],
});

/** The fields that draft-ietf-httpapi-ratelimit-headers (version 3) and most clients know. */
function tellLimit(reply: FastifyReply, account: Account, now: number): void {
  const requestsLeft = account.requestsLeft(now);
  if (!requestsLeft) return;
  const { limit, left, resetSeconds } = requestsLeft;
  reply.header('ratelimit-limit', limit).header('ratelimit-remaining', left).header('ratelimit-reset', resetSeconds);
}

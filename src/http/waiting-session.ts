// The session that comes with a request that waits (Weir-Session on a long poll or an event stream): it is kept alive meanwhile, and
// a waiter whose session has ended is told so, and nothing else: it may hold that it waited for a lock.
//
// A long poll sends nothing before its answer, so that its connection is all there is to go by: it counts as alive while that is
// open, which is for 5 minutes at most. An event stream counts as alive while the peer takes what is written. A process that stands
// still while its machine goes on is noticed by a socket alone (ws/watch.ts), which asks for signs of life.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { SessionRenewer } from '../broker/sessions/session-renewer.ts';
import { hasCode, ServiceError } from '../core/service-error.ts';
import type { Sessions } from '../store/tree/sessions.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Keeps the session of a long poll; it is looked at once more before the answer goes out. */
    sessionKeeper: SessionRenewer | undefined;
  }
}

/** How soon the machine of a peer that has vanished is looked for, ms: what is open is then not there any more. */
const tcpKeepAliveMs = 5000;

async function installWaitingSessions(app: FastifyInstance, { sessions }: { sessions: Sessions }): Promise<void> {
  app.decorateRequest('sessionKeeper', undefined);

  app.addHook('preHandler', (request, reply, done) => {
    const { wait } = (request.query ?? {}) as { wait?: unknown };
    if (!request.session || !wait || request.ws) return done();
    const { raw } = reply;
    const keeper = new SessionRenewer(sessions, request.session, { isAlive: () => !raw.destroyed }, () =>
      refuse(request, reply),
    );
    request.raw.socket.setKeepAlive(true, tcpKeepAliveMs);
    raw.once('close', () => keeper.stop());
    keeper.start().then(() => {
      if (raw.destroyed) keeper.stop();
      request.sessionKeeper = keeper;
      done();
    }, done);
  });

  app.addHook('onSend', (request, reply, payload, done) => {
    const { sessionKeeper, session } = request;
    if (!sessionKeeper || !session) return done(null, payload);
    request.sessionKeeper = undefined;
    sessionKeeper.stop();
    // The state was read before: a session that lives now lived then.
    sessions.renew(session).then(
      () => done(null, payload),
      (error: unknown) => {
        if (!hasCode(error, 'SESSION_EXPIRED')) return done(null, payload);
        for (const name of ['etag', 'weir-stat', 'content-length', 'retry-after']) reply.removeHeader(name);
        // Not as an error: the error handler has had its turn if the answer is a refusal, such as that of a node that is gone.
        const problem = expired();
        reply.code(problem.status).type('application/problem+json');
        done(null, JSON.stringify(problem.toProblem()));
      },
    );
  });
}

export const waitingSessions = fp(installWaitingSessions, {
  name: 'waiting-sessions',
  fastify: '5.x',
  dependencies: ['session-header'],
});

/** Keeps the session of an event stream, if it came with one. @returns how to stop that */
export function renewWhileStreaming(
  { session, raw }: FastifyRequest,
  reply: FastifyReply,
  sessions: Sessions,
  onExpired: (error: ServiceError) => void,
): () => void {
  if (!session) return () => undefined;
  const isAlive = () => !reply.raw.destroyed && reply.raw.writableLength === 0;
  const keeper = new SessionRenewer(sessions, session, { isAlive }, () => onExpired(expired()));
  raw.socket.setKeepAlive(true, tcpKeepAliveMs);
  keeper.start().catch((error: unknown) => {
    if (hasCode(error, 'SESSION_EXPIRED')) onExpired(expired());
  });
  return () => keeper.stop();
}

/** Answers while the handler still waits; what it says later is not sent. */
function refuse(request: FastifyRequest, reply: FastifyReply): void {
  if (reply.sent) return;
  request.sessionKeeper = undefined;
  reply.send(expired());
  reply.send = () => reply;
}

function expired(): ServiceError {
  return new ServiceError(
    'SESSION_EXPIRED',
    'The session of Weir-Session ended while this request waited. What it held is gone; create a new session, then ask again.',
  );
}

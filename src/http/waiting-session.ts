// Renews the session of a request that waits (Weir-Session on a long poll or an event stream). If the session expires meanwhile, the
// response is SESSION_EXPIRED in every case: the client may have waited for a lock, and would otherwise believe that it holds the lock.
//
// The client of a long poll counts as alive while its connection is open, for 5 minutes at most. The client of an event stream counts as
// alive while it reads. A process that is suspended is noticed only on a WebSocket (ws/watch.ts), which sends pings.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { SessionRenewer } from '../broker/sessions/session-renewer.ts';
import { jsonLine } from '../core/json-line.ts';
import { hasCode, ServiceError } from '../core/service-error.ts';
import type { Sessions } from '../store/tree/sessions.ts';
import { indentedFor } from './plugins/json-responses.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Renews the session of a long poll; the session is checked once more before the response is sent. */
    sessionRenewer: SessionRenewer | undefined;
  }
}

/** Idle time before TCP keep-alive probes are sent, ms, so that the connection of a vanished machine is closed. */
const tcpKeepAliveMs = 5000;

async function installWaitingSessions(app: FastifyInstance, { sessions }: { sessions: Sessions }): Promise<void> {
  app.decorateRequest('sessionRenewer', undefined);

  app.addHook('preHandler', (request, reply, done) => {
    const { wait } = (request.query ?? {}) as { wait?: unknown };
    if (!request.session || !wait || request.ws) return done();
    const { raw } = reply;
    const renewer = new SessionRenewer(sessions, request.session, { isAlive: () => !raw.destroyed }, () =>
      refuse(request, reply),
    );
    request.raw.socket.setKeepAlive(true, tcpKeepAliveMs);
    raw.once('close', () => renewer.stop());
    renewer.start().then(() => {
      if (raw.destroyed) renewer.stop();
      request.sessionRenewer = renewer;
      done();
    }, done);
  });

  app.addHook('onSend', (request, reply, payload, done) => {
    const { sessionRenewer, session } = request;
    if (!sessionRenewer || !session) return done(null, payload);
    request.sessionRenewer = undefined;
    sessionRenewer.stop();
    // The response was read before this: a session that is alive now was alive then.
    sessions.renew(session).then(
      () => done(null, payload),
      (error: unknown) => {
        if (!hasCode(error, 'SESSION_EXPIRED') && !hasCode(error, 'FORBIDDEN')) return done(null, payload);
        for (const name of ['etag', 'weir-stat', 'content-length', 'retry-after']) reply.removeHeader(name);
        // Not by the error handler: it has already run if the response is a problem, such as NO_NODE.
        const problem = expired();
        reply.code(problem.status).type('application/problem+json');
        done(null, indentedFor(request, jsonLine(problem.toProblem())));
      },
    );
  });
}

export const waitingSessions = fp(installWaitingSessions, {
  name: 'waiting-sessions',
  fastify: '5.x',
  dependencies: ['session-header'],
});

/**
 * Renews the session of an event stream, if the request has one, as long as the client reads.
 * @param onExpired called when the session is found to have expired
 * @returns a function that stops the renewals
 */
export function renewWhileStreaming(
  { session, raw }: FastifyRequest,
  reply: FastifyReply,
  sessions: Sessions,
  onExpired: (error: ServiceError) => void,
): () => void {
  if (!session) return () => undefined;
  const isAlive = () => !reply.raw.destroyed && reply.raw.writableLength === 0;
  const renewer = new SessionRenewer(sessions, session, { isAlive }, () => onExpired(expired()));
  raw.socket.setKeepAlive(true, tcpKeepAliveMs);
  renewer.start().catch((error: unknown) => {
    if (hasCode(error, 'SESSION_EXPIRED') || hasCode(error, 'FORBIDDEN')) onExpired(expired());
  });
  return () => renewer.stop();
}

/** Sends the problem while the handler still waits; the handler's own response is not sent. */
function refuse(request: FastifyRequest, reply: FastifyReply): void {
  if (reply.sent) return;
  request.sessionRenewer = undefined;
  reply.send(expired());
  reply.send = () => reply;
}

function expired(): ServiceError {
  return new ServiceError(
    'SESSION_EXPIRED',
    'The session in Weir-Session ended while this request waited, and its ephemeral nodes are deleted. Create a new session, then send the request again.',
  );
}

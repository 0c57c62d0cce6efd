// The Weir-Session header: any request may carry a session's handle, and thereby renews it.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { parseHandle, type SessionCredential, type Sessions } from '../store/sessions.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** The session that the request carries in its header, renewed just now. */
    session: SessionCredential | undefined;
  }
  interface FastifyContextConfig {
    /** The route is about the session of the header itself, which it reads, renews or ends. */
    isAboutOwnSession?: boolean;
  }
}

export function installSessionHeader(app: FastifyInstance, sessions: Sessions): void {
  app.decorateRequest('session', undefined);
  // A callback, as most requests carry no session: a promise each would cost more than the look.
  app.addHook('preHandler', (request, _reply, done) => {
    const handle = request.headers['weir-session'];
    if (typeof handle === 'string' && !request.routeOptions.config.isAboutOwnSession)
      renew(request, handle).then(() => done(), done);
    else done();
  });

  async function renew(request: FastifyRequest, handle: string): Promise<void> {
    request.session = parseHandle(handle);
    await sessions.renew(request.session);
  }
}

/** The session that a request names, in the parameter `session` or in the header. */
export function sessionOf(request: FastifyRequest, parameter: string | undefined): SessionCredential | undefined {
  return parameter === undefined ? request.session : parseHandle(parameter);
}

// The Weir-Session header: any request may carry a session handle and thereby renews the session. It is renewed on arrival, before the
// body is read and before the request waits for a permit, so that a session cannot expire under load while its client sends requests.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { parseHandle, type SessionCredential, type Sessions } from '../../store/tree/sessions.ts';
import { type ReservedCapacity, sessionHolder } from '../reserved-capacity.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** The session of the Weir-Session header, which this request has renewed. */
    session: SessionCredential | undefined;
    /** The renewal on arrival; undefined if the session is renewed once the request has a permit. */
    renewal: Promise<unknown> | undefined;
  }
  interface FastifyContextConfig {
    /** The route is about the session of the header itself, which it reads, renews or ends. */
    isAboutOwnSession?: boolean;
  }
}

async function installSessionHeader(app: FastifyInstance, { sessions }: { sessions: Sessions }): Promise<void> {
  const renewals = new SharedRenewals(sessions, app.admission.reserved);
  app.decorateRequest('session', undefined);
  app.decorateRequest('renewal', undefined);
  // Callbacks: most requests carry no session, and a promise would cost more than the check.
  app.addHook('onRequest', (request, _reply, done) => {
    const handle = request.headers['weir-session'];
    if (typeof handle === 'string' && !isAboutOwnSession(request)) {
      request.renewal = renewals.renew(request, handle);
      // The result is awaited in preHandler, which a refused request does not reach: no unhandled rejection.
      request.renewal?.catch(() => undefined);
    }
    done();
  });
  app.addHook('preHandler', (request, _reply, done) => {
    const handle = request.headers['weir-session'];
    if (typeof handle === 'string' && !isAboutOwnSession(request)) take(request, handle).then(() => done(), done);
    else done();
  });

  async function take(request: FastifyRequest, handle: string): Promise<void> {
    request.session = parseHandle(handle, request);
    await (request.renewal ?? sessions.renew(request.session));
  }
}

export const sessionHeader = fp(installSessionHeader, {
  name: 'session-header',
  fastify: '5.x',
  dependencies: ['admission'],
});

function isAboutOwnSession({ routeConfig }: FastifyRequest): boolean {
  return routeConfig.isAboutOwnSession === true;
}

/** Requests of one identity for one session that arrive while it is being renewed share the next renewal. */
class SharedRenewals {
  readonly #sessions: Sessions;
  readonly #reserved: ReservedCapacity;
  readonly #inFlight = new Map<string, { last: Promise<unknown>; next: Promise<unknown> | undefined }>();

  constructor(sessions: Sessions, reserved: ReservedCapacity) {
    this.#sessions = sessions;
    this.#reserved = reserved;
  }

  /** @returns undefined if the handle may not use the reserved capacity */
  renew(request: FastifyRequest, handle: string): Promise<unknown> | undefined {
    const renewal = this.#inFlight.get(sessionHolder(handle, request));
    if (!renewal) return this.#begin(request, handle);
    // The renewal in flight may have been executed before this request arrived, so another one follows it.
    renewal.next ??= renewal.last
      .catch(() => undefined)
      .then(() => this.#begin(request, handle) ?? this.#renew(request, handle));
    return renewal.next;
  }

  #begin(request: FastifyRequest, handle: string): Promise<unknown> | undefined {
    const { clientKey: client } = request;
    const holder = sessionHolder(handle, request);
    if (!this.#reserved.mayUse(client, holder)) return undefined;
    const last = this.#reserved.keep(client, holder, () => this.#renew(request, handle));
    const renewal = { last, next: undefined };
    this.#inFlight.set(holder, renewal);
    const end = () => {
      if (this.#inFlight.get(holder) === renewal) this.#inFlight.delete(holder);
    };
    last.then(end, end);
    return last;
  }

  async #renew(request: FastifyRequest, handle: string): Promise<unknown> {
    return this.#sessions.renew(parseHandle(handle, request));
  }
}

/** The session that a request names, in the parameter `session` or in the header. */
export function sessionOf(request: FastifyRequest, parameter: string | undefined): SessionCredential | undefined {
  return parameter === undefined ? request.session : parseHandle(parameter, request);
}

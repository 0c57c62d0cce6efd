// Access control at the edge: finds out who asks, and refuses what its route declares and the caller lacks, before the body is read. What
// a body or query asks for in addition is checked where it is decoded, by request.require().
import type { FastifyInstance, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { type AccessControl, openCaller } from '../../access/access-control.ts';
import type { Account } from '../../access/accounts.ts';
import { actsAs, type Caller } from '../../access/authenticator.ts';
import { nodeToCheck } from '../../access/node-operations.ts';
import type { Kind, PublicThing, Verb } from '../../access/verbs.ts';
import { offeredBy } from '../../core/handshake.ts';
import { hasCode, ServiceError } from '../../core/service-error.ts';
import type { ServerTls } from '../../tls/server-tls.ts';
import { ClientCertificates } from '../client-certificates.ts';
import { nodePathOf } from '../node-path.ts';
import { TicketStreams } from '../ticket-streams.ts';

/**
 * What a request of a route needs:
 * - `open`: nothing, not even an identity;
 * - a thing such as `docs`, `metrics`;
 * - `identity`: any identity, as the response holds only what the caller may see, or concerns the caller alone;
 * - `operation`: any identity, and what request.require() is called with where the operation is decoded;
 * - `admin`;
 * - a verb on the resource that the URL names, by the parameter `in`.
 */
type AccessNeed =
  | 'open'
  | PublicThing
  | 'identity'
  | 'operation'
  | 'admin'
  | { readonly verb: Verb; readonly kind: Exclude<Kind, 'nodes'>; readonly in: string }
  | { readonly verb: Verb; readonly kind: 'nodes'; readonly prefix: string };

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Every operation of the API declares it. */
    access?: AccessNeed;
  }
  interface FastifyRequest {
    /** Who asks. */
    caller: Caller;
    /** The path of a node that was read from the URL and checked, of a request that is not for a sequential one. */
    checkedPath: string | undefined;
    /** The version of the policy and of the authorities under which it was admitted. */
    policyVersion: number;
    /** As Actor of core/actor.ts, which a request is: what it makes belongs to `identity`, and it may use what belongs to `actsAs`. */
    readonly identity: string | undefined;
    readonly actsAs: string | undefined;
    /** What its identity uses of its limits; undefined if it has none. */
    account: Account | undefined;
    /** @throws ServiceError FORBIDDEN, or AUTH_REQUIRED for an anonymous client */
    require(verb: Verb, kind: Kind, name: string): void;
    may(verb: Verb, kind: Kind, name: string): boolean;
    /**
     * Which nodes the caller may read, also after the policy has changed; undefined = all, as there is no policy. It is one function for
     * each request, so that all watches of a socket, which have the same one, are matched together.
     */
    readonly mayReadNode: ((path: string) => boolean) | undefined;
    /** As require(), for a node and everything below it. */
    requireSubtree(verb: Verb, path: string): void;
    /**
     * Checks again what the route declares, if the policy has changed since: for a request that has waited.
     * @throws ServiceError FORBIDDEN, AUTH_REQUIRED
     */
    recheckAccess(): Promise<void>;
    /**
     * Checks again what the route declares whenever the policy changes, until the connection closes: for streams and sockets. Then
     * `caller`, require() and may() follow the new policy.
     * @param onRefused called once, if the caller may not go on, or its credential expires
     * @param recheck checks what was asked for since; throws as require()
     */
    followAccess(onRefused: (error: ServiceError) => void, recheck?: () => void): void;
  }
}

interface AccessOptions {
  access: AccessControl;
  /** Absent without TLS. */
  tls?: ServerTls | undefined;
}

async function installAccess(app: FastifyInstance, { access, tls }: AccessOptions): Promise<void> {
  const certificates = tls?.asksForCertificates ? new ClientCertificates(tls, app.server) : undefined;
  const warnOfCertificates = () => {
    if (certificates || !access.policy?.hasCertificates) return;
    app.log.warn('The policy has certs, but without WEIR_TLS_CLIENT_CA no client can show a certificate');
  };
  warnOfCertificates();
  access.onChange(warnOfCertificates);
  // An authority may be gone that has signed the certificates of open sockets.
  tls?.onAuthoritiesChanged(() => access.recheck());
  // Without a policy nothing has to be done for a request.
  if (access.isOn) app.decorateRequest('caller');
  else app.decorateRequest('caller', { getter: () => openCaller });
  app.decorateRequest('policyVersion', 0);
  app.decorateRequest('checkedPath', undefined);
  app.decorateRequest('identity', {
    getter(this: FastifyRequest) {
      return this.caller.identity;
    },
  });
  app.decorateRequest('actsAs', {
    getter(this: FastifyRequest) {
      return actsAs(this.caller);
    },
  });
  app.decorateRequest('account', undefined);
  app.decorateRequest('require', function require(this: FastifyRequest, verb: Verb, kind: Kind, name: string) {
    access.require(this.caller, verb, { kind, name }, this);
  });
  app.decorateRequest('may', function may(this: FastifyRequest, verb: Verb, kind: Kind, name: string) {
    return this.caller.rights.allows(verb, { kind, name });
  });
  const nodeReaders = new WeakMap<FastifyRequest, (path: string) => boolean>();
  app.decorateRequest('mayReadNode', {
    getter(this: FastifyRequest) {
      if (!access.isOn) return undefined;
      const reader = nodeReaders.get(this) ?? ((path: string) => this.may('read', 'nodes', path));
      nodeReaders.set(this, reader);
      return reader;
    },
  });
  app.decorateRequest('requireSubtree', function requireSubtree(this: FastifyRequest, verb: Verb, path: string) {
    access.requireSubtree(this.caller, verb, path, this);
  });
  const tickets = new TicketStreams();
  const take = (request: FastifyRequest, caller: Caller, version: number) => {
    request.policyVersion = version;
    request.caller = caller;
    const { identity, clientKey } = caller;
    // Limits by client are by identity where there is one: its clients may have any addresses, and others may share one.
    if (identity !== undefined && clientKey !== undefined) {
      request.clientKey = clientKey;
      request.account = access.accounts.open(clientKey, identity, caller.limits);
    }
    check(access, request, needOf(request));
  };
  const identified = (request: FastifyRequest): Caller | Promise<Caller> => {
    const { clientKey: client } = request;
    // Requests to open routes are not asked who they are, so that a wrong token does not fail a health check.
    if (needOf(request) === 'open') return access.callerOf({ client });
    const authorization = authorizationOf(request);
    const ticketOf = authorization === undefined ? tickets.credentialOf(request, access.derived) : undefined;
    return ticketOf instanceof Promise
      ? ticketOf.then((credential) => access.callerOf({ ticketOf: credential, client }))
      : access.callerOf({ authorization, ticketOf, ...certificates?.of(request), client });
  };
  /** @returns a promise only if something has to be asked for */
  const callerOf = (request: FastifyRequest): Caller | Promise<Caller> => {
    const { authorization } = request.raw.headers;
    const known = authorization === undefined ? undefined : access.knownCaller(authorization);
    if (known && needOf(request) !== 'open') return known;
    const refused = (error: unknown): never => {
      if (hasCode(error, 'AUTH_REQUIRED')) access.noteRefusedCredential((error as Error).message, request);
      throw error;
    };
    try {
      const caller = identified(request);
      return caller instanceof Promise ? caller.catch(refused) : caller;
    } catch (error) {
      return refused(error);
    }
  };
  const admit = async (request: FastifyRequest) => {
    for (;;) {
      const { version } = access;
      const caller = await callerOf(request);
      // It may have changed while the caller was asked for.
      if (access.version === version) return take(request, caller, version);
    }
  };
  const admitAgain = async (request: FastifyRequest) => {
    const { identity } = request.caller;
    await admit(request);
    if (request.caller.identity !== identity) throw otherIdentity();
  };
  const mayBeRefused = (request: FastifyRequest) => {
    const { expiresAt, isDerived } = request.caller;
    return (
      request.policyVersion !== access.version || isDerived || (expiresAt !== undefined && expiresAt <= Date.now())
    );
  };
  app.decorateRequest('recheckAccess', async function recheckAccess(this: FastifyRequest) {
    if (access.isOn && mayBeRefused(this)) await admitAgain(this);
  });
  app.decorateRequest(
    'followAccess',
    function followAccess(this: FastifyRequest, onRefused: (error: ServiceError) => void, recheck?: () => void) {
      if (!access.isOn) return;
      let expiry: NodeJS.Timeout | undefined;
      const ends: (() => void)[] = [];
      const end = () => {
        clearTimeout(expiry);
        for (const each of ends.splice(0)) each();
      };
      const refused = (error: unknown) => {
        if (ends.length === 0) return;
        end();
        onRefused(error as ServiceError);
      };
      const again = () => {
        clearTimeout(expiry);
        admitAgain(this).then(recheck).then(expectExpiry).catch(refused);
      };
      const expectExpiry = () => {
        const { expiresAt } = this.caller;
        if (expiresAt === undefined || ends.length === 0) return;
        clearTimeout(expiry);
        // Timers take at most 2^31-1 ms; a caller that is still valid then is admitted again.
        expiry = setTimeout(again, Math.min(Math.max(0, expiresAt - Date.now()) + 1, 2 ** 31 - 1)).unref();
      };
      this.raw.socket.once('close', end);
      ends.push(
        access.onChange(again),
        tickets.keep(this, access.derived, refused),
        () => void this.raw.socket.off('close', end),
      );
      if (this.caller.isDerived && access.derived) ends.push(access.derived.onRevoked(again));
      // What has changed since the request was admitted has called nothing here.
      if (mayBeRefused(this)) again();
      else expectExpiry();
    },
  );
  // The files of the documentation come from a plugin, whose routes declare nothing.
  app.addHook('onRoute', (route) => {
    if (route.url === '/docs' || route.url.startsWith('/docs/') || route.url === '/openapi.json') {
      route.config = { access: 'docs', ...route.config };
    }
  });
  if (!access.isOn) return;
  // A callback: only what has to be asked for needs a promise.
  app.addHook('onRequest', (request, _reply, done) => {
    request.caller = openCaller;
    if (request.routeConfig.url === undefined) return done();
    try {
      const { version } = access;
      const caller = callerOf(request);
      if (caller instanceof Promise) {
        caller.then((found) => take(request, found, version)).then(() => done(), done);
        return;
      }
      take(request, caller, version);
    } catch (error) {
      return done(error as Error);
    }
    done();
  });
}

export const accessCheck = fp(installAccess, {
  name: 'access',
  fastify: '5.x',
  dependencies: ['error-handler', 'client', 'route-config'],
});

function check(access: AccessControl, request: FastifyRequest, need: AccessNeed): void {
  if (typeof need === 'string') requireGeneral(access, request, need);
  else requireOnResource(access, request, need);
}

function requireGeneral(access: AccessControl, request: FastifyRequest, need: Extract<AccessNeed, string>): void {
  const { caller } = request;
  switch (need) {
    case 'open':
      break;
    case 'docs':
    case 'metrics':
      access.requireThing(caller, need, request);
      break;
    case 'identity':
    case 'operation':
      access.requireIdentity(caller, request);
      break;
    case 'admin':
      access.requireAdmin(caller, request);
  }
}

function requireOnResource(access: AccessControl, request: FastifyRequest, need: Exclude<AccessNeed, string>): void {
  const { caller } = request;
  if (need.kind === 'nodes') {
    const isPrefix = request.method === 'POST';
    const node = nodeToCheck(nodePathOf(request.url, need.prefix, isPrefix), isPrefix);
    if (node === undefined) access.requireIdentity(caller, request);
    else if (!isPrefix) request.checkedPath = node;
    if (node !== undefined) access.require(caller, need.verb, { kind: 'nodes', name: node }, request);
    return;
  }
  const name = (request.params as Record<string, string>)[need.in] ?? '';
  access.require(caller, need.verb, { kind: need.kind, name }, request);
}

/** What declares nothing is for admins: a route that was forgotten is closed, not open. */
function needOf(request: FastifyRequest): AccessNeed {
  return request.routeConfig.access ?? 'admin';
}

/** A browser cannot set headers of a WebSocket: it sends its token as a subprotocol. */
function authorizationOf({ headers }: FastifyRequest): string | undefined {
  if (headers.authorization !== undefined) return headers.authorization;
  const { token } = offeredBy(headers['sec-websocket-protocol'] ?? '');
  return token === undefined ? undefined : `Bearer ${token}`;
}

function otherIdentity(): ServiceError {
  return new ServiceError('AUTH_REQUIRED', 'The credential belongs to another identity now. Connect again.');
}

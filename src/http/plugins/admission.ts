// Admission control: a broker accepts no more work than it can finish in time, and no client uses the share of others. A request takes a
// permit once its body has arrived, so that a slow sender holds none; until then only its bytes count. Work beyond the permits waits for a
// limited time, fairly between clients (wait-queue.ts), and is then refused. Requests that keep sessions and members alive have reserved
// capacity (reserved-capacity.ts). Health and metrics are served on every connection that was accepted.
import type { ServerResponse } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import type { Accounts } from '../../access/accounts.ts';
import type { Metrics } from '../../broker/metrics.ts';
import type { ServiceError } from '../../core/service-error.ts';
import { SharedLimit } from '../../core/shared-limit.ts';
import type { AdmissionLimits } from '../limits.ts';
import type { Refuse } from '../refusals.ts';
import { weightOf } from '../request-weight.ts';
import { memberHolder, ReservedCapacity, sessionHolder } from '../reserved-capacity.ts';
import { isUpload, isWait, mayBeReserved, type RouteKind, routeOf } from '../route-config.ts';
import { type Permit, runWithPermit, WaitQueue, type WaitQueueReason } from '../wait-queue.ts';

/** What a request counts as: work, work in the reserved capacity, a long poll or event stream, or an uploaded stream of records. */
type Kind = 'requests' | 'reserved' | 'waits' | 'uploads';

interface AdmissionOptions {
  limits: AdmissionLimits;
  /** The part of each limit that one client may use while no other client uses it: above 0, up to 1. */
  addressShare: number;
  /** What the identities with limits use. */
  accounts: Accounts;
  refuse: Refuse;
  /** Keeps a member of a group alive, as its heartbeat would. */
  keepMember(request: FastifyRequest, group: string, member: string): Promise<unknown>;
  metrics: Metrics;
}

/** Who a permit is for: its share, and whose sessions and members it may keep. */
type AdmittedClient = Pick<FastifyRequest, 'clientKey' | 'actsAs'>;

interface Admission {
  reserved: ReservedCapacity;
  /** The limit of watches on sockets. */
  watches: ClientLimit;
  /**
   * Gives a permit for requests of a socket, at once or later. It waits without a limit of time: the socket is not read meanwhile.
   * @returns a function that gives up the wait; undefined if the permit was given at once
   */
  enter(
    client: string,
    work: { weight: number; requests: number },
    admitted: (permit: Permit) => void,
  ): (() => void) | undefined;
  /** Does the work of a WebSocket frame that keeps a session alive, with a permit, as a renewal over HTTP does. */
  keepSession<T>(request: AdmittedClient, handle: string, work: () => Promise<T>): Promise<T>;
  /** As keepSession(), for a small commit of a member. */
  commit<T>(
    request: AdmittedClient,
    member: { group: string; memberId: string; secret: string | undefined },
    work: () => Promise<T>,
  ): Promise<T>;
}

/** A limit of things that clients hold for a long time, shared between them. */
interface ClientLimit {
  /** Takes one. @returns a function that gives it back. @throws ServiceError TOO_MANY_REQUESTS */
  acquire(client: string): () => void;
}

declare module 'fastify' {
  interface FastifyInstance {
    /** The part of admission control that routes and sockets use. */
    admission: Admission;
  }
  interface FastifyRequest {
    /** The limit under which the request was admitted. */
    admittedAs: Kind | undefined;
    /** Leaves the queue for permits or for turns (large-steps.ts), while it waits there. */
    leaveQueue: (() => void) | undefined;
    /** The session or member whose fate its response tells, of a request with reserved capacity. */
    reservedFor: string | undefined;
    /** Its permit; a request that begins to wait for a change releases it. */
    permit: Permit | undefined;
    /** Whether its handler was called: from then on its work continues even if the client disconnects. */
    isBegun: boolean;
    /** Takes a permit again after a wait for a change. It waits for the permit without a time limit. */
    acquirePermit(): Promise<void>;
    /**
     * Does a piece of work of a request that has no permit of its own, such as one batch of a stream of records. It waits for a permit
     * without a time limit.
     */
    withPermit<T>(weight: number, work: () => Promise<T>): Promise<T>;
    /** Takes one of the sockets that its identity may have, until the connection or response is closed. @throws ServiceError TOO_MANY_REQUESTS */
    holdSocket(closing: { once(event: 'close', listener: () => void): unknown }): void;
  }
}

/** Commits of up to so many offsets use the reserved capacity. */
const smallCommitMax = 1000;

async function installAdmission(app: FastifyInstance, options: AdmissionOptions): Promise<void> {
  const { limits, addressShare, accounts, refuse, metrics } = options;
  const { unreadResponses, unreadReaders } = app;
  const queue = new WaitQueue({
    capacity: limits.requestsMax,
    waitingMax: limits.requestsWaitingMax,
    waitMsMax: limits.requestWaitMsMax,
    inFlightMaxOf: (client) => accounts.of(client)?.inFlightMax ?? Number.POSITIVE_INFINITY,
  });
  const outcomes = metrics.counter(
    'reserved_requests_total',
    'Requests for the reserved capacity, by result: the session or member is alive or unknown, the check failed as the store was unavailable, or the request was declined.',
    ['outcome'],
  );
  const reserved = new ReservedCapacity({
    capacity: limits.reservedMax,
    waitingMax: limits.requestsWaitingMax,
    waitMsMax: limits.requestWaitMsMax,
    unknownMax: limits.unknownHandlesMax,
    unknownPerSecond: limits.unknownHandlesPerSecond,
    refusal: (reason, client) => refuseWork('reserved', reason, client),
    onOutcome: (outcome) => outcomes.inc({ outcome }),
  });
  const shared = {
    waits: new SharedLimit(limits.waitsMax, addressShare),
    uploads: new SharedLimit(limits.uploadsMax, addressShare),
    sockets: new SharedLimit(limits.socketsMax, addressShare),
    watches: new SharedLimit(limits.watchesMax, addressShare),
  };
  const counts: Record<Kind, number> = { requests: 0, reserved: 0, waits: 0, uploads: 0 };
  metrics.gauges('requests_in_flight', 'Requests in flight, by kind.', ['kind'], () =>
    Object.entries({ ...counts, sockets: shared.sockets.used }).map(([kind, value]) => ({ labels: { kind }, value })),
  );
  metrics.gauges(
    'admission_weight',
    'Weight of the work in flight, where a usual request is 1, by capacity.',
    ['kind'],
    () => [
      { labels: { kind: 'requests' }, value: queue.used },
      { labels: { kind: 'reserved' }, value: reserved.queue.used },
    ],
  );
  metrics.gauges('requests_waiting', 'Requests that wait for a permit, by capacity.', ['kind'], () => [
    { labels: { kind: 'requests' }, value: queue.waiting },
    { labels: { kind: 'reserved' }, value: reserved.queue.waiting },
  ]);

  app.decorateRequest('admittedAs', undefined);
  app.decorateRequest('permit', undefined);
  app.decorateRequest('leaveQueue', undefined);
  app.decorateRequest('reservedFor', undefined);
  app.decorateRequest('isBegun', false);
  app.decorateRequest('acquirePermit', function acquirePermit(this: FastifyRequest) {
    return new Promise<void>((resolve, reject) => {
      const admitted = (permit: Permit) => {
        this.permit = permit;
        resolve();
      };
      queue.enter(this.clientKey, 1, { admitted, refused: reject }, { isPatient: true });
    });
  });
  app.decorateRequest('withPermit', function withPermit<
    T,
  >(this: FastifyRequest, weight: number, work: () => Promise<T>) {
    return runWithPermit(queue, this.clientKey, weight, work);
  });

  app.decorateRequest('holdSocket', function holdSocket(this: FastifyRequest, closing) {
    const { account } = this;
    if (!account) return;
    account.hold('sockets');
    closing.once('close', () => account.release('sockets'));
  });

  app.addHook('onRoute', (route) => {
    // The permit is held until the work ends, even if the client has disconnected: otherwise clients could start unlimited work.
    const { handler } = route;
    route.handler = function permitted(request, reply) {
      request.isBegun = true;
      const work: unknown = handler.call(this, request, reply);
      const release = () => request.permit?.release();
      if (work instanceof Promise) work.then(release, release);
      else release();
      return work;
    };
  });

  app.addHook('onRequest', (request, _reply, done) => {
    if (!request.ws) return done();
    const { clientKey: client } = request;
    const reason = shared.sockets.acquire(client);
    if (reason) return done(refuse('sockets', reason, client, shared.sockets));
    request.raw.socket.once('close', () => shared.sockets.release(client));
    done(problemOf(() => request.holdSocket(request.raw.socket)));
  });

  app.addHook('preValidation', (request, reply, done) => {
    const route = routeOf(request);
    if (route === 'always') return done();
    // To open a socket counts as work; the work of its frames is limited separately.
    if (request.ws) return enter(request, reply, 'requests', done);
    const holder = holderOf(request, route);
    const isReserved = route !== 'consume' && holder !== undefined && reserved.mayUse(request.clientKey, holder);
    const tooFast = mayBeReserved(route) ? problemOf(() => useRate(request, isReserved)) : undefined;
    if (tooFast) {
      done(tooFast);
    } else if (isReserved) {
      request.reservedFor = holder;
      enter(request, reply, 'reserved', done);
    } else if (isUpload(request)) {
      if (share(request, reply, 'uploads', done)) done();
    } else if (!isWait(request) || share(request, reply, 'waits', done)) {
      enter(request, reply, isWait(request) ? 'waits' : 'requests', done);
    }
    if (route === 'consume' && holder !== undefined && request.permit === undefined) keepMember(request, holder);
  });

  const closed = (request: FastifyRequest) => {
    // A client that disconnects leaves the queue.
    request.leaveQueue?.();
    request.leaveQueue = undefined;
    if (!request.isBegun) request.permit?.release();
  };
  // Not the hook onResponse: it does not run if the client has disconnected.
  app.onClosed((request, response) => {
    closed(request);
    const { admittedAs, reservedFor } = request;
    if (admittedAs) counts[admittedAs] -= 1;
    if (reservedFor !== undefined) reportOutcome(request, response, reservedFor);
  });

  /** Takes a permit for the work of a request, or waits for one. */
  function enter(request: FastifyRequest, reply: FastifyReply, kind: Exclude<Kind, 'uploads'>, done: Done): void {
    const { clientKey: client } = request;
    const weight = weightOf(request, request.countedBody?.bytes ?? 0);
    // The response to a WebSocket handshake is never closed: the connection is watched instead.
    if (request.ws) request.raw.socket.once('close', () => closed(request));
    const leave = (kind === 'reserved' ? reserved.queue : queue).enter(client, weight, {
      admitted: (permit) => {
        request.leaveQueue = undefined;
        // Checked on admission and not before: otherwise all requests of a client that wait together would pass.
        const problem = kind === 'reserved' ? undefined : unreadResponses.refusalFor(client);
        if (problem) {
          permit.release();
          return done(refuse('responses', problem, client, unreadResponses));
        }
        const behind = request.ws || routeOf(request) === 'stream' ? unreadReaders.refusalFor(client) : undefined;
        if (behind) {
          permit.release();
          return done(refuse('readers', behind, client, unreadReaders));
        }
        if (kind !== 'waits' && !request.ws) count(request, reply, kind);
        request.permit = permit;
        done();
      },
      refused: (reason) => {
        request.leaveQueue = undefined;
        done(refuseWork(kind === 'reserved' ? kind : 'requests', reason, client));
      },
    });
    // A request that was admitted at once may wait elsewhere by now.
    if (leave) request.leaveQueue = leave;
  }

  /** Counts a long poll, event stream or upload against its shared limit. @returns whether there is room for it */
  function share(request: FastifyRequest, reply: FastifyReply, kind: 'waits' | 'uploads', done: Done): boolean {
    const { clientKey: client } = request;
    const reason = shared[kind].acquire(client);
    if (reason) {
      done(refuse(kind, reason, client, shared[kind]));
      return false;
    }
    const problem = kind === 'waits' ? problemOf(() => request.holdSocket(reply.raw)) : undefined;
    if (problem) {
      shared[kind].release(client);
      done(problem);
      return false;
    }
    reply.raw.once('close', () => shared[kind].release(client));
    count(request, reply, kind);
    return true;
  }

  function count(request: FastifyRequest, reply: FastifyReply, kind: Kind): void {
    // A client that has disconnected is not told of again.
    if (reply.raw.destroyed) return;
    request.admittedAs = kind;
    counts[kind] += 1;
  }

  function reportOutcome(
    { clientKey: client }: FastifyRequest,
    { headersSent, statusCode }: ServerResponse,
    holder: string,
  ): void {
    // Without a response it is unknown whether the session or member is alive.
    if (!headersSent) return;
    if (statusCode < 300) reserved.found(client, holder);
    else if (statusCode >= 500 || statusCode === 429) reserved.undecided(client, holder);
    else reserved.notFound(holder);
  }

  /** Keeps the member of a consume call alive while the call waits for a permit, or after it was refused. */
  function keepMember(request: FastifyRequest, holder: string): void {
    const { clientKey: client } = request;
    if (!reserved.mayUse(client, holder)) return;
    const { group, member } = request.params as { group: string; member: string };
    reserved.keep(client, holder, () => options.keepMember(request, group, member)).catch(() => undefined);
  }

  function refuseWork(kind: 'requests' | 'reserved', reason: WaitQueueReason, client: string): ServiceError {
    const { used, waiting } = kind === 'reserved' ? reserved.queue : queue;
    const state =
      reason === 'time'
        ? `this one waited for a permit for ${limits.requestWaitMsMax} ms`
        : `all permits are taken (weight ${used}), and ${waiting} requests wait`;
    return refuse(kind, reason, client, state);
  }

  function keepAlive<T>(client: string, holder: string, work: () => Promise<T>): Promise<T> {
    return reserved.mayUse(client, holder)
      ? reserved.keep(client, holder, work)
      : runWithPermit(queue, client, 1, work);
  }

  app.decorate('admission', {
    reserved,
    enter: (client, { weight, requests }, admitted) =>
      queue.enter(client, weight, { admitted, refused: () => undefined }, { isPatient: true, requests }),
    keepSession: (request, handle, work) => keepAlive(request.clientKey, sessionHolder(handle, request), work),
    commit: (request, { group, memberId, secret }, work) =>
      keepAlive(request.clientKey, memberHolder(group, memberId, secret, request), work),
    watches: {
      acquire: (client) => {
        const account = accounts.of(client);
        account?.hold('watches');
        const reason = shared.watches.acquire(client);
        if (reason) {
          account?.release('watches');
          throw refuse('watches', reason, client, shared.watches);
        }
        return () => {
          account?.release('watches');
          shared.watches.release(client);
        };
      },
    },
  });
}

export const admission = fp(installAdmission, {
  name: 'admission',
  fastify: '5.x',
  dependencies: [
    'route-config',
    'body-type',
    'client',
    'pipelining',
    'access',
    'connection-limit',
    'unread-responses',
    'unread-readers',
    'body-bytes-limit',
  ],
});

type Done = (error?: Error) => void;

/** What a check throws. */
function problemOf(check: () => void): Error | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    return error as Error;
  }
}

/** A request that keeps a session or member alive counts, but is never refused for the rate of its identity. */
function useRate({ account }: FastifyRequest, isReserved: boolean): void {
  if (isReserved) account?.useRequests(1);
  else account?.takeRequest();
}

/** The session or member that decides whether a request may use the reserved capacity; undefined if there is none. */
function holderOf(request: FastifyRequest, route: RouteKind): string | undefined {
  const { handle, group = '', member = '' } = request.params as Record<string, string>;
  switch (route) {
    case 'renewal': {
      const given = handle === undefined || handle === 'self' ? request.headers['weir-session'] : handle;
      return typeof given === 'string' ? sessionHolder(given, request) : undefined;
    }
    case 'heartbeat':
    case 'consume':
      return memberHolder(group, member, request.headers['weir-member'], request);
    case 'commit': {
      const { memberId, offsets } = (request.body ?? {}) as { memberId?: unknown; offsets?: unknown };
      if (!Array.isArray(offsets) || offsets.length > smallCommitMax) return undefined;
      return memberHolder(group, String(memberId ?? ''), request.headers['weir-member'], request);
    }
    default:
      return undefined;
  }
}

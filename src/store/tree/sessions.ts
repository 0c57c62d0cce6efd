// Sessions: typed calls of lua/sessions, and the handle of a session, which is its id and its secret.

import { createHash, randomBytes, randomInt } from 'node:crypto';
import type { Actor } from '../../core/actor.ts';
import { required } from '../../core/required.ts';
import { ServiceError } from '../../core/service-error.ts';
import { type IdempotencyKey, idempotencyArguments } from '../idempotency.ts';
import type { CoordinationKeys } from '../keys.ts';
import type { PlaceByTime } from '../place-by-time.ts';
import type { StoreConnection } from '../redis/connection.ts';
import { integer, text } from '../scripts.ts';
import { openResponse, sealResponse } from '../sealed-response.ts';

/** A claim to use a session. */
export interface SessionCredential extends Pick<Actor, 'actsAs'> {
  readonly id: string;
  /** Of the secret in its handle; or `anySecret`. */
  readonly secretHash: string;
  /** The connection epoch of a connection that acts for the session: once a newer one is attached, the claim is refused. */
  readonly epoch?: number;
}

/**
 * By how much a connection epoch rises at most. The steps are random, so that an epoch that the store has lost in a failover is not
 * given again to another connection.
 */
const epochStepMax = 2 ** 20;

/** A `secretHash` that needs no secret: for the broker's own sessions, and for who ends a session by its public id. */
export const anySecret = '';

/** The claim of the broker itself. */
export function brokerCredential(id: string): SessionCredential {
  return { id, secretHash: anySecret, actsAs: undefined };
}

export interface SessionLease {
  id: string;
  ttlMs: number;
  /** By Redis' clock, ms since 1970. */
  expiresAt: number;
}

interface DescribedSession extends SessionLease {
  /** By Redis' clock, ms since 1970. */
  createdAt: number;
  /** The name that its creator gave it. */
  label?: string;
}

interface SessionsPage {
  sessions: (DescribedSession & {
    /** To which it belongs, if it was made under access control. */
    identity?: string;
    /** How many it has. */
    ephemerals: number;
  })[];
  /** After which the next page begins, if there is one. */
  next: PlaceByTime | undefined;
}

export interface SessionAttachment extends SessionLease {
  /** Identifies the connection to the session's writes with a sequence; larger than those of earlier connections. */
  epoch: number;
  /** The sequence of the last write that was carried out; 0 before the first. */
  lastSeq: number;
  /** The newest zxid: all that earlier connections wrote is at or below it. */
  zxid: number;
}

export interface ReapResult {
  ended: { id: string; ephemerals: number; lateMs: number }[];
  /** Whether more sessions have expired. */
  more: boolean;
  /** Whether there was an outage, so that all deadlines were extended instead. */
  extended: boolean;
  /** Whether a timer of a group is due (Groups.claimDueTimers). */
  timersDue: boolean;
}

export class Sessions {
  readonly #connection: StoreConnection;
  readonly #keys: CoordinationKeys;
  readonly #bounds: { minTtlMs: number; maxTtlMs: number };
  readonly #eventRetention: number;
  readonly #responseLimits: string;
  readonly #sessionsMax: number;

  constructor(
    connection: StoreConnection,
    keys: CoordinationKeys,
    options: {
      minTtlMs: number;
      maxTtlMs: number;
      eventRetention: number;
      responseLimits: string;
      sessionsMax: number;
    },
  ) {
    this.#connection = connection;
    this.#keys = keys;
    this.#bounds = options;
    this.#eventRetention = options.eventRetention;
    this.#responseLimits = options.responseLimits;
    this.#sessionsMax = options.sessionsMax;
  }

  /** Creates the session of a broker, for which there is no handle; also at the memory limit of Redis. */
  async createForBroker(ttlMs: number): Promise<{ id: string; ttlMs: number }> {
    const id = randomBytes(8).toString('hex');
    const clampedTtlMs = this.#clamp(ttlMs);
    await this.#connection.call('sessions/create-for-broker', this.#keys.root, [id, clampedTtlMs]);
    return { id, ttlMs: clampedTtlMs };
  }

  /**
   * Creates a session; the time to live is clamped to the configured bounds, as ZooKeeper negotiates it.
   * @param options `label` = a name for operators to read
   * @returns the lease and the handle `<id>.<secret>`, which is not stored in plain text and cannot be read again
   * @throws ServiceError IDEMPOTENCY_KEY_REUSED, TOO_MANY_REQUESTS
   */
  async create(
    ttlMs: number,
    actor: Actor,
    idempotency?: IdempotencyKey,
    options: { label?: string | undefined } = {},
  ): Promise<SessionLease & { handle: string; replayed: boolean }> {
    const clampedTtlMs = this.#clamp(ttlMs);
    const id = randomBytes(8).toString('hex');
    const secret = randomBytes(16).toString('base64url');
    const handle = `${id}.${secret}`;
    const reply = await this.#connection.call('sessions/create', this.#keys.root, [
      id,
      hashSecret(secret),
      clampedTtlMs,
      // A repeat with the same key must get the same handle, and no one without the key may be able to read it.
      idempotency ? sealResponse(idempotency.key, handle) : '',
      ...idempotencyArguments(idempotency),
      this.#responseLimits,
      this.#sessionsMax,
      options.label ?? '',
      actor.identity ?? '',
    ]);
    const replayed = integer(reply[0]) === 1;
    return {
      replayed,
      id: text(reply[1]),
      handle: replayed
        ? openResponse(required(idempotency, 'idempotency key of a repeat').key, text(reply[2]))
        : handle,
      ttlMs: integer(reply[3]),
      expiresAt: integer(reply[4]),
    };
  }

  /**
   * Renews a session for its full time.
   * @param report what a broker reports of itself
   * @throws ServiceError SESSION_EXPIRED, FORBIDDEN
   */
  async renew(session: SessionCredential, report?: string): Promise<SessionLease> {
    const args = [...claimArguments(session), ...(report === undefined ? [] : [report])];
    const reply = await this.#connection.call('sessions/renew', this.#keys.root, args);
    return { id: session.id, ttlMs: integer(reply[0]), expiresAt: integer(reply[1]) };
  }

  /**
   * Makes a connection the only one that writes for a session with a sequence (guarantee S5), and renews the session. What earlier
   * connections sent and the store has not carried out yet is refused from now on.
   * @throws ServiceError SESSION_EXPIRED, FORBIDDEN
   */
  async attach(session: SessionCredential): Promise<SessionAttachment> {
    const args = [...claimArguments(session), randomInt(1, epochStepMax)];
    const [ttlMs, expiresAt, epoch, lastSeq, zxid] = await this.#connection.call(
      'sessions/attach',
      this.#keys.root,
      args,
    );
    return {
      id: session.id,
      ttlMs: integer(ttlMs),
      expiresAt: integer(expiresAt),
      epoch: integer(epoch),
      lastSeq: integer(lastSeq),
      zxid: integer(zxid),
    };
  }

  /** Describes a session without renewing it. @throws ServiceError SESSION_EXPIRED, FORBIDDEN */
  async get(session: SessionCredential): Promise<DescribedSession & { ephemerals: string[] }> {
    const reply = await this.#connection.call('sessions/get', this.#keys.root, claimArguments(session));
    const [ttlMs, expiresAt, createdAt, label, ...paths] = reply;
    return {
      id: session.id,
      ttlMs: integer(ttlMs),
      expiresAt: integer(expiresAt),
      createdAt: integer(createdAt),
      ...(text(label) !== '' && { label: text(label) }),
      ephemerals: paths.map((path) => text(path)).sort(),
    };
  }

  /**
   * A page of the sessions, with those of brokers and of group members; those that expire first at first. One that is renewed
   * between two pages may be in both.
   * @param after the `next` of the page before; undefined for the first one
   */
  async list(after: PlaceByTime | undefined, limit: number): Promise<SessionsPage> {
    const [more, ...rest] = await this.#connection.call('sessions/list', this.#keys.root, [
      after?.time ?? '',
      after?.id ?? '',
      limit,
    ]);
    const sessions: SessionsPage['sessions'] = [];
    for (let i = 0; i + 6 < rest.length; i += 7) {
      const [label, identity] = [text(rest[i + 5]), text(rest[i + 6])];
      sessions.push({
        id: text(rest[i]),
        ttlMs: integer(rest[i + 2]),
        expiresAt: integer(rest[i + 1]),
        createdAt: integer(rest[i + 3]),
        ...(label !== '' && { label }),
        ...(identity !== '' && { identity }),
        ephemerals: integer(rest[i + 4]),
      });
    }
    const last = sessions.at(-1);
    return { sessions, next: text(more) === '1' && last ? { time: last.expiresAt, id: last.id } : undefined };
  }

  /**
   * Ends a session with all its ephemeral nodes, in one transaction.
   * @throws ServiceError SESSION_EXPIRED, FORBIDDEN, SESSION_MOVED, IDEMPOTENCY_KEY_REUSED, TOO_MANY_REQUESTS
   */
  async end(
    session: SessionCredential,
    idempotency?: IdempotencyKey,
  ): Promise<{ zxid: number; ephemerals: number; replayed: boolean }> {
    const reply = await this.#connection.call('sessions/end', this.#keys.root, [
      ...claimArguments(session),
      session.epoch ?? '',
      this.#eventRetention,
      ...idempotencyArguments(idempotency),
      this.#responseLimits,
    ]);
    return { replayed: integer(reply[0]) === 1, zxid: integer(reply[1]), ephemerals: integer(reply[2]) };
  }

  /** Ends some expired sessions. @param outageMs if no broker has called this for so long, that was an outage */
  async reap(outageMs: number): Promise<ReapResult> {
    const args = [outageMs, this.#eventRetention];
    const [forgiven, more, timersDue, ...rest] = await this.#connection.call('sessions/reap', this.#keys.root, args);
    const ended: ReapResult['ended'] = [];
    for (let i = 0; i < rest.length; i += 3) {
      ended.push({ id: text(rest[i]), ephemerals: integer(rest[i + 1]), lateMs: integer(rest[i + 2]) });
    }
    return {
      ended,
      more: text(more) === '1',
      extended: text(forgiven) === '1',
      timersDue: text(timersDue) === '1',
    };
  }

  /** The number of sessions, with those of brokers and of group members. */
  async count(): Promise<number> {
    return this.#connection.command(false, (client) => client.zcard(this.#keys.sessions), this.#keys.sessions);
  }

  #clamp(ttlMs: number): number {
    return Math.min(Math.max(ttlMs, this.#bounds.minTtlMs), this.#bounds.maxTtlMs);
  }
}

/** The arguments of a script about one session: its id, the hash of its secret, and whose sessions the caller may use. */
function claimArguments({ id, secretHash, actsAs }: SessionCredential): [string, string, string] {
  return [id, secretHash, actsAs ?? ''];
}

/**
 * Reads a handle `<id>.<secret>`.
 * @param actor who sends it
 * @throws ServiceError BAD_REQUEST for no handle or several; SESSION_EXPIRED for what cannot be a handle. The text never shows the
 *   handle, as most of it may be a secret
 */
export function parseHandle(handle: string, actor: Pick<Actor, 'actsAs'>): SessionCredential {
  const match = /^([0-9a-f]{16})\.([A-Za-z0-9_-]{22})$/.exec(handle);
  if (match) {
    const [, id = '', secret = ''] = match;
    return {
      id,
      secretHash: hashSecret(secret),
      get actsAs() {
        return actor.actsAs;
      },
    };
  }
  const is = '<id>.<secret>, the field session of the response to POST /v1/sessions';
  if (handle.trim() === '') throw new ServiceError('BAD_REQUEST', `The session handle is empty; it must be ${is}.`);
  if (handle.includes(',')) {
    throw new ServiceError(
      'BAD_REQUEST',
      `There are several session handles, with a comma between them; send one, ${is}.`,
    );
  }
  if (isSessionId(handle)) {
    throw new ServiceError(
      'SESSION_EXPIRED',
      `${handle} is the public id of a session, which everybody can see; its handle is ${is}.`,
    );
  }
  throw new ServiceError(
    'SESSION_EXPIRED',
    `This is not a session handle: it has ${handle.length} characters, and a handle has ${handleLength}. It must be ${is}; create a ` +
      'new session if the handle is lost.',
  );
}

const handleLength = 16 + 1 + 22;

/** Whether a text can be the public id of a session. */
export function isSessionId(text: string): boolean {
  return /^[0-9a-f]{16}$/.test(text);
}

function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

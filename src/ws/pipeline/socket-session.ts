// The session of a pipelined socket: created or attached by a request, renewed while the peer is active (guarantee S4), and named by
// the writes of the socket.
import { createHash } from 'node:crypto';
import { sessionTtlDefaultMs } from '../../../schemas/sessions.ts';
import type { SocketRequest } from '../../../schemas/socket.ts';
import { ownKey } from '../../access/own-key.ts';
import type { Broker } from '../../broker/broker.ts';
import { SessionRenewer } from '../../broker/sessions/session-renewer.ts';
import type { Actor } from '../../core/actor.ts';
import { requestedMs } from '../../core/requested-duration.ts';
import { hasCode, ServiceError } from '../../core/service-error.ts';
import type { IdempotencyKey } from '../../store/idempotency.ts';
import { requireSecretKey } from '../../store/sealed-response.ts';
import type { WriteSequence } from '../../store/tree/namespace.ts';
import { parseHandle, type SessionAttachment, type SessionCredential } from '../../store/tree/sessions.ts';

export type SessionBroker = Pick<Broker, 'eventTail'> & {
  config: Pick<Broker['config'], 'sessionMinTtlMs'>;
  store: Pick<Broker['store'], 'sessions'>;
};

/** What the session needs of its socket. */
interface SessionPeer {
  ping(): void;
  /** Whether the server itself does not read what the peer sends, so that it cannot show that it is alive. */
  isUnread(): boolean;
  /** Runs a renewal in the capacity that is reserved for these. */
  keepSession<T>(handle: string, work: () => Promise<T>): Promise<T>;
  expired(id: string): void;
  isClosed(): boolean;
}

/** The result of a request on the session. */
interface SessionResult {
  /** What `ok` holds. */
  ok: object;
  /** The newest transaction that it reflects; 0 = it reflects none. */
  zxid: number;
  /** The session was created by an earlier request with the same key. */
  replayed?: boolean;
}

interface Attached {
  /** Its epoch is refused once another connection has attached the session. */
  credential: SessionCredential & { epoch: number };
  handle: string;
  renewer: SessionRenewer;
  /** Whether the store has said that it lives no more, or that another connection acts for it. */
  isLost: boolean;
}

export class SocketSession {
  readonly #broker: SessionBroker;
  readonly #peer: SessionPeer;
  readonly #actor: Actor;
  readonly #tailLagMsMax: number;
  #attached: Attached | undefined;

  constructor(broker: SessionBroker, peer: SessionPeer, actor: Actor, tailLagMsMax: number) {
    this.#broker = broker;
    this.#peer = peer;
    this.#actor = actor;
    this.#tailLagMsMax = tailLagMsMax;
  }

  /** Owns the ephemeral nodes of writes that name no session. */
  get credential(): SessionCredential | undefined {
    return this.#attached?.credential;
  }

  /** The place of a write among those of the session. @throws ServiceError BAD_REQUEST if none is attached */
  sequenceOf(seq: number): WriteSequence {
    const attached = this.#attached;
    if (attached) return { sessionId: attached.credential.id, epoch: attached.credential.epoch, seq };
    throw new ServiceError(
      'BAD_REQUEST',
      `seq ${seq} counts the writes of a session, and none is attached; send {"op":"session"} before, or leave out seq.`,
    );
  }

  /**
   * @throws ServiceError BAD_REQUEST, SESSION_EXPIRED, FORBIDDEN, SESSION_MOVED, IDEMPOTENCY_KEY_REUSED, TOO_MANY_REQUESTS,
   *   STORE_UNAVAILABLE, STORE_FULL
   */
  carryOut(request: SocketRequest<'session'>): Promise<SessionResult> {
    const { ttl, label, idempotencyKey, attach, zxid, renew, end } = request;
    const isCreation = ttl !== undefined || label !== undefined || idempotencyKey !== undefined;
    const given = [attach, renew, end].filter((field) => field !== undefined).length + (isCreation ? 1 : 0);
    if (zxid !== undefined && attach === undefined) {
      throw new ServiceError('BAD_REQUEST', 'session: zxid was sent without attach. Send both, or leave out zxid.');
    }
    if (given > 1) {
      throw new ServiceError(
        'BAD_REQUEST',
        'session takes the fields of a creation (ttl, label, idempotencyKey), or attach, perhaps with zxid, or renew, or end; ' +
          'fields of several were sent. Send those of one.',
      );
    }
    if (renew) return this.#renew();
    if (end) return this.#end();
    const { credential, isLost } = this.#attached ?? {};
    if (credential && !isLost) {
      throw new ServiceError(
        'BAD_REQUEST',
        `Session ${credential.id} is attached to this socket, which has one at a time. End it, or open another socket.`,
      );
    }
    return attach === undefined ? this.#create(request) : this.#attach(attach, zxid);
  }

  noteActivity(): void {
    this.#attached?.renewer.noteActivity();
  }

  /** To be called when a write was refused because another connection acts for the session: this one renews it no more. */
  moved(): void {
    this.#lose();
  }

  stop(): void {
    this.#attached?.renewer.stop();
  }

  /** A repeat with the same key attaches the session that the first request created: what was sent behind both takes effect once. */
  async #create({ ttl, label, idempotencyKey }: SocketRequest<'session'>): Promise<SessionResult> {
    const ttlMs = ttl ? requestedMs('ttl', ttl, this.#broker.config.sessionMinTtlMs) : sessionTtlDefaultMs;
    const key = idempotencyKey === undefined ? undefined : creationKey(this.#actor, idempotencyKey, { ttlMs, label });
    const created = await this.#broker.store.sessions.create(ttlMs, this.#actor, key, { label });
    const { handle, replayed } = created;
    try {
      const { id, ttlMs: granted, expiresAt, lastSeq, zxid } = await this.#begin(handle);
      return { ok: { id, session: handle, ttlMs: granted, expiresAt, lastSeq }, zxid, replayed };
    } catch (error) {
      if (!replayed || !hasCode(error, 'SESSION_EXPIRED')) throw error;
      const detail = `Session ${created.id}, which the first request with this idempotencyKey created, has ended. Create another one with a new key.`;
      throw new ServiceError('SESSION_EXPIRED', detail, { session: created.id });
    }
  }

  async #attach(handle: string, seen = 0): Promise<SessionResult> {
    const { id, ttlMs, expiresAt, lastSeq, zxid } = await this.#begin(handle);
    if (!(await this.#broker.eventTail.received(seen, this.#tailLagMsMax))) {
      throw new ServiceError(
        'STORE_UNAVAILABLE',
        `This broker has not received transaction ${seen} within ${this.#tailLagMsMax} ms. Connect again, perhaps to another broker.`,
      );
    }
    return { ok: { id, ttlMs, expiresAt, lastSeq }, zxid };
  }

  async #begin(handle: string): Promise<SessionAttachment> {
    const { sessions } = this.#broker.store;
    const credential = parseHandle(handle, this.#actor);
    const peer = { probe: () => this.#peer.ping(), isAlive: () => this.#peer.isUnread() };
    const expired = () => {
      this.#lose();
      this.#peer.expired(credential.id);
    };
    const renewer = new SessionRenewer(sessions, credential, peer, expired);
    const attachment = await this.#peer.keepSession(handle, async () => {
      const done = await sessions.attach(credential);
      await renewer.start();
      return done;
    });
    // Not a copy: what a credential acts as follows the policy.
    const attached = Object.assign(credential, { epoch: attachment.epoch });
    this.#attached = { credential: attached, handle, renewer, isLost: false };
    if (this.#peer.isClosed()) renewer.stop();
    return attachment;
  }

  /** Beside the renewals that happen by themselves: its response is proof to the client that the session lives. */
  async #renew(): Promise<SessionResult> {
    const attached = this.#attached;
    if (!attached) {
      throw new ServiceError('BAD_REQUEST', 'There is no session to renew: none is attached to this socket.');
    }
    if (attached.isLost) {
      throw new ServiceError('SESSION_EXPIRED', `Session ${attached.credential.id} lives no more for this socket.`);
    }
    const { credential, handle } = attached;
    return { ok: await this.#peer.keepSession(handle, () => this.#broker.store.sessions.renew(credential)), zxid: 0 };
  }

  async #end(): Promise<SessionResult> {
    const attached = this.#attached;
    if (!attached) {
      throw new ServiceError('BAD_REQUEST', 'There is no session to end: none is attached to this socket.');
    }
    const { zxid } = await this.#broker.store.sessions.end(attached.credential);
    attached.renewer.stop();
    this.#attached = undefined;
    return { ok: { ended: attached.credential.id }, zxid };
  }

  /** The session stays attached, so that writes that name it are refused by the store. */
  #lose(): void {
    if (!this.#attached) return;
    this.#attached.renewer.stop();
    this.#attached.isLost = true;
  }
}

/** @throws ServiceError BAD_REQUEST if the key is too short to keep a handle secret */
function creationKey(
  { identity }: Actor,
  key: string,
  request: { ttlMs: number; label: string | undefined },
): IdempotencyKey {
  requireSecretKey('session.idempotencyKey', key);
  const fingerprint = createHash('sha256')
    .update(JSON.stringify(['session of a socket', request]))
    .digest('base64url');
  return { key: ownKey(identity, key), fingerprint };
}

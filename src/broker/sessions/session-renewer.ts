// Renews one session for a client that holds a connection open, as ZooKeeper's client does with its pings, but only while the
// peer shows that it is alive. It never ends a session: after the last renewal the session has its full time to live.
import { hasCode } from '../../core/service-error.ts';
import type { SessionCredential, SessionLease, Sessions } from '../../store/tree/sessions.ts';

/** A session is renewed at a third of its time to live, but at least this often, to notice soon when it is ended elsewhere. */
const everyMsMax = 10_000;
/** How soon a failed renewal is tried again. */
const retryMs = 500;

/** How a peer shows that it is alive. */
interface PeerLiveness {
  /** Asks the peer for activity, which the owner reports by noteActivity(); absent: `isAlive` decides. */
  probe?(): void;
  /** Whether the peer counts as alive now, though it sends nothing. */
  isAlive?(): boolean;
}

export class SessionRenewer {
  readonly #sessions: Sessions;
  readonly #session: SessionCredential;
  readonly #peer: PeerLiveness;
  readonly #onExpired: () => void;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  #ttlMs = 0;
  /** A renewal is due, and waits for activity of the peer. */
  #isDue = false;

  /** @param onExpired called at most once, when the session has ended, or the client may not use it any more */
  constructor(sessions: Sessions, session: SessionCredential, peer: PeerLiveness, onExpired: () => void) {
    this.#sessions = sessions;
    this.#session = session;
    this.#peer = peer;
    this.#onExpired = onExpired;
  }

  get id(): string {
    return this.#session.id;
  }

  /** Renews the session now, and from now on. @throws ServiceError SESSION_EXPIRED, FORBIDDEN, STORE_UNAVAILABLE: it is not renewed then */
  async start(): Promise<SessionLease> {
    const lease = await this.#sessions.renew(this.#session);
    this.#ttlMs = lease.ttlMs;
    this.#schedule(lease.ttlMs / 3);
    return lease;
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /** To be called when the peer has shown that it is alive. */
  noteActivity(): void {
    if (!this.#isDue || this.#stopped) return;
    this.#isDue = false;
    clearTimeout(this.#timer);
    void this.#renew();
  }

  #schedule(ms: number): void {
    if (this.#stopped) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#tick(), Math.min(ms, everyMsMax));
  }

  #tick(): void {
    if (this.#peer.isAlive?.()) {
      void this.#renew();
      return;
    }
    // Without activity the session may expire; a peer that is active late is renewed if its session still exists.
    this.#isDue = this.#peer.probe !== undefined;
    this.#peer.probe?.();
    this.#schedule(this.#ttlMs / 3);
  }

  async #renew(): Promise<void> {
    try {
      await this.#sessions.renew(this.#session);
      this.#schedule(this.#ttlMs / 3);
    } catch (error) {
      if (this.#stopped) return;
      if (hasCode(error, 'SESSION_EXPIRED') || hasCode(error, 'FORBIDDEN')) {
        this.stop();
        this.#onExpired();
      } else {
        // The peer was active, and an outage of the store does not count against the session (guarantee N6).
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => void this.#renew(), Math.min(this.#ttlMs / 3, retryMs));
      }
    }
  }
}

// Keeps one session alive for a client that holds a connection open, as ZooKeeper's client does with its pings: as long as the
// peer shows that it lives. It ends no session: who lets go of the keeper leaves the session its full time.
import { hasCode } from '../../core/service-error.ts';
import type { SessionCredential, SessionLease, Sessions } from '../../store/tree/sessions.ts';

/** Renewals come at a third of the session's time, but no further apart: so an end from elsewhere is noticed soon. */
const everyMsMax = 10_000;
/** How soon a renewal is tried again that the store could not answer. */
const retryMs = 500;

/** How a peer shows that it lives. */
export interface PeerLiveness {
  /** Asks for a sign of life, which is told to the keeper by `heard`; absent: `isAlive` says it. */
  probe?(): void;
  /** Whether the peer counts as alive now, though it says nothing. */
  isAlive?(): boolean;
}

export class SessionRenewer {
  readonly #sessions: Sessions;
  readonly #session: SessionCredential;
  readonly #life: PeerLiveness;
  readonly #onExpired: () => void;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  #ttlMs = 0;
  /** A renewal is due, and waits for a sign of life. */
  #isDue = false;

  /** @param onExpired called once, if the session ends while it is kept */
  constructor(sessions: Sessions, session: SessionCredential, life: PeerLiveness, onExpired: () => void) {
    this.#sessions = sessions;
    this.#session = session;
    this.#life = life;
    this.#onExpired = onExpired;
  }

  get id(): string {
    return this.#session.id;
  }

  /** Renews the session now, and from now on. @throws ServiceError SESSION_EXPIRED, STORE_UNAVAILABLE: nothing is kept */
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

  /** The peer has given a sign of life. */
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
    if (this.#life.isAlive?.()) {
      void this.#renew();
      return;
    }
    // Without a sign the session is left to its time; whoever shows up late is renewed if it is still there.
    this.#isDue = this.#life.probe !== undefined;
    this.#life.probe?.();
    this.#schedule(this.#ttlMs / 3);
  }

  async #renew(): Promise<void> {
    try {
      await this.#sessions.renew(this.#session);
      this.#schedule(this.#ttlMs / 3);
    } catch (error) {
      if (this.#stopped) return;
      if (hasCode(error, 'SESSION_EXPIRED')) {
        this.stop();
        this.#onExpired();
      } else {
        // Time in which the store is away does not count against the session (guarantee N6). The sign of life was given.
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => void this.#renew(), Math.min(this.#ttlMs / 3, retryMs));
      }
    }
  }
}

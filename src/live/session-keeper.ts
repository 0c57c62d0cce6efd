// Keeps one session alive for a client that holds a connection open, as ZooKeeper's client does with its pings. It ends
// no session: who lets go of the keeper leaves the session its full time.
import { hasCode } from '../core/service-error.ts';
import type { SessionCredential, SessionLease, Sessions } from '../store/sessions.ts';

/** Renewals come at a third of the session's time, but no further apart: so an end from elsewhere is noticed soon. */
const everyMsMax = 10_000;
/** How soon a renewal is tried again that the store could not answer. */
const retryMs = 500;

export class SessionKeeper {
  readonly #sessions: Sessions;
  readonly #session: SessionCredential;
  readonly #onExpired: () => void;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  /** @param onExpired called once, if the session ends while it is kept */
  constructor(sessions: Sessions, session: SessionCredential, onExpired: () => void) {
    this.#sessions = sessions;
    this.#session = session;
    this.#onExpired = onExpired;
  }

  get id(): string {
    return this.#session.id;
  }

  /** Renews the session now, and from now on. @throws ServiceError SESSION_EXPIRED, STORE_UNAVAILABLE: nothing is kept */
  async start(): Promise<SessionLease> {
    const lease = await this.#sessions.renew(this.#session);
    this.#renewLater(lease.ttlMs);
    return lease;
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #renewLater(ttlMs: number): void {
    if (this.#stopped) return;
    this.#timer = setTimeout(() => void this.#renew(ttlMs), Math.min(ttlMs / 3, everyMsMax));
  }

  async #renew(ttlMs: number): Promise<void> {
    try {
      await this.#sessions.renew(this.#session);
      this.#renewLater(ttlMs);
    } catch (error) {
      if (this.#stopped) return;
      if (hasCode(error, 'SESSION_EXPIRED')) {
        this.stop();
        this.#onExpired();
      } else {
        // Time in which the store is away does not count against the session (guarantee N6).
        this.#timer = setTimeout(() => void this.#renew(ttlMs), Math.min(ttlMs / 3, retryMs));
      }
    }
  }
}

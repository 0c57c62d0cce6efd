// What a client knows of a session: whether it is in contact with it, and until when the session certainly lives.
import { WeirError } from './errors.ts';
import type { ClientEvent } from './options.ts';
import { now } from './time.ts';

/**
 * connected: it is renewed in time. suspended: there is no connection, or the last renewal is too long ago; the session goes on until
 * its time to live is over.
 * lost: it has ended, with all its ephemeral nodes.
 */
export type SessionStateName = 'connected' | 'suspended' | 'lost';

/** The share of the time to live that is left when `signal` is aborted: time to stop before the session can have ended. */
const marginShare = 0.2;

/**
 * A page that was frozen, or hidden so that its timers were late, is told so before they run, and before anything else does what only a
 * holder may do.
 */
const { document: page } = globalThis as {
  document?: Record<'addEventListener' | 'removeEventListener', (event: string, listener: () => void) => void>;
};
const wakeUps = ['resume', 'visibilitychange'];

/** What the server says of a session that it has created. */
export interface GrantedSession {
  id: string;
  session: string;
  ttlMs: number;
}

export class SessionState {
  readonly id: string;
  readonly handle: string;
  readonly ttlMs: number;
  /** The `seq` of its next write. */
  nextSeq = 1;
  readonly #onEvent: (event: ClientEvent) => void;
  readonly #listeners = new Set<(state: SessionStateName) => void>();
  readonly #renewals = new Set<(deadline: number) => void>();
  #state: SessionStateName = 'connected';
  #deadline: number;
  #controller = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param sentAt when the request that created it was sent: its time to live began later than that */
  constructor(granted: GrantedSession, sentAt: number, onEvent: (event: ClientEvent) => void) {
    this.id = granted.id;
    this.handle = granted.session;
    this.ttlMs = granted.ttlMs;
    this.#onEvent = onEvent;
    this.#deadline = sentAt + this.ttlMs;
    onEvent({ type: 'session', id: this.id, state: 'connected' });
    for (const event of wakeUps) page?.addEventListener(event, this.checkDeadline);
    this.checkDeadline();
  }

  get state(): SessionStateName {
    return this.#state;
  }

  get deadline(): number {
    return this.#deadline;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Calls `listener` at each change of the state. @returns ends that */
  onState(listener: (state: SessionStateName) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Calls `listener` with the deadline after each renewal. @returns ends that */
  onRenewal(listener: (deadline: number) => void): () => void {
    this.#renewals.add(listener);
    return () => this.#renewals.delete(listener);
  }

  /** A request that renews the session, sent at `sentAt`, has succeeded. */
  renewed(sentAt: number): void {
    if (this.#state === 'lost') return;
    this.#deadline = Math.max(this.#deadline, sentAt + this.ttlMs);
    // The response came too late to be of use: the next renewal may be quicker.
    if (this.#leftMs() <= 0) return;
    // What was stopped stays stopped: whoever asks for the signal from now on gets one for the time that begins.
    if (this.#controller.signal.aborted) this.#controller = new AbortController();
    this.#change('connected');
    for (const listener of [...this.#renewals]) listener(this.#deadline);
    this.checkDeadline();
  }

  suspended(): void {
    if (this.#state === 'connected') this.#change('suspended');
  }

  /** The session has ended, or nobody holds its handle any more. */
  lose(reason: WeirError): void {
    if (this.#state === 'lost') return;
    clearTimeout(this.#timer);
    for (const event of wakeUps) page?.removeEventListener(event, this.checkDeadline);
    this.#controller.abort(reason);
    this.#change('lost');
    this.#listeners.clear();
  }

  #change(state: SessionStateName): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#onEvent({ type: 'session', id: this.id, state });
    for (const listener of [...this.#listeners]) listener(state);
  }

  /** How long `signal` stays as it is. */
  #leftMs(): number {
    return this.#deadline - this.ttlMs * marginShare - now();
  }

  /** Aborts the signal when its time has come: at once, if it has passed already. Whatever runs may call it, as timers may be late. */
  readonly checkDeadline = (): void => {
    clearTimeout(this.#timer);
    if (this.#controller.signal.aborted) return;
    const leftMs = this.#leftMs();
    if (leftMs > 0) {
      this.#timer = setTimeout(this.checkDeadline, leftMs);
      return;
    }
    const detail = `Session ${this.id} was not renewed in time: it may end before the next renewal.`;
    this.suspended();
    this.#controller.abort(new WeirError({ code: 'SESSION_EXPIRED', detail, status: 410 }));
  };
}

// Capacity reserved for requests that keep sessions and members alive: renewals, heartbeats and small commits never wait behind other
// work. Clients share it fairly. A request for a session or member that is not known to be alive uses up an allowance of its client. A
// client without allowance may use the capacity only for sessions and members that are known to be alive.
import { createHash } from 'node:crypto';
import type { Actor } from '../core/actor.ts';
import { recentlyUsed } from '../core/recently-used.ts';
import { hasCode } from '../core/service-error.ts';
import { TokenBucket } from '../core/token-bucket.ts';
import { type Permit, runWithPermit, WaitQueue, type WaitQueueOptions, type WaitQueueReason } from './wait-queue.ts';

interface ReservedCapacityOptions extends WaitQueueOptions {
  /** Makes the error of a request that gets no permit. */
  refusal(reason: WaitQueueReason, client: string): Error;
  /** Called with the outcome of each request that asks for it. */
  onOutcome(outcome: ReservedOutcome): void;
  /** How many requests for sessions and members not known to be alive a client may send at once, and how many more each second. */
  unknownMax: number;
  unknownPerSecond: number;
}

/** The session or member is alive; it is not; the store could not tell; the request may not use this capacity. */
type ReservedOutcome = 'alive' | 'unknown' | 'undecided' | 'declined';

/** How many sessions and members are remembered as alive, and for how many clients an allowance is kept. */
const knownMax = 100_000;
const sendersMax = 10_000;

export class ReservedCapacity {
  readonly queue: WaitQueue;
  readonly #options: ReservedCapacityOptions;
  /** Digests of the sessions and members that were alive at their last request. */
  readonly #known = recentlyUsed<true>(knownMax);
  /** The allowance that each client has left, in requests; a client with its full allowance has no entry. */
  readonly #senders = recentlyUsed<TokenBucket>(sendersMax);

  constructor(options: ReservedCapacityOptions) {
    this.#options = options;
    this.queue = new WaitQueue(options);
  }

  /**
   * Whether a request for a session or a member may use this capacity. An unknown one costs one of the client's allowance; `found` and
   * `undecided` return it.
   * @param holder the session or member that the request names, from sessionHolder() or memberHolder()
   */
  mayUse(client: string, holder: string): boolean {
    if (this.#known.has(digestOf(holder)) || this.#pay(client)) return true;
    this.#options.onOutcome('declined');
    return false;
  }

  /** Notes that the session or member is alive. */
  found(client: string, holder: string): void {
    this.#options.onOutcome('alive');
    const digest = digestOf(holder);
    if (!this.#known.has(digest)) this.#giveBack(client);
    this.#known.set(digest, true);
  }

  /** Notes that the session or member is not alive, or that the secret was wrong. */
  notFound(holder: string): void {
    this.#options.onOutcome('unknown');
    this.#known.delete(digestOf(holder));
  }

  /** Notes that the store could not tell whether the session or member is alive. */
  undecided(client: string, holder: string): void {
    this.#options.onOutcome('undecided');
    if (!this.#known.has(digestOf(holder))) this.#giveBack(client);
  }

  /**
   * Does work that keeps a session or a member alive, with a permit of this capacity. mayUse() must have allowed it.
   * @throws the error of `work`; the error of `refusal` if no permit becomes free in time
   */
  async keep<T>(client: string, holder: string, work: () => Promise<T>): Promise<T> {
    const permit = await new Promise<Permit>((resolve, reject) => {
      const refused = (reason: WaitQueueReason) => reject(this.#options.refusal(reason, client));
      this.queue.enter(client, 1, { admitted: resolve, refused });
    });
    try {
      const result = await work();
      this.found(client, holder);
      return result;
    } catch (error) {
      if (hasCode(error, 'STORE_UNAVAILABLE')) this.undecided(client, holder);
      else this.notFound(holder);
      throw error;
    } finally {
      permit.release();
    }
  }

  /** Does work for a member that is known to be alive. It waits without a time limit: each member has one such call at a time. */
  withPermit<T>(client: string, work: () => Promise<T>): Promise<T> {
    return runWithPermit(this.queue, client, 1, work);
  }

  #pay(client: string): boolean {
    const { unknownMax, unknownPerSecond } = this.#options;
    const now = performance.now();
    const sender = this.#senders.get(client) ?? new TokenBucket(unknownPerSecond, now, unknownMax);
    this.#senders.set(client, sender);
    return sender.take(now);
  }

  #giveBack(client: string): void {
    const sender = this.#senders.get(client);
    if (!sender) return;
    const now = performance.now();
    sender.use(-1, now);
    if (sender.left(now) >= sender.burst) this.#senders.delete(client);
  }
}

/**
 * The name under which a session is remembered here, for who may use it: one identity that knows the handle of another does not make it
 * unknown. memberHolder() gives that of a member.
 */
export function sessionHolder(handle: string, { actsAs }: Pick<Actor, 'actsAs'>): string {
  return JSON.stringify(['session', handle, actsAs]);
}

export function memberHolder(
  group: string,
  member: string,
  secret: unknown,
  { actsAs }: Pick<Actor, 'actsAs'>,
): string {
  return JSON.stringify(['member', group, member, secret, actsAs]);
}

/** Handles and member secrets are secrets: only their digests are stored. */
function digestOf(holder: string): string {
  return createHash('sha256').update(holder).digest('base64url');
}

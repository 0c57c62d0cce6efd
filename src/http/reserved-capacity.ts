// Capacity reserved for requests that keep sessions and members alive: renewals, heartbeats and small commits never wait behind other
// work. Clients share it fairly. A request for a session or member that is not known to be alive counts against its client: a client that
// sends too many unknown handles loses the reserved capacity, except for handles that were found to be alive.
import { createHash } from 'node:crypto';
import { hasCode } from '../core/service-error.ts';
import { type Place, runInPlace, WaitQueue, type WaitQueueOptions, type WaitQueueReason } from './wait-queue.ts';

export interface ReservedCapacityOptions extends WaitQueueOptions {
  /** What work is refused with that gets no place. */
  refusal(reason: WaitQueueReason, client: string): Error;
  /** Called with the outcome of each request that asks for it. */
  onOutcome(outcome: ReservedOutcome): void;
  /** How many requests with handles that are not known to be good a client may send at once, and each second from then on. */
  unknownMax: number;
  unknownPerSecond: number;
}

/** The session or member lives; it is not known; the store could not say; the request may not use this capacity. */
export type ReservedOutcome = 'alive' | 'unknown' | 'undecided' | 'declined';

/** How many sessions and members are remembered as good, and how many clients as senders of others. */
const knownMax = 100_000;
const sendersMax = 10_000;

export class ReservedCapacity {
  readonly queue: WaitQueue;
  readonly #options: ReservedCapacityOptions;
  /** Sessions and members that lived when they were last heard of, the latest last. */
  readonly #known = new Set<string>();
  /** What is left to clients of requests with unknown handles; those that have all are not in it. */
  readonly #senders = new Map<string, { left: number; at: number }>();

  constructor(options: ReservedCapacityOptions) {
    this.#options = options;
    this.queue = new WaitQueue(options);
  }

  /**
   * Whether a request for a session or a member may use this capacity. Each of an unknown one is paid for, until `found` gives it back.
   * @param holder what the request says to be: a session's handle, or a member of a group
   */
  mayUse(client: string, holder: string): boolean {
    if (this.#known.has(digestOf(holder)) || this.#pay(client)) return true;
    this.#options.onOutcome('declined');
    return false;
  }

  /** The session or the member lives. */
  found(client: string, holder: string): void {
    this.#options.onOutcome('alive');
    const digest = digestOf(holder);
    if (!this.#known.delete(digest)) this.#giveBack(client);
    this.#known.add(digest);
    if (this.#known.size > knownMax) this.#known.delete(this.#known.values().next().value!);
  }

  /** The session or the member does not live, or is not the sender's. */
  notFound(holder: string): void {
    this.#options.onOutcome('unknown');
    this.#known.delete(digestOf(holder));
  }

  /** Neither is known: the store could not say. */
  undecided(client: string, holder: string): void {
    this.#options.onOutcome('undecided');
    if (!this.#known.has(digestOf(holder))) this.#giveBack(client);
  }

  /**
   * Does what keeps a session or a member alive, in a place of this capacity; mayUse() has allowed it.
   * @throws what the work throws; the refusal, if there is no place in time
   */
  async keep<T>(client: string, holder: string, work: () => Promise<T>): Promise<T> {
    const place = await new Promise<Place>((resolve, reject) => {
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
      place.release();
    }
  }

  /** Does work of a member that is known to live, of which each has one piece at a time. It waits for a place as long as it takes. */
  inPlace<T>(client: string, work: () => Promise<T>): Promise<T> {
    return runInPlace(this.queue, client, 1, work);
  }

  #pay(client: string): boolean {
    const { unknownMax, unknownPerSecond } = this.#options;
    const now = performance.now();
    const sender = this.#senders.get(client) ?? { left: unknownMax, at: now };
    sender.left = Math.min(unknownMax, sender.left + ((now - sender.at) / 1000) * unknownPerSecond);
    sender.at = now;
    this.#senders.delete(client);
    this.#senders.set(client, sender);
    if (this.#senders.size > sendersMax) this.#senders.delete(this.#senders.keys().next().value!);
    if (sender.left < 1) return false;
    sender.left -= 1;
    return true;
  }

  #giveBack(client: string): void {
    const sender = this.#senders.get(client);
    if (!sender) return;
    sender.left += 1;
    if (sender.left >= this.#options.unknownMax) this.#senders.delete(client);
  }
}

/** What the request of a session, or of a member of a group, is known by. */
export function sessionHolder(handle: string): string {
  return `session ${handle}`;
}

export function memberHolder(group: string, member: string, secret: unknown): string {
  return JSON.stringify(['member', group, member, secret]);
}

/** Handles are secrets: they are not kept. */
function digestOf(holder: string): string {
  return createHash('sha256').update(holder).digest('base64url');
}

// What the identities with limits use at the moment, in this process: rates, and what they hold open. An identity without limits has no
// account. Why this is no library of rate limits: docs/adr/012.
import type { Creator } from '../core/creator.ts';
import { ServiceError } from '../core/service-error.ts';
import { TokenBucket } from '../core/token-bucket.ts';
import { type IdentityLimits, limitText } from './limits.ts';

/** What an identity holds for a long time. */
type HeldThing = 'sockets' | 'watches';

/** The rate that is used up, and for how long, ms. */
interface Overdrawn {
  limit: 'requests' | 'bytes';
  waitMs: number;
}

/** Accounts that are kept without use: with one identity for each user of an issuer there may be any number. */
const idleAccountsMax = 10_000;

/** By how much the rate may be overdrawn by frames that are let through, ms. */
const lenientMs = 10_000;

export class Account {
  readonly identity: string;
  readonly #onRefused: (identity: string, limit: string) => void;
  /** The part of the server's limits that this process has. */
  readonly #part: number;
  #limits: IdentityLimits = {};
  #creator: Creator | undefined;
  #requests: TokenBucket | undefined;
  #bytes: TokenBucket | undefined;
  readonly #held: Record<HeldThing, number> = { sockets: 0, watches: 0 };

  constructor(identity: string, part: number, onRefused: (identity: string, limit: string) => void) {
    this.identity = identity;
    this.#part = part;
    this.#onRefused = onRefused;
  }

  /** Against whom counts what the identity creates; undefined if that is not limited. */
  get creator(): Creator | undefined {
    return this.#creator;
  }

  get limits(): IdentityLimits {
    return this.#limits;
  }

  /** Other limits begin with full rates. */
  setLimits(limits: IdentityLimits): void {
    if (limits === this.#limits) return;
    const bucketOf = (perSecond: number | undefined, before: TokenBucket | undefined) => {
      if (perSecond === undefined) return undefined;
      const part = perSecond * this.#part;
      return before?.perSecond === part ? before : new TokenBucket(part, performance.now());
    };
    this.#requests = bucketOf(limits.requests, this.#requests);
    this.#bytes = bucketOf(limits.bytes, this.#bytes);
    this.#limits = limits;
    const isStoredLimited = [limits.nodes, limits.storedBytes, limits.partitions].some((max) => max !== undefined);
    this.#creator = isStoredLimited ? { name: this.identity, limits } : undefined;
  }

  /** How many requests it may have in flight while others wait. */
  get inFlightMax(): number {
    return this.#partOf(this.#limits.inFlight);
  }

  /** Counts requests that are let through in any case. */
  useRequests(count: number, now = performance.now()): void {
    this.#requests?.use(count, now);
  }

  useBytes(bytes: number): void {
    if (bytes > 0) this.#bytes?.use(bytes, performance.now());
  }

  /** Counts one request. @throws ServiceError TOO_MANY_REQUESTS if a rate is used up */
  takeRequest(now = performance.now()): void {
    const problem = this.overdrawn(now);
    if (problem) {
      this.#onRefused(this.identity, problem.limit);
      const seconds = Math.ceil(problem.waitMs / 1000);
      throw this.#tooFast(problem, `nothing was done. Try again in ${seconds} s, send less, or have the limit raised.`);
    }
    this.useRequests(1, now);
  }

  /**
   * Counts one frame of a socket. One that keeps something alive, or lets the client take what it was promised, is let through as long as
   * the rate is not used up by far.
   * @throws ServiceError TOO_MANY_REQUESTS
   */
  takeFrame(isLenient: boolean): void {
    if (isLenient && (this.#requests?.waitMs(performance.now()) ?? 0) <= lenientMs) this.useRequests(1);
    else this.takeRequest();
  }

  /** Notes that something of the identity waits for one of its rates. @returns the error that describes it */
  delayed(problem: Overdrawn): ServiceError {
    this.#onRefused(this.identity, problem.limit);
    return this.#tooFast(problem, 'the server reads on soon. Send less, or have the limit raised.');
  }

  /** The rate that is used up; undefined if none is. */
  overdrawn(now = performance.now()): Overdrawn | undefined {
    const requestsMs = this.#requests?.waitMs(now) ?? 0;
    const bytesMs = this.#bytes?.waitMs(now) ?? 0;
    if (requestsMs === 0 && bytesMs === 0) return undefined;
    return bytesMs > requestsMs ? { limit: 'bytes', waitMs: bytesMs } : { limit: 'requests', waitMs: requestsMs };
  }

  /** How long nothing more may be sent to it, ms; 0 if it may. */
  get sendWaitMs(): number {
    return this.#bytes?.waitMs(performance.now()) ?? 0;
  }

  /** Of the limit on requests: its value, what is left, and until when that is full again, s; undefined without one. */
  requestsLeft(now: number): { limit: number; left: number; resetSeconds: number } | undefined {
    if (!this.#requests || this.#limits.requests === undefined) return undefined;
    const left = this.#requests.left(now);
    const { burst, perSecond } = this.#requests;
    return {
      limit: this.#limits.requests,
      left: Math.max(0, Math.floor(left)),
      resetSeconds: Math.ceil((burst - left) / perSecond),
    };
  }

  /** Takes one of what is held for long. @throws ServiceError TOO_MANY_REQUESTS */
  hold(what: HeldThing): void {
    const max = this.#partOf(this.#limits[what]);
    if (this.#held[what] >= max) {
      this.#onRefused(this.identity, what);
      const ofPart = max === this.#limits[what] ? '' : `, ${max} of them with this worker`;
      throw new ServiceError(
        'TOO_MANY_REQUESTS',
        `${limitText(this.identity, what, this.#limits[what] ?? max)}${ofPart}, and has ${this.#held[what]}; nothing was done. ` +
          'Close some, share one between the parts of the client, or have the limit raised.',
      );
    }
    this.#held[what] += 1;
  }

  release(what: HeldThing): void {
    this.#held[what] -= 1;
  }

  /** By limit, the part that this process enforces and what is used of it, for metrics and /v1/access/me. */
  usage(): Partial<Record<'requests' | 'bytes' | HeldThing, { limit: number; used: number }>> {
    const now = performance.now();
    const usage: ReturnType<Account['usage']> = {};
    for (const [name, bucket] of [
      ['requests', this.#requests],
      ['bytes', this.#bytes],
    ] as const) {
      if (bucket) usage[name] = { limit: bucket.perSecond, used: Math.round(bucket.burst - bucket.left(now)) };
    }
    for (const what of ['sockets', 'watches'] as const) {
      if (this.#limits[what] !== undefined)
        usage[what] = { limit: this.#partOf(this.#limits[what]), used: this.#held[what] };
    }
    return usage;
  }

  /** Whether nothing would be lost if it were forgotten. */
  get isIdle(): boolean {
    const now = performance.now();
    const isFull = (bucket: TokenBucket | undefined) => !bucket || bucket.left(now) >= bucket.burst;
    return this.#held.sockets === 0 && this.#held.watches === 0 && isFull(this.#requests) && isFull(this.#bytes);
  }

  /** The part of a limit on a number: at least one, unless there may be none. */
  #partOf(max: number | undefined): number {
    if (max === undefined) return Number.POSITIVE_INFINITY;
    return max === 0 ? 0 : Math.max(1, Math.floor(max * this.#part));
  }

  #tooFast({ limit, waitMs }: Overdrawn, remedy: string): ServiceError {
    return new ServiceError(
      'TOO_MANY_REQUESTS',
      `${limitText(this.identity, limit, this.#limits[limit] ?? 0)}, and has used that up; ${remedy}`,
      { limit, retryAfterMs: waitMs },
    );
  }
}

export class Accounts {
  readonly #part: number;
  readonly #accounts = new Map<string, Account>();
  readonly #listeners = new Set<(identity: string, limit: string) => void>();
  /** At how many accounts the idle ones are forgotten. */
  #sweepAt = idleAccountsMax;

  /** @param workers how many processes share the limits of the server */
  constructor(workers: number) {
    this.#part = 1 / workers;
  }

  /** All accounts, in the order in which they were opened. */
  get all(): Iterable<Account> {
    return this.#accounts.values();
  }

  /** The account of a client by its key for limits (clientKey); undefined if it has no limits. */
  of(clientKey: string): Account | undefined {
    return this.#accounts.size === 0 ? undefined : this.#accounts.get(clientKey);
  }

  /**
   * The account of an identity under the limits that the policy gives it now.
   * @param clientKey its key for limits. @returns undefined if it has none
   */
  open(clientKey: string, identity: string, limits: IdentityLimits | undefined): Account | undefined {
    let account = this.of(clientKey);
    if (!limits) {
      // What it holds still refers to the account.
      account?.setLimits({});
      return undefined;
    }
    if (!account) {
      account = new Account(identity, this.#part, (who, limit) => {
        for (const listener of this.#listeners) listener(who, limit);
      });
      if (this.#accounts.size >= this.#sweepAt) this.#forgetIdle();
      this.#accounts.set(clientKey, account);
    }
    account.setLimits(limits);
    return account;
  }

  /** Calls `listener` for each request that a limit has refused or delayed. */
  onRefused(listener: (identity: string, limit: string) => void): void {
    this.#listeners.add(listener);
  }

  #forgetIdle(): void {
    for (const [key, account] of this.#accounts) if (account.isIdle) this.#accounts.delete(key);
    // What is in use is limited by the number of sockets and permits.
    this.#sweepAt = Math.max(idleAccountsMax, 2 * this.#accounts.size);
  }
}

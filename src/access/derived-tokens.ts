// Derived tokens as requests use them: those that were looked up in the store are remembered for a moment, so that a request costs no call
// of the store. A revoked token is forgotten on every broker within a second: brokers ask more often whether one was revoked, and
// believe what they remember only as long as they know that.
import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import { ServiceError } from '../core/service-error.ts';
import { SharedLimit } from '../core/shared-limit.ts';
import { type Grant, grantsSchema } from './policy-file.ts';
import { type Rights, RuleRights } from './rights.ts';

/** What a derived token or a ticket comes from. */
export interface ParentCredential {
  identity: string;
  /** The id of its token; undefined for one without, such as a JWT. */
  token: string | undefined;
  /** What it is made of (Policy.basisOf); '' = its token is a derived one. */
  basis: string;
  /** Ms since 1970; undefined if it does not expire. */
  expiresAt: number | undefined;
}

/** A derived token that is stored. */
interface FoundToken {
  /** Hex. */
  sha256: string;
  identity: string;
  parent: string | undefined;
  basis: string;
  /** JSON of grants. */
  allow: string;
  expiresAt: number;
}

/** Where derived tokens and tickets are stored. */
export interface TokenSource {
  get(id: string): Promise<{ changes: number; found: FoundToken | undefined }>;
  /** How often a token was revoked. */
  changes(): Promise<number>;
  useTicket(ticket: string, target: string, stream: string, use: 'open' | 'keep' | 'close'): Promise<ParentCredential>;
}

export interface DerivedToken {
  readonly id: string;
  readonly parent: ParentCredential;
  readonly expiresAt: number;
  readonly allow: readonly Grant[];
  /** What the token itself allows; the rights of its parent are another limit. */
  readonly own: Rights;
  readonly sha256: Buffer;
}

const checkEveryMs = 400;
/** For how long it is believed that no token was revoked since it was asked. */
const believedMs = 900;
/** Remembered tokens, and the text of what they allow, in characters. */
const rememberedMax = 10_000;
const rememberedTextMax = 16 * 1024 * 1024;
/** A token that is not used for so long is forgotten. */
const rememberedMs = 60_000;
/** Tokens that are looked up at once: an anonymous client can send any number that do not exist. */
const lookupsMax = 256;

export class DerivedTokens {
  readonly #source: TokenSource;
  readonly #known = new LRUCache<string, DerivedToken>({
    max: rememberedMax,
    maxSize: rememberedTextMax,
    sizeCalculation: ({ allow }) => JSON.stringify(allow).length,
    ttl: rememberedMs,
    updateAgeOnGet: true,
  });
  readonly #lookups: SharedLimit;
  readonly #inFlight = new Map<string, Promise<DerivedToken | undefined>>();
  readonly #listeners = new Set<() => void>();
  #changes: number | undefined;
  #checkedAt = Number.NEGATIVE_INFINITY;
  #isChecking = false;
  #timer: NodeJS.Timeout | undefined;

  /** @param share the part of the lookups that one client may have in flight while others have none */
  constructor(source: TokenSource, share: number) {
    this.#source = source;
    this.#lookups = new SharedLimit(lookupsMax, share);
  }

  /** How many are remembered. */
  get size(): number {
    return this.#known.size;
  }

  /**
   * Finds a stored token by its id.
   * @param client who waits for it
   * @returns undefined if there is none; a promise unless it is remembered
   * @throws ServiceError TOO_MANY_REQUESTS, STORE_UNAVAILABLE
   */
  find(id: string, client: string): DerivedToken | undefined | Promise<DerivedToken | undefined> {
    if (performance.now() - this.#checkedAt < believedMs) {
      const known = this.#known.get(id);
      if (known) return known;
    }
    const running = this.#inFlight.get(id);
    if (running) return running;
    const lookup = this.#lookUp(client, () => this.#read(id)).finally(() => this.#inFlight.delete(id));
    this.#inFlight.set(id, lookup);
    return lookup;
  }

  /**
   * Gives a ticket to a new event stream.
   * @param target the path and query that are asked for
   * @param stream a random name of the stream
   * @returns the credential that the ticket comes from
   * @throws ServiceError AUTH_REQUIRED, TOO_MANY_REQUESTS, STORE_UNAVAILABLE
   */
  openTicket(ticket: string, target: string, stream: string, client: string): Promise<ParentCredential> {
    return this.#lookUp(client, () => this.#source.useTicket(ticket, target, stream, 'open'));
  }

  /** Keeps the ticket of an open event stream, or gives it back. @throws ServiceError AUTH_REQUIRED, STORE_UNAVAILABLE */
  async useTicket(ticket: string, target: string, stream: string, use: 'keep' | 'close'): Promise<void> {
    await this.#source.useTicket(ticket, target, stream, use);
  }

  /** Asks the store, unless too much is being asked already. */
  #lookUp<T>(client: string, read: () => Promise<T>): Promise<T> {
    if (this.#lookups.acquire(client)) {
      throw new ServiceError(
        'TOO_MANY_REQUESTS',
        'Too many tokens or tickets are being looked up at once. Nothing was done; send the request again.',
      );
    }
    return read().finally(() => this.#lookups.release(client));
  }

  /** Calls `listener` when a token was revoked, perhaps another one. @returns a function that ends this */
  onRevoked(listener: () => void): () => void {
    this.#listeners.add(listener);
    this.#keepChecking();
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  async #read(id: string): Promise<DerivedToken | undefined> {
    const at = performance.now();
    const { changes, found } = await this.#source.get(id);
    this.#see(changes, at);
    if (!found) return undefined;
    const token = decoded(id, found);
    this.#known.set(id, token);
    this.#keepChecking();
    return token;
  }

  #keepChecking(): void {
    this.#timer ??= setInterval(() => void this.#check(), checkEveryMs).unref();
  }

  async #check(): Promise<void> {
    if (this.#isChecking) return;
    this.#known.purgeStale();
    if (this.#known.size === 0 && this.#listeners.size === 0) {
      this.close();
      return;
    }
    this.#isChecking = true;
    const at = performance.now();
    try {
      this.#see(await this.#source.changes(), at);
    } catch {
      // Nothing is believed until the store replies again; who asks then gets its error.
    } finally {
      this.#isChecking = false;
    }
  }

  /** Takes a count of revocations. @param at when it was asked for */
  #see(changes: number, at: number): void {
    const before = this.#changes;
    this.#changes = changes;
    this.#checkedAt = Math.max(this.#checkedAt, at);
    // A store that has lost its last changes has a lower count.
    if (before === undefined || before === changes) return;
    this.#known.clear();
    for (const listener of [...this.#listeners]) listener();
  }
}

/** What a token allows, as it is stored. */
const storedGrants = z.string().transform((text) => grantsSchema.parse(JSON.parse(text)));

function decoded(id: string, { identity, parent, basis, expiresAt, allow, sha256 }: FoundToken): DerivedToken {
  const grants = storedGrants.parse(allow);
  return {
    id,
    parent: { identity, token: parent, basis, expiresAt },
    expiresAt,
    allow: grants,
    own: new RuleRights(identity, grants, []),
    sha256: Buffer.from(sha256, 'hex'),
  };
}

// Derived tokens and tickets in the store: typed calls of lua/access. Only hashes of what clients send are stored.
import { createHash } from 'node:crypto';
import type { Actor } from '../../core/actor.ts';
import { required } from '../../core/required.ts';
import { type IdempotencyKey, idempotencyArguments } from '../idempotency.ts';
import type { CoordinationKeys } from '../keys.ts';
import type { StoreConnection } from '../redis/connection.ts';
import { integer, text } from '../scripts.ts';
import { openResponse, sealResponse } from '../sealed-response.ts';

/** The credential that a derived token or a ticket comes from. */
interface ParentCredential {
  identity: string;
  /** The id of its token; undefined for one without, such as a JWT. */
  token: string | undefined;
  /** What it is made of: another one with the same name is not the parent. */
  basis: string;
  /** Ms since 1970; undefined if it does not expire. */
  expiresAt: number | undefined;
}

interface StoredAccessToken {
  /** Hex. */
  sha256: string;
  identity: string;
  /** The id of the parent token; undefined if the parent has none. */
  parent: string | undefined;
  basis: string;
  /** JSON. */
  allow: string;
  /** Ms since 1970. */
  expiresAt: number;
}

/** What the list of an identity's derived tokens tells of each. */
interface ListedAccessToken {
  id: string;
  parent: string | undefined;
  createdAt: number;
  expiresAt: number;
}

/** What a stream does with its ticket: it begins, goes on, or has ended. */
type TicketUse = 'open' | 'keep' | 'close';

/** Live tokens, and tickets, of one identity and of all. */
const tokensOfIdentityMax = 1000;
const tokensMax = 100_000;
const ticketsOfIdentityMax = 10_000;
const ticketsMax = 100_000;
/** Within this time a ticket must be used. */
const ticketUnusedMs = 30_000;
/** For so long a ticket is good after its stream has ended. */
const ticketReconnectMs = 60_000;
/** How often a stream keeps its ticket, and notices that a newer stream has taken it. */
export const ticketKeepEveryMs = 5000;

export class AccessTokens {
  readonly #connection: StoreConnection;
  readonly #root: string;
  readonly #responseLimits: string;

  constructor(connection: StoreConnection, keys: CoordinationKeys, responseLimits: string) {
    this.#connection = connection;
    this.#root = keys.root;
    this.#responseLimits = responseLimits;
  }

  /**
   * Stores a derived token.
   * @param token its text; a repeat with the same Idempotency-Key returns the first one
   * @throws ServiceError TOO_MANY_REQUESTS, IDEMPOTENCY_KEY_REUSED
   */
  async create(
    made: { id: string; sha256: string; token: string; allow: string; ttlMs: number },
    parent: ParentCredential,
    idempotency?: IdempotencyKey,
  ): Promise<{ id: string; token: string; expiresAt: number; replayed: boolean }> {
    const [replayed, id, sealed, expiresAt] = await this.#connection.call('access/create-token', this.#root, [
      made.id,
      made.sha256,
      parent.identity,
      parent.token ?? '',
      parent.basis,
      made.allow,
      made.ttlMs,
      parent.expiresAt ?? 0,
      tokensOfIdentityMax,
      tokensMax,
      ...this.#stored(made.token, idempotency),
    ]);
    const isReplay = integer(replayed) === 1;
    const token = isReplay ? openResponse(keyOf(idempotency), text(sealed)) : made.token;
    return { id: text(id), token, expiresAt: integer(expiresAt), replayed: isReplay };
  }

  /** @returns the token, if there is one with this id, and the count of changes when it was read */
  async get(id: string): Promise<{ changes: number; found: StoredAccessToken | undefined }> {
    const reply = await this.#connection.call('access/get-token', this.#root, [id]);
    const [changes, sha256, identity, parent, basis, allow, expiresAt] = reply;
    const found = sha256 !== undefined && {
      sha256: text(sha256),
      identity: text(identity),
      parent: text(parent) || undefined,
      basis: text(basis),
      allow: text(allow),
      expiresAt: integer(expiresAt),
    };
    return { changes: integer(changes), found: found || undefined };
  }

  /** How often a token was revoked: what was read before the last time may be out of date. */
  async changes(): Promise<number> {
    const read = this.#connection.command(false, (client) => client.hget(this.#root, 'access_changes'), this.#root);
    return Number((await read) ?? 0);
  }

  /** Revokes a derived token. @throws ServiceError NOT_FOUND, also for one that the actor may not revoke; IDEMPOTENCY_KEY_REUSED */
  async revoke(
    id: string,
    { actsAs }: Pick<Actor, 'actsAs'>,
    idempotency?: IdempotencyKey,
  ): Promise<{ replayed: boolean }> {
    const args = [id, actsAs ?? '', ...idempotencyArguments(idempotency), this.#responseLimits];
    const [replayed] = await this.#connection.call('access/revoke-token', this.#root, args);
    return { replayed: integer(replayed) === 1 };
  }

  /** The live derived tokens of an identity, the next to expire first. */
  async list(identity: string): Promise<ListedAccessToken[]> {
    const rows = await this.#connection.call('access/list-tokens', this.#root, [identity]);
    const tokens: ListedAccessToken[] = [];
    for (let i = 0; i + 3 < rows.length; i += 4) {
      const [id, parent, createdAt, expiresAt] = rows.slice(i, i + 4);
      tokens.push({
        id: text(id),
        parent: text(parent) || undefined,
        createdAt: integer(createdAt),
        expiresAt: integer(expiresAt),
      });
    }
    return tokens;
  }

  /**
   * Stores a ticket for one event stream.
   * @param ticket its text, with 256 random bits
   * @param target the path and query that it opens
   * @param parent `basis` '' = its token is a derived one
   * @throws ServiceError TOO_MANY_REQUESTS, IDEMPOTENCY_KEY_REUSED
   */
  async createTicket(
    ticket: string,
    target: string,
    parent: ParentCredential,
    idempotency?: IdempotencyKey,
  ): Promise<{ ticket: string; expiresAt: number; replayed: boolean }> {
    const [replayed, sealed, expiresAt] = await this.#connection.call('access/create-ticket', this.#root, [
      ticketHash(ticket),
      target,
      parent.identity,
      parent.token ?? '',
      parent.basis,
      parent.expiresAt ?? 0,
      ticketUnusedMs,
      ticketsOfIdentityMax,
      ticketsMax,
      ...this.#stored(ticket, idempotency),
    ]);
    const isReplay = integer(replayed) === 1;
    return {
      ticket: isReplay ? openResponse(keyOf(idempotency), text(sealed)) : ticket,
      expiresAt: integer(expiresAt),
      replayed: isReplay,
    };
  }

  /**
   * Uses a ticket for an event stream.
   * @param stream a random name of the stream
   * @returns the credential that it comes from
   * @throws ServiceError AUTH_REQUIRED if it is not good for this (any more)
   */
  async useTicket(ticket: string, target: string, stream: string, use: TicketUse): Promise<ParentCredential> {
    const goodMs = ticketReconnectMs + (use === 'close' ? 0 : ticketKeepEveryMs);
    const args = [ticketHash(ticket), target, stream, use, goodMs];
    const [identity, token, basis, expiresAt] = await this.#connection.call('access/use-ticket', this.#root, args);
    return {
      identity: text(identity),
      token: text(token) || undefined,
      basis: text(basis),
      expiresAt: integer(expiresAt) || undefined,
    };
  }

  /** The arguments for a response with a secret that a repeat gets again. */
  #stored(secret: string, idempotency: IdempotencyKey | undefined): string[] {
    return [
      idempotency ? sealResponse(idempotency.key, secret) : '',
      ...idempotencyArguments(idempotency),
      this.#responseLimits,
    ];
  }
}

function keyOf(idempotency: IdempotencyKey | undefined): string {
  return required(idempotency, 'idempotency key of a repeat').key;
}

function ticketHash(ticket: string): string {
  return createHash('sha256').update(ticket).digest('base64url');
}

// What is kept for repeats of requests with an Idempotency-Key: typed calls of lua/responses. Scripts that make a change write their
// part of the record themselves, together with it (lua/lib/idempotency.lua; docs/adr/007).

import type { CoordinationKeys } from './keys.ts';
import type { StoreConnection } from './redis/connection.ts';
import { text } from './scripts.ts';
import { storedResponseId } from './sealed-response.ts';

/** An Idempotency-Key, and the fingerprint of the request that it came with. */
export interface Idempotency {
  key: string;
  fingerprint: string;
}

/** How long the record of a request with an Idempotency-Key is kept (docs/http.md, Idempotency keys). */
export const idempotencyTtlMs = 10 * 60_000;

/** How many records are kept at once, and their bytes: `<ttl>:<count>:<bytes>`, as lua/lib/record-quota.lua reads it. */
export function storedResponseLimits(count: number, bytes: number): string {
  return `${idempotencyTtlMs}:${count}:${bytes}`;
}

/** What a script finds and keeps the record of a request by: its id or '', and the fingerprint of the request. */
export function idempotencyArguments(idempotency: Idempotency | undefined): [id: string, fingerprint: string] {
  return idempotency ? [storedResponseId(idempotency.key), idempotency.fingerprint] : ['', ''];
}

/** What a script of a log finds and keeps an answer by: the key or '', the fingerprint of the request, and the limits. */
export function logIdempotencyArguments(idempotency: Idempotency | undefined, limits: string): string[] {
  return [idempotency?.key ?? '', idempotency?.fingerprint ?? '', limits];
}

/** What there is of an earlier request with the same Idempotency-Key. */
export type StoredResponseLookup = { state: 'new' } | { state: 'changed' | 'kept'; text: string };

export class StoredResponses {
  readonly #connection: StoreConnection;
  readonly #keys: CoordinationKeys;
  readonly #limits: string;

  constructor(connection: StoreConnection, keys: CoordinationKeys, limits: string) {
    this.#connection = connection;
    this.#keys = keys;
    this.#limits = limits;
  }

  /**
   * The response to an earlier request with the same key, if it is kept. @returns `changed` = that request has made its change,
   * and its response is not kept (yet); `text` is what was kept with the change then, if it is text
   * @throws ServiceError IDEMPOTENCY_KEY_REUSED; TOO_MANY_REQUESTS if the key is new and no more are taken
   */
  async find(idempotency: Idempotency): Promise<StoredResponseLookup> {
    const [outcome, kept] = await this.#call('find', [...idempotencyArguments(idempotency), this.#limits]);
    const state = text(outcome) as StoredResponseLookup['state'];
    return state === 'new' ? { state } : { state, text: text(kept) };
  }

  /** Keeps the response, when all that belongs to the request is done. */
  async store(idempotency: Idempotency, response: string): Promise<void> {
    await this.#call('store', [...idempotencyArguments(idempotency), this.#limits, response]);
  }

  /** How many records are kept, and their bytes. */
  async stats(): Promise<{ count: number; bytes: number }> {
    const read = await this.#connection.command(
      false,
      (client) => client.hmget(this.#keys.responses, 'count', 'bytes'),
      this.#keys.responses,
    );
    return { count: Number(read[0] ?? 0), bytes: Number(read[1] ?? 0) };
  }

  #call(verb: string, args: string[]) {
    return this.#connection.call(`responses/${verb}`, this.#keys.root, args);
  }
}

// The responses that are stored for repeats of requests with an Idempotency-Key: typed calls of lua/responses. A script that makes
// a change stores its own reply together with it (lua/lib/idempotency.lua); what is stored here is the response to the client,
// for requests that take more than one script (docs/adr/007).
import { type IdempotencyKey, idempotencyArguments } from './idempotency.ts';
import type { CoordinationKeys } from './keys.ts';
import type { StoreConnection } from './redis/connection.ts';
import { text } from './scripts.ts';

/**
 * What is stored for an Idempotency-Key. `new`: nothing. `changed`: the request has made its change, and no response is stored yet;
 * `text` is what was stored with the change, if that is text. `stored`: `text` is the response.
 */
type StoredResponseLookup = { state: 'new' } | { state: 'changed' | 'stored'; text: string };

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
   * Looks up what is stored for an Idempotency-Key.
   * @throws ServiceError IDEMPOTENCY_KEY_REUSED; TOO_MANY_REQUESTS if the key is new and the limit of stored responses is reached
   */
  async find(idempotencyKey: IdempotencyKey): Promise<StoredResponseLookup> {
    const [state, stored] = await this.#call('find', [...idempotencyArguments(idempotencyKey), this.#limits]);
    const decoded = text(state) as StoredResponseLookup['state'];
    return decoded === 'new' ? { state: decoded } : { state: decoded, text: text(stored) };
  }

  /** Stores the response, when all steps of the request are done. */
  async store(idempotencyKey: IdempotencyKey, response: string): Promise<void> {
    await this.#call('store', [...idempotencyArguments(idempotencyKey), this.#limits, response]);
  }

  /** How many responses are stored for requests on the tree, and their bytes. */
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

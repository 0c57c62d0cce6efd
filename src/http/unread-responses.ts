// Responses that their clients have not read yet. Their bytes are in memory, so they are limited in total and shared between clients. A
// client that has used its share is refused further work until it reads (admission.ts). Requests that were admitted before still get
// their response. If there is no room for it, responses of the client with the most bytes are cut, the one first that has made no
// progress for longest. A response that its client stops reading, or reads too slowly, is cut as well.
//
// Bytes that several clients share in memory count once for each client: a response is cut too early rather than too late. Event streams
// and sockets have a limit of their own, together (core/unread-bytes.ts). There a reader may be cut for its own bytes; here the response
// that is added is not cut, as it may be larger than the limit and must still be sent.
import type { SharedLimit } from '../core/shared-limit.ts';

/** How many clients without such a response are kept: to add and to delete one for each response would cost more than the rest. */
const idleClientsMax = 1000;

/** A response on its way to its client. */
export interface UnreadResponse {
  readonly clientKey: string;
  readonly bytes: number;
}

export class UnreadResponses<T extends UnreadResponse = UnreadResponse> {
  readonly limit: SharedLimit;
  readonly #cut: (response: T) => void;
  /** The responses of each client, the one first that has made no progress for longest. */
  readonly #clients = new Map<string, Set<T>>();

  /** @param cut closes the connection of a response before it is complete */
  constructor(limit: SharedLimit, cut: (response: T) => void) {
    this.limit = limit;
    this.#cut = cut;
  }

  /** Counts a response. If there is no room for it, others are cut; it is itself never cut here. */
  add(response: T): void {
    const { clientKey, bytes } = response;
    const own = this.#clients.get(clientKey);
    if (own) own.add(response);
    else this.#clients.set(clientKey, new Set([response]));
    this.limit.add(clientKey, bytes);
    while (this.limit.free < 0) {
      const [oldest] = this.#clients.get(this.limit.largest()?.key ?? '') ?? [];
      if (oldest === undefined || oldest === response) return;
      this.remove(oldest);
      this.#cut(oldest);
    }
  }

  /** To be called when the client has read more of a response. */
  moved(response: T): void {
    const own = this.#clients.get(response.clientKey);
    if (own?.delete(response)) own.add(response);
  }

  /** Stops counting a response that was read to its end, or cut. */
  remove(response: T): void {
    const { clientKey, bytes } = response;
    const own = this.#clients.get(clientKey);
    if (!own?.delete(response)) return;
    this.limit.release(clientKey, bytes);
    if (own.size === 0 && this.#clients.size > idleClientsMax) this.#clients.delete(clientKey);
  }

  *[Symbol.iterator](): Generator<T> {
    for (const responses of this.#clients.values()) yield* [...responses];
  }
}

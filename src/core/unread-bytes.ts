// Limits the bytes in memory that wait to be sent to the readers of sockets and event streams. When the total exceeds the limit,
// readers of the client with most unread bytes are disconnected, beginning with the one that has read nothing for the longest time.
import type { SharedLimit } from './shared-limit.ts';

export class UnreadBytes {
  readonly limit: SharedLimit;
  readonly #onCut: (clientKey: string) => void;
  /** By client, its readers with unread bytes; first the one that has read nothing for the longest time. */
  readonly #clients = new Map<string, Set<UnreadBytesOfReader>>();

  /** @param onCut called with the client of each reader that is disconnected */
  constructor(limit: SharedLimit, onCut: (clientKey: string) => void) {
    this.limit = limit;
    this.#onCut = onCut;
  }

  /**
   * Creates the account of one reader.
   * @param cut closes the connection of the reader at once, which frees its unread bytes
   */
  of(clientKey: string, cut: () => void): UnreadBytesOfReader {
    return new UnreadBytesOfReader(this, clientKey, cut);
  }

  /** Adds unread bytes of a reader, and disconnects readers while the total exceeds the limit. Only for UnreadBytesOfReader. */
  add(reader: UnreadBytesOfReader, bytes: number): void {
    const { clientKey } = reader;
    this.limit.add(clientKey, bytes);
    const own = this.#clients.get(clientKey);
    if (own) own.add(reader);
    else this.#clients.set(clientKey, new Set([reader]));
    while (this.limit.free < 0) {
      const [oldest] = this.#clients.get(this.limit.largest()?.key ?? '') ?? [];
      if (oldest === undefined) return;
      oldest.close();
      this.#onCut(oldest.clientKey);
      oldest.cut();
    }
  }

  /** Subtracts bytes that a reader has read. Only for UnreadBytesOfReader. @param left whether it still has unread bytes */
  taken(reader: UnreadBytesOfReader, bytes: number, left: boolean): void {
    const { clientKey } = reader;
    this.limit.release(clientKey, bytes);
    const own = this.#clients.get(clientKey);
    if (!own?.delete(reader)) return;
    if (left) own.add(reader);
    else if (own.size === 0) this.#clients.delete(clientKey);
  }
}

/** The account of one reader: its unread bytes. */
export class UnreadBytesOfReader {
  readonly clientKey: string;
  readonly cut: () => void;
  readonly #all: UnreadBytes;
  #bytes = 0;
  #isClosed = false;

  constructor(all: UnreadBytes, clientKey: string, cut: () => void) {
    this.#all = all;
    this.clientKey = clientKey;
    this.cut = cut;
  }

  /** Adds bytes that wait to be sent. This reader, or others, may be disconnected before the call returns. */
  add(bytes: number): void {
    if (this.#isClosed) return;
    this.#bytes += bytes;
    this.#all.add(this, bytes);
  }

  /** Subtracts bytes that were sent. */
  taken(bytes: number): void {
    // A closed connection also reports its discarded bytes as sent; close() has subtracted them already.
    if (this.#isClosed) return;
    this.#bytes -= bytes;
    this.#all.taken(this, bytes, this.#bytes > 0);
  }

  /** Ends the account when the connection is closed: subtracts all remaining bytes. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#all.taken(this, this.#bytes, false);
  }
}

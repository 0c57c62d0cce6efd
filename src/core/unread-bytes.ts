// What waits in memory for the readers of sockets and event streams: limited in total. Where there is no room, readers of the client for
// which most waits are cut off, the one first that has taken nothing for longest.
import type { SharedLimit } from './shared-limit.ts';

export class UnreadBytes {
  readonly limit: SharedLimit;
  readonly #onCut: (clientKey: string) => void;
  /** Of each client those for which something waits, the one first that has taken nothing for longest. */
  readonly #clients = new Map<string, Set<UnreadBytesOfReader>>();

  /** @param onCut called with the client of each reader that is cut off */
  constructor(limit: SharedLimit, onCut: (clientKey: string) => void) {
    this.limit = limit;
    this.#onCut = onCut;
  }

  /**
   * Accounts for one reader.
   * @param cut closes its connection at once, so that what waits for it is let go of
   */
  of(clientKey: string, cut: () => void): UnreadBytesOfReader {
    return new UnreadBytesOfReader(this, clientKey, cut);
  }

  /** Called by the account of a reader. */
  add(reader: UnreadBytesOfReader, bytes: number): void {
    const { clientKey } = reader;
    this.limit.add(clientKey, bytes);
    const own = this.#clients.get(clientKey);
    if (own) own.add(reader);
    else this.#clients.set(clientKey, new Set([reader]));
    while (this.limit.free < 0) {
      const oldest = this.#clients.get(this.limit.largest()!.key)?.values().next().value;
      if (oldest === undefined) return;
      oldest.close();
      this.#onCut(oldest.clientKey);
      oldest.cut();
    }
  }

  /** Called by the account of a reader, which has taken something. @param left whether more waits for it */
  taken(reader: UnreadBytesOfReader, bytes: number, left: boolean): void {
    const { clientKey } = reader;
    this.limit.release(clientKey, bytes);
    const own = this.#clients.get(clientKey);
    if (!own?.delete(reader)) return;
    if (left) own.add(reader);
    else if (own.size === 0) this.#clients.delete(clientKey);
  }
}

/** The bytes that wait for one reader. */
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

  /** So many bytes wait for it. It may be cut off, or others, before this returns. */
  add(bytes: number): void {
    if (this.#isClosed) return;
    this.#bytes += bytes;
    this.#all.add(this, bytes);
  }

  /** It has taken so many of them. */
  taken(bytes: number): void {
    // What is let go of with its connection is reported as taken, too.
    if (this.#isClosed) return;
    this.#bytes -= bytes;
    this.#all.taken(this, bytes, this.#bytes > 0);
  }

  /** Its connection is closed: nothing waits for it any more. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#all.taken(this, this.#bytes, false);
  }
}

// Sends the responses of one socket: in the order of each lane, those that are ready together as one frame; and, if the socket has
// watches, not before the events of the transactions that they reflect (guarantee S2).
import type { WatchHub } from '../../broker/watches/watch-hub.ts';
import { responseFrameBytes } from '../limits.ts';
import type { Socket } from '../socket.ts';
import type { SocketWatches } from '../socket-watches.ts';
import type { Lane } from './lane.ts';
import type { PendingRequest } from './pending-request.ts';

interface Options {
  hub: Pick<WatchHub, 'sentUpTo' | 'awaitProgress' | 'newestZxid'>;
  watches: Pick<SocketWatches<string | number>, 'size'>;
  tailLagMsMax: number;
  /** Asks for a call of flush(). */
  flushSoon(): void;
  /** Called when the event stream has not brought a transaction in time that a response waits for. */
  tailLags(zxid: number): void;
}

export class ResponseWriter {
  readonly #socket: Socket;
  readonly #options: Options;
  /** Lanes with responses that may be sent. */
  readonly #settled = new Set<Lane<PendingRequest>>();
  /** The bytes of responses that are not sent yet. */
  #bytes = 0;
  /** The lane whose first response is held back for its events, and how to end the wait. */
  #holding: { lane: Lane<PendingRequest>; endWait(): void } | undefined;
  /** The response that was held back last, and until when its transaction must be there, ms. */
  #lastHeld: { request: PendingRequest; deadline: number } | undefined;

  constructor(socket: Socket, options: Options) {
    this.#socket = socket;
    this.#options = options;
  }

  /** How many responses are held back for events that come before them. */
  get held(): number {
    return this.#holding ? [...this.#holding.lane.ready()].length : 0;
  }

  /** Whether the peer takes what it is sent; if not, no more requests are begun. */
  get hasRoom(): boolean {
    return this.#bytes <= responseFrameBytes && this.#socket.hasRoom;
  }

  settled({ lane, response }: PendingRequest): void {
    if (lane) this.#settled.add(lane);
    this.#bytes += response?.length ?? 0;
  }

  /**
   * Sends what is ready, as far as the peer takes it.
   * @param onSent called with each request whose response was sent
   * @returns the lanes of those requests
   */
  flush(onSent: (request: PendingRequest) => void): Iterable<Lane<PendingRequest>> {
    const changed = new Set<Lane<PendingRequest>>();
    this.#release();
    let sentUpTo: number | undefined;
    const isAhead = (zxid: number) => {
      if (zxid === 0) return false;
      const { watches, hub } = this.#options;
      sentUpTo ??= watches.size === 0 ? Number.POSITIVE_INFINITY : hub.sentUpTo(this.#socket);
      return zxid > sentUpTo;
    };
    while (this.#settled.size > 0 && this.#socket.hasRoom) {
      const parts = this.#collect(isAhead, changed, onSent);
      if (parts.length > 0) this.#socket.send(joined(parts));
    }
    return changed;
  }

  close(): void {
    this.#release();
    this.#settled.clear();
  }

  /** Takes responses for one frame. */
  #collect(
    isAhead: (zxid: number) => boolean,
    changed: Set<Lane<PendingRequest>>,
    onSent: (request: PendingRequest) => void,
  ): (string | Buffer)[] {
    const parts: (string | Buffer)[] = [];
    let bytes = 0;
    for (const lane of this.#settled) {
      let count = 0;
      for (const request of lane.ready()) {
        if (isAhead(request.zxid)) {
          this.#hold(lane, request);
          break;
        }
        if (bytes >= responseFrameBytes) break;
        const { response = '' } = request;
        parts.push(response);
        bytes += response.length;
        count += 1;
        onSent(request);
      }
      if (count > 0) {
        lane.remove(count);
        changed.add(lane);
      }
      if (bytes >= responseFrameBytes) break;
      this.#settled.delete(lane);
    }
    this.#bytes -= bytes;
    return parts;
  }

  /** Waits for the events up to a transaction before the first response of a lane. */
  #hold(lane: Lane<PendingRequest>, request: PendingRequest): void {
    if (this.#holding) return;
    const { hub, tailLagMsMax, tailLags, flushSoon } = this.#options;
    const { zxid } = request;
    const now = performance.now();
    if (this.#lastHeld?.request !== request) this.#lastHeld = { request, deadline: now + tailLagMsMax };
    const retry = () => {
      this.#settled.add(lane);
      flushSoon();
    };
    const endProgress = hub.awaitProgress(this.#socket, retry);
    const timer = setTimeout(() => {
      // Events that the peer is slow to take are another matter: slow readers have limits of their own.
      if (hub.newestZxid < zxid) tailLags(zxid);
    }, this.#lastHeld.deadline - now);
    this.#holding = {
      lane,
      endWait: () => {
        clearTimeout(timer);
        endProgress();
      },
    };
  }

  /** Ends the wait for events, as flush() looks again. */
  #release(): void {
    if (!this.#holding) return;
    this.#holding.endWait();
    this.#settled.add(this.#holding.lane);
    this.#holding = undefined;
  }
}

/** One response, or a list of them. */
function joined(parts: readonly (string | Buffer)[]): string | Buffer {
  const [first] = parts;
  if (first !== undefined && parts.length === 1) return first;
  if (parts.every((part) => typeof part === 'string')) return `[${parts.join(',')}]`;
  const pieces = parts.flatMap((part, index) => [Buffer.from(index === 0 ? '[' : ','), Buffer.from(part as string)]);
  return Buffer.concat([...pieces, Buffer.from(']')]);
}

// The requests of a pipelined socket that have no result yet: those that wait, and those that were sent. It numbers the writes of the
// session, and brings them back into the order of their numbers when a connection or a place in the order is lost (guarantee S5).
import { bufferFull, errorOfProblem, type WeirError, withMaybeDone } from './errors.ts';
import { isTreeWrite, type LinkRequest, type LinkResult } from './link.ts';
import type { SessionState } from './session-state.ts';
import { type Deferred, deferred, now } from './time.ts';
import type { Problem } from './wire.ts';

/** What the server takes from one socket without a result (guarantee S6). */
const sentMax = { requests: 256, operations: 8192, bytes: 4 * 1024 * 1024 };
/** What waits for room there; more is refused. */
const waitingMax = { requests: 10_000, bytes: 16 * 1024 * 1024 };
/** A frame of the server's limits with room to spare: 1,024 requests, 1 MiB. */
const frameMax = { requests: 256, bytes: 512 * 1024 };

/** Refusals after which nothing is stored, not even the refusal: the write keeps its number and is sent again. */
const passing: ReadonlySet<string> = new Set(['STORE_FULL', 'TOO_MANY_REQUESTS', 'STORE_UNAVAILABLE', 'LOADING']);

interface Entry extends Deferred<LinkResult<unknown>> {
  readonly request: LinkRequest;
  /** The request as JSON. */
  readonly text: string;
  readonly isWrite: boolean;
  readonly isTriedOnce: boolean;
  readonly calledAt: number;
  readonly operations: number;
  readonly bytes: number;
  id: number;
  /** Its number among the writes of the session, once it was sent. */
  seq: number | undefined;
  wasSent: boolean;
  /** Why it has to be sent again. */
  failure: WeirError | undefined;
  /** Its caller has a result, or has given up. */
  isSettled: boolean;
}

export interface SocketResponse {
  id?: number;
  ok?: unknown;
  error?: Problem;
  zxid?: number;
}

export class Outbox {
  /** In the order in which they were called. */
  #waiting: Entry[] = [];
  /** In the order in which they were sent. */
  readonly #sent = new Map<number, Entry>();
  /** Reads that were refused for the time being, and wait for their next attempt. */
  readonly #refused = new Set<Entry>();
  readonly #nextId: () => number;
  readonly #sentNow = { requests: 0, operations: 0, bytes: 0 };
  #waitingBytes = 0;
  /** A write was refused and keeps its number: those behind it find a gap, until it is sent again. */
  #hasGap = false;
  /** After a loss of changes: what the server has. */
  #lastSeq: number | undefined;

  constructor(nextId: () => number) {
    this.#nextId = nextId;
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0 && this.#sent.size === 0 && this.#refused.size === 0;
  }

  /** Whether the writes must be sent again in their order, after a pause; see `closeGap`. */
  get mustCloseGap(): boolean {
    return (
      this.#hasGap && ![...this.#sent.values()].some(({ seq, failure }) => seq !== undefined && failure === undefined)
    );
  }

  /** @throws WeirError BUFFER_FULL */
  add(request: LinkRequest, text: string, isTriedOnce: boolean): Entry {
    const bytes = byteLength(text);
    if (this.#waiting.length >= waitingMax.requests || this.#waitingBytes + bytes > waitingMax.bytes) {
      throw bufferFull(`${this.#waiting.length} requests with ${this.#waitingBytes} bytes wait to be sent`);
    }
    const operations = request.op === 'multi' ? (request.ops as unknown[]).length : 1;
    const entry: Entry = {
      request,
      text,
      isWrite: isTreeWrite(request),
      isTriedOnce,
      calledAt: now(),
      operations,
      bytes,
      id: 0,
      seq: undefined,
      wasSent: false,
      failure: undefined,
      isSettled: false,
      ...deferred<LinkResult<unknown>>(),
    };
    this.#waiting.push(entry);
    this.#waitingBytes += bytes;
    return entry;
  }

  /** Its caller has given up. A write that was numbered stays: a gap would hold up those behind it. */
  giveUp(entry: Entry, reason: unknown): void {
    if (entry.isSettled) return;
    entry.isSettled = true;
    entry.reject(reason);
    if (entry.seq !== undefined) return;
    this.#forget(entry.id);
    this.#refused.delete(entry);
    const at = this.#waiting.indexOf(entry);
    if (at < 0) return;
    this.#waiting.splice(at, 1);
    this.#waitingBytes -= entry.bytes;
  }

  /**
   * Takes what fits into the next frame, and notes it as sent.
   * @param session undefined: there is none
   * @returns the frame; 'session' if a write needs a session first; undefined if there is nothing to send, or no room
   */
  nextFrame(session: SessionState | undefined): string | 'session' | undefined {
    if (this.#hasGap) return undefined;
    const texts: string[] = [];
    let bytes = 0;
    let count = 0;
    for (const entry of this.#waiting) {
      if (texts.length === frameMax.requests || (texts.length > 0 && bytes + entry.bytes > frameMax.bytes)) break;
      if (!this.#hasRoom(entry)) break;
      if (entry.isWrite && !session) {
        if (texts.length === 0) return 'session';
        break;
      }
      count += 1;
      bytes += entry.bytes;
      texts.push(this.#send(entry, session));
    }
    this.#waiting.splice(0, count);
    this.#waitingBytes -= bytes;
    if (texts.length === 0) return undefined;
    return texts.length === 1 ? texts[0] : `[${texts.join(',')}]`;
  }

  /**
   * Takes a response.
   * @returns the entry if its request is to be sent again by itself, after a pause: a read that was refused for the time being
   */
  answered({ id, ok, error, zxid = 0 }: SocketResponse): Entry | undefined {
    const entry = id === undefined ? undefined : this.#sent.get(id);
    if (!entry) return undefined;
    if (!error) {
      this.#settle(entry, () => entry.resolve({ ok, zxid }));
      return undefined;
    }
    const failure = errorOfProblem(error);
    if (entry.seq !== undefined && this.#leavesGap(entry, failure)) {
      entry.failure = failure;
      this.#hasGap = true;
      return undefined;
    }
    if (entry.seq === undefined && failure.retryable && !entry.isTriedOnce) {
      this.#forget(entry.id);
      entry.failure = failure;
      if (entry.isSettled) return undefined;
      this.#refused.add(entry);
      return entry;
    }
    this.#settle(entry, () => entry.reject(failure));
    return undefined;
  }

  /** Puts a request that has waited for its next attempt back among the others. */
  again(entry: Entry): void {
    if (!this.#refused.delete(entry) || entry.isSettled) return;
    this.#waiting.push(entry);
    this.#waitingBytes += entry.bytes;
  }

  /** Sends the writes that have no result again, in order. @param giveUpBefore writes that were called before this are refused instead */
  closeGap(session: SessionState, giveUpBefore: number): void {
    const writes = this.#takeSent(({ seq }) => seq !== undefined);
    const kept = writes.filter((entry) => {
      const { failure, isSettled, calledAt } = entry;
      if (failure === undefined || (!isSettled && calledAt >= giveUpBefore)) return true;
      if (failure.code === 'OUT_OF_ORDER_SEQUENCE' && !isSettled) return true;
      this.#settle(entry, () => entry.reject(failure));
      return false;
    });
    const first = this.#lastSeq === undefined ? writes[0]?.seq : this.#lastSeq + 1;
    this.#waitFirst(kept);
    this.#renumber(session, first ?? session.nextSeq);
    this.#hasGap = false;
    this.#lastSeq = undefined;
  }

  /** The connection is lost: everything that has no result is to be sent again. */
  disconnected(): void {
    this.#waitFirst(this.#takeSent(() => true).filter(({ isSettled, seq }) => !isSettled || seq !== undefined));
    this.#hasGap = false;
    this.#lastSeq = undefined;
  }

  /** A new connection acts for the session. @param lastSeq the number of the last write that the server has carried out */
  attached(session: SessionState, lastSeq: number): void {
    const first = this.#waiting.find(({ seq }) => seq !== undefined)?.seq ?? session.nextSeq;
    // The store may have lost the newest changes: then the numbers go on behind what it has.
    if (lastSeq < first - 1) this.#renumber(session, lastSeq + 1);
  }

  /** The session has ended: what was numbered in it can be done by nobody any more. */
  sessionLost(error: WeirError): void {
    for (const entry of this.#all()) {
      if (entry.seq === undefined) continue;
      this.#settle(entry, () => entry.reject(withMaybeDone(error)));
    }
    this.#dropSettled();
    this.#hasGap = false;
  }

  /** Everything fails. */
  failAll(error: WeirError): void {
    for (const entry of this.takeAll()) entry.reject(this.#afterSending(entry, error));
  }

  /** What was called before `time` fails: it had its time. */
  expire(time: number, error: () => WeirError): void {
    for (const entry of this.#all()) {
      if (!entry.isSettled && entry.calledAt < time)
        this.giveUp(entry, this.#afterSending(entry, entry.failure ?? error()));
    }
  }

  /** Takes out everything that has no result, for another link or to fail it. */
  takeAll(): Entry[] {
    const all = this.#all().filter(({ isSettled }) => !isSettled);
    this.#takeSent(() => true);
    this.#refused.clear();
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#hasGap = false;
    return all;
  }

  #all(): Entry[] {
    return [...this.#sent.values(), ...this.#refused, ...this.#waiting];
  }

  /** Those that were sent and are to be sent again, or not at all. */
  #takeSent(isTaken: (entry: Entry) => boolean): Entry[] {
    const taken = [...this.#sent.values()].filter(isTaken);
    for (const { id } of taken) this.#forget(id);
    return taken;
  }

  #waitFirst(entries: readonly Entry[]): void {
    this.#waiting.unshift(...entries);
    for (const { bytes } of entries) this.#waitingBytes += bytes;
  }

  #afterSending({ wasSent, request }: Entry, error: WeirError): WeirError {
    const changes = wasSent && (isTreeWrite(request) || request.op === 'produce');
    return changes ? withMaybeDone(error) : error;
  }

  #hasRoom({ operations, bytes }: Entry): boolean {
    const { requests, operations: ops, bytes: sent } = this.#sentNow;
    if (requests === 0) return true;
    return requests < sentMax.requests && ops + operations <= sentMax.operations && sent + bytes <= sentMax.bytes;
  }

  #send(entry: Entry, session: SessionState | undefined): string {
    if (entry.isWrite && session) {
      if (entry.seq === undefined) {
        entry.seq = session.nextSeq;
        session.nextSeq += 1;
      }
    }
    entry.id = this.#nextId();
    entry.wasSent = true;
    entry.failure = undefined;
    this.#sent.set(entry.id, entry);
    this.#count(entry, 1);
    const seq = entry.seq === undefined ? '' : `"seq":${entry.seq},`;
    return `{"id":${entry.id},${seq}${entry.text.slice(1)}`;
  }

  #leavesGap(entry: Entry, { code, fields }: WeirError): boolean {
    if (passing.has(code)) return true;
    if (code !== 'OUT_OF_ORDER_SEQUENCE' || entry.seq === undefined) return false;
    if (this.#hasGap) return true;
    const lastSeq = fields.lastSeq;
    if (typeof lastSeq !== 'number' || lastSeq >= entry.seq) return false;
    this.#lastSeq = lastSeq;
    return true;
  }

  #renumber(session: SessionState, first: number): void {
    let next = first;
    for (const entry of this.#waiting) {
      if (entry.seq === undefined) continue;
      entry.seq = next;
      next += 1;
    }
    session.nextSeq = next;
  }

  #settle(entry: Entry, tell: () => void): void {
    this.#forget(entry.id);
    if (entry.isSettled) return;
    entry.isSettled = true;
    tell();
  }

  #dropSettled(): void {
    this.#waiting = this.#waiting.filter(({ isSettled }) => !isSettled);
    this.#waitingBytes = this.#waiting.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  #forget(id: number): void {
    const entry = this.#sent.get(id);
    if (!entry) return;
    this.#sent.delete(id);
    this.#count(entry, -1);
  }

  #count({ operations, bytes }: Entry, by: 1 | -1): void {
    this.#sentNow.requests += by;
    this.#sentNow.operations += by * operations;
    this.#sentNow.bytes += by * bytes;
  }
}

/** Roughly the bytes of a text on the wire; of long ones exactly. */
export function byteLength(text: string): number {
  return text.length < 1000 ? text.length : new TextEncoder().encode(text).length;
}

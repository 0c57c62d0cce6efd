// The lanes of one pipelined socket that have requests, and which of them may begin one.
import { Lane } from './lane.ts';
import type { PendingRequest } from './pending-request.ts';
import type { ReadBudget } from './read-budget.ts';

/** Requests of more bytes are not begun together: to carry them out would take long. */
const bytesAtOnce = 256 * 1024;

export class Lanes {
  readonly #lanes = new Map<string, Lane<PendingRequest>>();
  /** Those of which a request may begin. */
  readonly #open = new Set<Lane<PendingRequest>>();
  /** Those whose next request waits for room in the read budget. */
  readonly #waiting = new Set<Lane<PendingRequest>>();
  readonly #reads: ReadBudget;

  constructor(reads: ReadBudget) {
    this.#reads = reads;
  }

  get canBegin(): boolean {
    return this.#open.size > 0;
  }

  add(pending: PendingRequest): void {
    const { laneName: name } = pending;
    let lane = this.#lanes.get(name);
    if (!lane) {
      lane = new Lane<PendingRequest>(name);
      this.#lanes.set(name, lane);
    }
    pending.lane = lane;
    lane.add(pending);
    this.#open.add(lane);
  }

  /** Begins up to `count` requests, fewer if they are large, lane by lane. */
  begin(count: number): PendingRequest[] {
    const begun: PendingRequest[] = [];
    let bytes = 0;
    const mayBeMore = () => begun.length < count && bytes < bytesAtOnce;
    for (const lane of this.#open) {
      while (mayBeMore()) {
        const { next } = lane;
        if (next && !this.#reads.mayBegin(next)) this.#waiting.add(lane);
        if (!next || this.#waiting.has(lane)) break;
        lane.begin();
        this.#reads.begin(next);
        begun.push(next);
        bytes += next.bytes;
      }
      if (!lane.next || this.#waiting.has(lane)) this.#open.delete(lane);
      if (!mayBeMore()) break;
    }
    return begun;
  }

  /** Notes that a request has its result. @returns whether another one may begin now */
  settled(pending: PendingRequest): boolean {
    const { lane } = pending;
    if (!lane) return false;
    lane.settled(pending);
    if (lane.next) this.#open.add(lane);
    return this.canBegin;
  }

  /** Notes that a request reads no more (ReadBudget.end). @returns whether another one may begin now */
  endRead(pending: PendingRequest, resultBytes: number | undefined): boolean {
    if (this.#reads.end(pending, resultBytes)) this.reopen();
    return this.canBegin;
  }

  /** To be called when there is room for reads again. */
  reopen(): void {
    for (const lane of this.#waiting) this.#open.add(lane);
    this.#waiting.clear();
  }

  /** To be called when requests of a lane were removed, as their responses were sent. Forgets it if those were all. */
  removed(lane: Lane<PendingRequest>): void {
    if (lane.isEmpty) this.#lanes.delete(lane.name);
    else if (lane.next) this.#open.add(lane);
  }
}

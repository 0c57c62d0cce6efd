// The lanes of one pipelined socket that have requests, and which of them may begin one.
import { Lane } from './lane.ts';
import type { PendingRequest } from './pending-request.ts';

export class Lanes {
  readonly #lanes = new Map<string, Lane<PendingRequest>>();
  /** Those of which a request may begin. */
  readonly #open = new Set<Lane<PendingRequest>>();

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

  /** Begins up to `count` requests, lane by lane. */
  begin(count: number): PendingRequest[] {
    const begun: PendingRequest[] = [];
    for (const lane of this.#open) {
      while (begun.length < count) {
        const next = lane.begin();
        if (!next) break;
        begun.push(next);
      }
      if (!lane.canBegin) this.#open.delete(lane);
      if (begun.length === count) break;
    }
    return begun;
  }

  /** Notes that a request has its result. @returns whether one behind it may begin now */
  settled(pending: PendingRequest): boolean {
    const { lane } = pending;
    if (!lane) return false;
    lane.settled(pending);
    if (lane.canBegin) this.#open.add(lane);
    return lane.canBegin;
  }

  /** To be called when requests of a lane were removed, as their responses were sent. Forgets it if those were all. */
  removed(lane: Lane<PendingRequest>): void {
    if (lane.isEmpty) this.#lanes.delete(lane.name);
    else if (lane.canBegin) this.#open.add(lane);
  }
}

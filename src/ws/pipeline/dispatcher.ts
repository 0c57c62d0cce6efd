// Gives the pipelined sockets their turns: requests are begun in rotation, so that one socket cannot starve others (guarantee S6), and
// the responses of one turn of the event loop are sent together.

/** A socket with something to do. */
interface Member {
  /** Whether a request could be begun now. */
  readonly canBegin: boolean;
  /** Begins up to `count` requests. @returns how many */
  beginSome(count: number): number;
  /** Sends the responses that are ready. */
  flush(): void;
}

/** How many requests are begun in one turn of the event loop: some 10 ms of work. */
const requestsPerTurnMax = 512;

export class Dispatcher {
  readonly #requestsPerTurn: number;
  /** Sockets with requests to begin, the next one first. */
  readonly #ready = new Set<Member>();
  /** Sockets with responses to send. */
  readonly #responding = new Set<Member>();
  #isScheduled = false;

  /** @param requestsPerTurn how many requests of a socket are begun while others wait */
  constructor(requestsPerTurn: number) {
    this.#requestsPerTurn = requestsPerTurn;
  }

  /** Gives a socket its turns until it has no more to begin. */
  hasRequests(member: Member): void {
    this.#ready.add(member);
    this.#schedule();
  }

  /** Lets a socket send its responses behind what this turn of the event loop still brings. */
  hasResponses(member: Member): void {
    this.#responding.add(member);
    this.#schedule();
  }

  forget(member: Member): void {
    this.#ready.delete(member);
    this.#responding.delete(member);
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.#run());
  }

  #run(): void {
    this.#isScheduled = false;
    for (const member of this.#responding) {
      this.#responding.delete(member);
      member.flush();
    }
    let left = requestsPerTurnMax;
    for (const member of this.#ready) {
      // Deleted and added again, a socket comes last, and this iteration reaches it again.
      this.#ready.delete(member);
      const isAlone = this.#ready.size === 0;
      left -= member.beginSome(isAlone ? left : this.#requestsPerTurn);
      if (member.canBegin) this.#ready.add(member);
      if (left <= 0) break;
    }
    if (this.#ready.size > 0) this.#schedule();
  }
}

// A lane of a pipelined socket: its requests take effect, and get their responses, in the order in which they were sent (guarantee S1).

/** A request as its lane sees it. */
interface LaneRequest {
  /** How it may overlap with those before it. */
  readonly run: string;
  readonly isBarrier: boolean;
  readonly response: unknown;
}

export class Lane<R extends LaneRequest> {
  readonly name: string;
  /** Those whose responses are not sent yet, in order. */
  readonly #requests: R[] = [];
  /** How many of them were begun, and how many of these have no result yet. */
  #begun = 0;
  #open = 0;
  #run = '';
  #hasBarrier = false;

  constructor(name: string) {
    this.name = name;
  }

  get isEmpty(): boolean {
    return this.#requests.length === 0;
  }

  add(request: R): void {
    this.#requests.push(request);
  }

  /** Begins the next request, if it need not wait for those before it. @returns that request */
  begin(): R | undefined {
    const request = this.next;
    if (!request) return undefined;
    this.#begun += 1;
    this.#open += 1;
    this.#run = request.run;
    this.#hasBarrier = request.isBarrier;
    return request;
  }

  /** The request that begin() would return. */
  get next(): R | undefined {
    const request = this.#requests[this.#begun];
    return request && this.#mayBegin(request) ? request : undefined;
  }

  #mayBegin({ run }: R): boolean {
    // Those that were begun are removed when their responses are sent.
    if (run === 'afterResponses') return this.#begun === 0;
    if (this.#open === 0) return true;
    return !this.#hasBarrier && run === this.#run && run !== 'alone';
  }

  /** Notes that a request that was begun has its result. */
  settled({ isBarrier }: R): void {
    this.#open -= 1;
    if (isBarrier) this.#hasBarrier = false;
  }

  /** Removes the oldest `count` requests, whose responses were sent. */
  remove(count: number): void {
    this.#requests.splice(0, count);
    this.#begun -= count;
  }

  /** The requests that have their results and stand behind no other, the oldest first. */
  *ready(): Generator<R> {
    for (const request of this.#requests) {
      if (request.response === undefined) return;
      yield request;
    }
  }
}

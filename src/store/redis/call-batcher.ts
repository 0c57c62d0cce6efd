// Sends all requests of one turn of the event loop to Redis as one call, and gives each its own result. A single request waits
// for nothing; under load the fixed cost of a call is shared by many.

interface PendingCall<Request, Result> {
  request: Request;
  weight: number;
  resolve(result: Result): void;
  reject(error: unknown): void;
}

export class CallBatcher<Request, Result> {
  readonly #weightMax: number;
  readonly #send: (requests: Request[]) => Promise<Result[]>;
  #pending: PendingCall<Request, Result>[] = [];
  #weight = 0;

  /**
   * @param weightMax the weight at which a call is full, so that one script does not block Redis for long; a request that weighs
   *   more is a call by itself
   * @param send sends one call; resolves with the results in the order of the requests, or rejects for all of them
   */
  constructor(weightMax: number, send: (requests: Request[]) => Promise<Result[]>) {
    this.#weightMax = weightMax;
    this.#send = send;
  }

  submit(request: Request, weight: number): Promise<Result> {
    return new Promise((resolve, reject) => {
      if (this.#pending.length > 0 && this.#weight + weight > this.#weightMax) this.#flush();
      // An immediate runs after all requests that were received in this turn have been handled.
      if (this.#pending.length === 0) setImmediate(() => this.#flush());
      this.#pending.push({ request, weight, resolve, reject });
      this.#weight += weight;
    });
  }

  #flush(): void {
    const calls = this.#pending;
    // The flush of a full call may have left none, or those of a later turn, which may be sent early.
    if (calls.length === 0) return;
    this.#pending = [];
    this.#weight = 0;
    this.#send(calls.map(({ request }) => request)).then(
      (results) => {
        for (const [index, { resolve }] of calls.entries()) resolve(results[index] as Result);
      },
      (error: unknown) => {
        for (const { reject } of calls) reject(error);
      },
    );
  }
}

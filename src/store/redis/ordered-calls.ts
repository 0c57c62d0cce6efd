// Sends the requests of one turn of the event loop to Redis in few calls that keep the order of each origin. A call has one script,
// so requests of different kinds are different calls; requests of several origins share them.
import { droppedError, type Origin } from '../origin.ts';
import type { ReplyValue, ScriptArguments } from '../scripts.ts';

export interface OrderedRequest<Kind> {
  kind: Kind;
  args: Readonly<ScriptArguments>;
  weight: number;
}

/** Runs a task when there is room for it, or refuses it: ConcurrencyLimiter.run(). */
type Admit = <T>(task: () => Promise<T>) => Promise<T>;

interface Pending {
  origin: Origin;
  args: Readonly<ScriptArguments>;
  resolve(reply: ReplyValue[]): void;
  reject(error: unknown): void;
}

interface Call<Kind> {
  kind: Kind;
  requests: Pending[];
  weight: number;
  isFull: boolean;
}

export class OrderedCalls<Kind extends string> {
  readonly #weightMax: number;
  readonly #send: (kind: Kind, requests: Readonly<ScriptArguments>[]) => Promise<ReplyValue[][]>;
  /** The calls that are not sent yet, in their order. */
  #calls: Call<Kind>[] = [];
  /** By origin, which of the calls has its last request. */
  #lastCalls = new Map<Origin, Call<Kind>>();
  /** By origin, what its next requests wait for: that an earlier one has room. */
  readonly #held = new WeakMap<Origin, Promise<void>>();

  /**
   * @param weightMax the weight at which a call is full, so that one script does not block Redis for long; a request that weighs
   *   more is a call by itself
   * @param send sends one call at once; resolves with a reply for each request, or rejects for all of them
   */
  constructor(weightMax: number, send: (kind: Kind, requests: Readonly<ScriptArguments>[]) => Promise<ReplyValue[][]>) {
    this.#weightMax = weightMax;
    this.#send = send;
  }

  /**
   * Sends a request behind all earlier ones of the same origin.
   * @param admit if it must wait for room; later requests of the same origin then wait behind it
   * @returns its part of the reply
   * @throws ServiceError STORE_UNAVAILABLE, also if the origin is dead before it is sent; what `admit` throws
   */
  submit(origin: Origin, request: OrderedRequest<Kind>, admit?: Admit): Promise<ReplyValue[]> {
    const held = this.#held.get(origin);
    if (!held && !admit) return this.#enqueue(origin, request);
    return new Promise((resolve, reject) => {
      const begun = (held ?? Promise.resolve()).then(
        () =>
          new Promise<void>((begin) => {
            const start = () => {
              const reply = this.#enqueue(origin, request);
              begin();
              return reply;
            };
            (admit ? admit(start) : start()).then(resolve, (error: unknown) => {
              // One that is refused never starts.
              begin();
              reject(error);
            });
          }),
      );
      this.#held.set(origin, begun);
      void begun.then(() => {
        if (this.#held.get(origin) === begun) this.#held.delete(origin);
      });
    });
  }

  #enqueue(origin: Origin, { kind, args, weight }: OrderedRequest<Kind>): Promise<ReplyValue[]> {
    return new Promise((resolve, reject) => {
      // An immediate runs after all requests that were received in this turn have been handled.
      if (this.#calls.length === 0) setImmediate(() => this.#flush());
      const call = this.#callFor(origin, kind, weight);
      call.requests.push({ origin, args, resolve, reject });
      call.weight += weight;
      call.isFull ||= call.weight >= this.#weightMax;
      this.#lastCalls.set(origin, call);
      this.#sendFull();
    });
  }

  /** The first call that has room and is not before the last one of the origin. */
  #callFor(origin: Origin, kind: Kind, weight: number): Call<Kind> {
    const last = this.#lastCalls.get(origin);
    // A call that was sent already is not found, and all others are behind it.
    const from = last ? Math.max(this.#calls.indexOf(last), 0) : 0;
    for (const call of this.#calls.slice(from)) {
      if (call.kind !== kind || call.isFull) continue;
      if (call.weight + weight <= this.#weightMax) return call;
      call.isFull = true;
    }
    const call = { kind, requests: [], weight: 0, isFull: false };
    this.#calls.push(call);
    return call;
  }

  /** Sends the calls to which nothing is added any more, so that Redis begins while requests still come in. */
  #sendFull(): void {
    for (let first = this.#calls[0]; first?.isFull; first = this.#calls[0]) {
      this.#calls.shift();
      this.#sendCall(first);
    }
  }

  #flush(): void {
    const calls = this.#calls;
    this.#calls = [];
    this.#lastCalls = new Map();
    for (const call of calls) this.#sendCall(call);
  }

  #sendCall({ kind, requests }: Call<Kind>): void {
    const live = requests.filter(({ origin }) => !origin.isDead);
    if (live.length < requests.length)
      for (const { origin, reject } of requests) if (origin.isDead) reject(droppedError());
    if (live.length === 0) return;
    this.#send(
      kind,
      live.map(({ args }) => args),
    ).then(
      (replies) => {
        for (const [index, { resolve, reject }] of live.entries()) {
          const reply = replies[index];
          if (reply) resolve(reply);
          else reject(new Error(`Redis returned ${replies.length} replies to ${live.length} requests`));
        }
      },
      (error: unknown) => {
        for (const { reject } of live) reject(error);
      },
    );
  }
}

// A queue for permits that is fair between clients: the client that was served least is next (start-time fair queueing; Goyal, Vin and
// Cheng, 1996). A single client may use all permits, and a client with many requests delays only itself.
import TinyQueue from 'tinyqueue';

export interface WaitQueueOptions {
  /** Total weight of work that may be in progress. */
  capacity: number;
  /** The largest weight that one request counts as; absent: half of the capacity. */
  weightMax?: number;
  /** How many may wait. */
  waitingMax: number;
  /** How long one may wait, ms. */
  waitMsMax: number;
  /** How many requests of a client may be in progress while others wait. */
  inFlightMaxOf?: (key: string) => number;
}

/** Why there is no permit: the queue is full, or the wait took too long. */
export type WaitQueueReason = 'total' | 'time';

/** Callbacks of a waiting request. Exactly one is called, unless it leaves the queue before. */
interface Waiter {
  admitted(permit: Permit): void;
  refused(reason: WaitQueueReason): void;
}

interface Client {
  readonly key: string;
  /** How many of its requests are in progress, and may be while others wait. */
  inFlight: number;
  inFlightMax: number;
  /** The weight of its work in progress. */
  used: number;
  /** Virtual start time of its next work, and virtual finish time of all its work so far: sums of weights. */
  start: number;
  finish: number;
  readonly waiting: Set<Ticket>;
  /** Whether it stands in the heap. */
  isQueued: boolean;
}

interface Ticket {
  readonly from: Client;
  readonly weight: number;
  /** What it adds to the virtual time of its client. */
  readonly cost: number;
  /** How many requests it is for. */
  readonly requests: number;
  readonly waiter: Waiter;
  /** Refuses the request when it has waited too long; undefined if it waits without a time limit. */
  readonly timer: NodeJS.Timeout | undefined;
}

/** How many clients are kept while they have no work: to make one anew for each request would cost more than the rest of a permit. */
const idleClientsMax = 1000;

/** The largest part of all permits that one request takes. Without it the largest requests would wait until all others have ended. */
const largestPart = 1 / 2;

export class WaitQueue {
  readonly #options: WaitQueueOptions;
  readonly #weightMax: number;
  /** The clients with work in progress or waiting, and some that had. */
  readonly #clients = new Map<string, Client>();
  /** The clients that wait, by virtual start time. It may hold clients whose requests have left the queue. */
  readonly #next = new TinyQueue<Client>([], (a, b) => a.start - b.start);
  readonly #giveBack = (client: Client, weight: number, requests: number) => this.#release(client, weight, requests);
  #used = 0;
  #waiting = 0;
  /** The virtual time: the start of the work that was admitted last. */
  #now = 0;
  #isDraining = false;

  constructor(options: WaitQueueOptions) {
    this.#options = options;
    this.#weightMax = options.weightMax ?? Math.max(1, Math.floor(options.capacity * largestPart));
  }

  /** The weight of all work in progress. */
  get used(): number {
    return this.#used;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /**
   * Takes a permit, at once if there is one.
   * @param key the client
   * @param options `isPatient` = it waits without a time limit and is never refused: for work of which each sender has one piece at a
   *   time. `requests` = how many requests it is for; absent: one. `share` = how many times as often as others its key is next; absent:
   *   once. A key has the same for all its requests
   * @returns a function that leaves the queue; undefined if the request does not wait
   */
  enter(
    key: string,
    weight: number,
    waiter: Waiter,
    { isPatient = false, requests = 1, share = 1 }: { isPatient?: boolean; requests?: number; share?: number } = {},
  ): (() => void) | undefined {
    const client = this.#clientOf(key);
    const needed = Math.min(Math.max(weight, 1), this.#weightMax);
    if (this.#waiting === 0 && this.#fits(needed)) {
      const at = Math.max(this.#now, client.finish);
      this.#admit({ from: client, weight: needed, cost: needed / share, requests, waiter, timer: undefined }, at);
      return undefined;
    }
    if (!isPatient && this.#waiting >= this.#options.waitingMax && !this.#makeRoom(client)) {
      this.#forget(client);
      waiter.refused('total');
      return undefined;
    }
    const timer = isPatient ? undefined : setTimeout(() => this.#refuse(ticket, 'time'), this.#options.waitMsMax);
    const ticket: Ticket = { from: client, weight: needed, cost: needed / share, requests, waiter, timer };
    client.waiting.add(ticket);
    this.#waiting += 1;
    if (!client.isQueued) this.#push(client, Math.max(this.#now, client.finish));
    return () => this.#remove(ticket);
  }

  #fits(weight: number): boolean {
    return this.#used === 0 || this.#used + weight <= this.#options.capacity;
  }

  #admit({ from: client, weight, cost, requests, waiter }: Ticket, start: number): void {
    this.#now = Math.max(this.#now, start);
    client.finish = start + cost;
    client.used += weight;
    client.inFlight += requests;
    this.#used += weight;
    waiter.admitted(new Permit(this.#giveBack, client, weight, requests));
  }

  #release(client: Client, weight: number, requests: number): void {
    client.used -= weight;
    client.inFlight -= requests;
    this.#used -= weight;
    this.#forget(client);
    if (this.#waiting > 0) this.#drain();
  }

  /** Admits requests in order while there are permits. A large request at the head is not overtaken, so that it gets its turn. */
  #drain(): void {
    // Work that ends synchronously releases its permit within this loop, which calls this method again.
    if (this.#isDraining) return;
    this.#isDraining = true;
    const aside: Client[] = [];
    const putBack = () => {
      for (const client of aside.splice(0)) this.#next.push(client);
    };
    try {
      // Clients with as much in progress as they may have while others wait come last: they get what the others leave.
      if (!this.#admitWaiting(aside)) return;
      putBack();
      this.#admitWaiting();
    } finally {
      putBack();
      this.#isDraining = false;
    }
  }

  /**
   * @param aside where clients are put that have all that they may have in progress; absent: they are admitted, too
   * @returns whether nobody is left that waits for a permit
   */
  #admitWaiting(aside?: Client[]): boolean {
    for (let client = this.#next.peek(); client; client = this.#next.peek()) {
      const ticket = client.waiting.values().next().value;
      if (ticket && aside && client.inFlight >= client.inFlightMax) {
        this.#next.pop();
        aside.push(client);
        continue;
      }
      if (ticket && !this.#fits(ticket.weight)) return false;
      this.#next.pop();
      client.isQueued = false;
      if (!ticket) continue;
      this.#take(ticket);
      const { start } = client;
      if (client.waiting.size > 0) this.#push(client, start + ticket.cost);
      this.#admit(ticket, start);
    }
    return true;
  }

  /**
   * Refuses the oldest request of the client with most waiting requests, if it has more than this client would have.
   * @returns whether one was refused
   */
  #makeRoom(client: Client): boolean {
    let longest = client;
    for (const other of this.#clients.values()) if (other.waiting.size > longest.waiting.size) longest = other;
    if (longest.waiting.size <= client.waiting.size + 1) return false;
    for (const ticket of longest.waiting) {
      if (ticket.timer === undefined) continue;
      this.#refuse(ticket, 'total');
      return true;
    }
    return false;
  }

  #refuse(ticket: Ticket, reason: WaitQueueReason): void {
    this.#remove(ticket);
    ticket.waiter.refused(reason);
  }

  #remove(ticket: Ticket): void {
    if (!ticket.from.waiting.has(ticket)) return;
    this.#take(ticket);
    this.#forget(ticket.from);
    // The others may have waited behind this one.
    this.#drain();
  }

  #take(ticket: Ticket): void {
    clearTimeout(ticket.timer);
    ticket.from.waiting.delete(ticket);
    this.#waiting -= 1;
  }

  /** @param start when its next work begins, in virtual time */
  #push(client: Client, start: number): void {
    client.start = start;
    client.isQueued = true;
    this.#next.push(client);
  }

  #clientOf(key: string): Client {
    let client = this.#clients.get(key);
    if (!client) {
      const inFlightMax = Number.POSITIVE_INFINITY;
      client = { key, inFlight: 0, inFlightMax, used: 0, start: 0, finish: 0, waiting: new Set(), isQueued: false };
      this.#clients.set(key, client);
    }
    if (isIdle(client)) client.inFlightMax = this.#options.inFlightMaxOf?.(key) ?? Number.POSITIVE_INFINITY;
    return client;
  }

  /** A client without work has no past: its next work begins as that of a new one. */
  #forget(client: Client): void {
    if (!isIdle(client)) return;
    client.finish = 0;
    // One that still stands in the heap would come back to its old place there.
    if (client.isQueued || this.#clients.size > idleClientsMax) this.#clients.delete(client.key);
  }
}

function isIdle({ used, waiting }: Client): boolean {
  return used === 0 && waiting.size === 0;
}

/** The right of one request to be worked at. */
export class Permit {
  readonly #giveBack: (client: Client, weight: number, requests: number) => void;
  readonly #client: Client;
  readonly #weight: number;
  readonly #requests: number;
  #isGivenBack = false;

  constructor(
    giveBack: (client: Client, weight: number, requests: number) => void,
    client: Client,
    weight: number,
    requests: number,
  ) {
    this.#giveBack = giveBack;
    this.#client = client;
    this.#weight = weight;
    this.#requests = requests;
  }

  /** Returns the permit. Further calls do nothing. */
  release(): void {
    if (this.#isGivenBack) return;
    this.#isGivenBack = true;
    this.#giveBack(this.#client, this.#weight, this.#requests);
  }
}

/**
 * Does a piece of work with a permit of the queue. It waits for the permit without a time limit, and releases it when the work has ended.
 * @throws the error of `work`
 */
export function runWithPermit<T>(queue: WaitQueue, client: string, weight: number, work: () => Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const admitted = (permit: Permit) => {
      const done = work();
      done.then(resolve, reject).finally(() => permit.release());
    };
    queue.enter(client, weight, { admitted, refused: reject }, { isPatient: true });
  });
}

// A queue for places that is fair between clients: the client that was served least is next (start-time fair queueing; Goyal, Vin and
// Cheng, 1996). A single client may use all places, and a client with many requests delays only itself.
import TinyQueue from 'tinyqueue';

export interface WaitQueueOptions {
  /** Total weight of work that may be in progress. */
  capacity: number;
  /** How many may wait. */
  waitingMax: number;
  /** How long one may wait, ms. */
  waitMsMax: number;
}

/** Why there is no place: the queue is full, or the wait took too long. */
export type WaitQueueReason = 'total' | 'time';

/** Callbacks of a waiting request. Exactly one is called, unless it leaves the queue before. */
export interface Waiter {
  admitted(place: Place): void;
  refused(reason: WaitQueueReason): void;
}

interface Client {
  readonly key: string;
  /** The weight of its work in progress. */
  used: number;
  /** Virtual time: how much it has had when its next work begins; and when all its work so far has had its turn. */
  start: number;
  finish: number;
  readonly waiting: Set<Ticket>;
  /** Whether it stands in the heap. */
  isQueued: boolean;
}

interface Ticket {
  readonly from: Client;
  readonly weight: number;
  readonly waiter: Waiter;
  /** Undefined for what waits as long as it takes, and is not refused. */
  readonly timer: NodeJS.Timeout | undefined;
}

/** The largest part of all places for one request: otherwise the largest requests would wait until all others are done. */
const largestPart = 1 / 2;

export class WaitQueue {
  readonly #options: WaitQueueOptions;
  readonly #weightMax: number;
  /** The clients with work in progress or waiting. */
  readonly #clients = new Map<string, Client>();
  /** Those that wait, by who is next. It may hold some that wait no more. */
  readonly #next = new TinyQueue<Client>([], (a, b) => a.start - b.start);
  #used = 0;
  #waiting = 0;
  /** The start of the work that was begun last. */
  #now = 0;
  #isDraining = false;

  constructor(options: WaitQueueOptions) {
    this.#options = options;
    this.#weightMax = Math.max(1, Math.floor(options.capacity * largestPart));
  }

  /** The weight of all work in progress. */
  get used(): number {
    return this.#used;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /**
   * Takes a place, at once if there is one.
   * @param isPatient it waits as long as it takes, and does not count against the number that may wait: for work of which each
   *   sender has one piece at a time
   * @returns how to leave the queue; undefined if it does not wait
   */
  enter(key: string, weight: number, waiter: Waiter, isPatient = false): (() => void) | undefined {
    const client = this.#clientOf(key);
    const needed = Math.min(Math.max(weight, 1), this.#weightMax);
    if (this.#waiting === 0 && this.#fits(needed)) {
      this.#admit(client, Math.max(this.#now, client.finish), needed, waiter);
      return undefined;
    }
    if (!isPatient && this.#waiting >= this.#options.waitingMax && !this.#makeRoom(client)) {
      this.#forget(client);
      waiter.refused('total');
      return undefined;
    }
    const timer = isPatient ? undefined : setTimeout(() => this.#refuse(ticket, 'time'), this.#options.waitMsMax);
    const ticket: Ticket = { from: client, weight: needed, waiter, timer };
    client.waiting.add(ticket);
    this.#waiting += 1;
    if (!client.isQueued) this.#push(client, Math.max(this.#now, client.finish));
    return () => this.#remove(ticket);
  }

  #fits(weight: number): boolean {
    return this.#used === 0 || this.#used + weight <= this.#options.capacity;
  }

  #admit(client: Client, start: number, weight: number, waiter: Waiter): void {
    this.#now = Math.max(this.#now, start);
    client.finish = start + weight;
    client.used += weight;
    this.#used += weight;
    waiter.admitted(
      new Place(() => {
        client.used -= weight;
        this.#used -= weight;
        this.#forget(client);
        this.#drain();
      }),
    );
  }

  /** Lets in as many as there are places for. The next one is waited for, so that a large one has its turn, too. */
  #drain(): void {
    // Work that ends at once frees its place within this loop.
    if (this.#isDraining) return;
    this.#isDraining = true;
    try {
      for (let client = this.#next.peek(); client; client = this.#next.peek()) {
        const ticket = client.waiting.values().next().value;
        if (ticket && !this.#fits(ticket.weight)) return;
        this.#next.pop();
        client.isQueued = false;
        if (!ticket) continue;
        this.#take(ticket);
        const { start } = client;
        if (client.waiting.size > 0) this.#push(client, start + ticket.weight);
        this.#admit(client, start, ticket.weight, ticket.waiter);
      }
    } finally {
      this.#isDraining = false;
    }
  }

  /** Refuses the oldest request of the client with most waiting requests, if those are more than this client would have. */
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
    // It may have been what the others waited behind.
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
      client = { key, used: 0, start: 0, finish: 0, waiting: new Set(), isQueued: false };
      this.#clients.set(key, client);
    }
    return client;
  }

  #forget(client: Client): void {
    if (client.used === 0 && client.waiting.size === 0) this.#clients.delete(client.key);
  }
}

/** The right of one request to be worked at. */
export class Place {
  #release: (() => void) | undefined;

  constructor(release: () => void) {
    this.#release = release;
  }

  /** Gives it back; once, however often it is called. */
  release(): void {
    const release = this.#release;
    this.#release = undefined;
    release?.();
  }
}

/** Does a piece of work in a place of its own, for which it waits as long as it takes. */
export function runInPlace<T>(queue: WaitQueue, client: string, weight: number, work: () => Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const admitted = (place: Place) => {
      const done = work();
      done.then(resolve, reject).finally(() => place.release());
    };
    queue.enter(client, weight, { admitted, refused: reject }, true);
  });
}

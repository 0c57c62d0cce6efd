// Limits the bytes of request bodies in memory, in total and fairly between clients. When there is no room, a body that is still arriving
// is refused: one of the client that uses most. So no client can keep others out with many bodies or slow ones.

/** A body that is in memory or still arriving. */
export interface CountedBody {
  clientKey: string;
  bytes: number;
  /** Whether more of it is expected. */
  isArriving: boolean;
  /** Refuses the body, to make room for others. */
  giveUp(): void;
}

/** How many clients without a body are kept: to add and to delete one for each body would cost more than the rest. */
const idleClientsMax = 1000;

interface ClientBodies {
  bytes: number;
  readonly bodies: Set<CountedBody>;
}

export class BodyBytes {
  readonly max: number;
  readonly #clients = new Map<string, ClientBodies>();
  #used = 0;

  constructor(max: number) {
    this.max = max;
  }

  get used(): number {
    return this.#used;
  }

  /**
   * Counts more bytes of a body. To make room it may refuse bodies of a client that uses more.
   * @returns false if there is no room for them
   */
  add(body: CountedBody, bytes: number): boolean {
    const own = this.#of(body.clientKey);
    // A single body always fits: the size of one body has a limit of its own.
    while (this.#used > 0 && this.#used + bytes > this.max) {
      const other = this.#largest();
      if (!other || other === own || other.bytes <= own.bytes + bytes || !this.#giveUpOne(other)) {
        if (own.bodies.size === 0) this.#clients.delete(body.clientKey);
        return false;
      }
    }
    own.bodies.add(body);
    own.bytes += bytes;
    body.bytes += bytes;
    this.#used += bytes;
    return true;
  }

  /** Releases the bytes of a body that was processed or refused. */
  remove(body: CountedBody): void {
    const own = this.#clients.get(body.clientKey);
    if (!own?.bodies.delete(body)) return;
    own.bytes -= body.bytes;
    this.#used -= body.bytes;
    body.bytes = 0;
    if (own.bodies.size === 0 && this.#clients.size > idleClientsMax) this.#clients.delete(body.clientKey);
  }

  /** The client that uses most, among those with a body that is still arriving. */
  #largest(): ClientBodies | undefined {
    let largest: ClientBodies | undefined;
    for (const client of this.#clients.values()) {
      if (largest && client.bytes <= largest.bytes) continue;
      for (const { isArriving } of client.bodies) {
        if (!isArriving) continue;
        largest = client;
        break;
      }
    }
    return largest;
  }

  #giveUpOne({ bodies }: ClientBodies): boolean {
    for (const body of bodies) {
      if (!body.isArriving) continue;
      this.remove(body);
      body.giveUp();
      return true;
    }
    return false;
  }

  #of(client: string): ClientBodies {
    let own = this.#clients.get(client);
    if (!own) {
      own = { bytes: 0, bodies: new Set() };
      this.#clients.set(client, own);
    }
    return own;
  }
}

// The bytes of bodies in memory: limited in total, and shared between clients. Where there is no room, a body that is still coming in
// of the client that has most is given up: so nobody keeps others out by sending large bodies slowly, or many.

/** A body in memory, or on its way there. */
export interface CountedBody {
  clientKey: string;
  bytes: number;
  /** Whether more of it is to come. */
  isArriving: boolean;
  /** Refuses it, if there is no room for it after all. */
  giveUp(): void;
}

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

  /** Counts more bytes of a body. @returns false if there is no room for them */
  add(body: CountedBody, bytes: number): boolean {
    const own = this.#of(body.clientKey);
    // Whoever is alone is let through: the limit on one body is another one.
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

  /** The body is used up, or given up. */
  remove(body: CountedBody): void {
    const own = this.#clients.get(body.clientKey);
    if (!own?.bodies.delete(body)) return;
    own.bytes -= body.bytes;
    this.#used -= body.bytes;
    body.bytes = 0;
    if (own.bodies.size === 0) this.#clients.delete(body.clientKey);
  }

  /** The client that has most; of those that have a body on its way. */
  #largest(): ClientBodies | undefined {
    let largest: ClientBodies | undefined;
    for (const client of this.#clients.values()) {
      if (largest && client.bytes <= largest.bytes) continue;
      for (const { isArriving: isComing } of client.bodies) {
        if (!isComing) continue;
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

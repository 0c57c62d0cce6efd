// Members of a consumer group that read through any broker, die, leave and join again, and the checks of their records:
// guarantees R1 and R4.
import type { Random } from '../helpers/random.ts';
import type { HttpResponse } from '../helpers/server.ts';
import { goesOn } from './fault-log.ts';
import { TortureClient } from './torture-client.ts';

export class Member extends TortureClient {
  /** `<partition>/<offset>` of every record that it received. */
  readonly consumed = new Set<string>();
  readonly #group: string;
  readonly #topic: string;
  readonly #name: string;
  #lives = 0;

  constructor(name: string, group: string, topic: string, urls: readonly string[], random: Random) {
    super(urls, random);
    this.#name = name;
    this.#group = group;
    this.#topic = topic;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) await this.#live(signal);
  }

  /** From the join to the end of a membership. Some members stop silently, and their sessions expire. */
  async #live(signal: AbortSignal): Promise<void> {
    const memberId = `${this.#name}-${this.#lives++}`;
    const members = `/v1/groups/${this.#group}/members`;
    const body = { topics: [this.#topic], memberId, reset: 'earliest', sessionTimeout: 2000, rebalanceTimeout: 3000 };
    if ((await this.ask(members, 'POST', body))?.status !== 201) {
      await goesOn(this.random.between(50, 300), signal);
      return;
    }
    let from = 'position';
    for (let calls = 0; !signal.aborted; calls += 1) {
      const dice = this.random.next();
      if (calls > 20 && dice < 0.02) return;
      if (calls > 20 && dice < 0.04) return void (await this.ask(`${members}/${memberId}`, 'DELETE'));
      const query = `wait=200&maxRecords=20&commit=previous&from=${from}`;
      const response = await this.ask(`${members}/${memberId}/records?${query}`);
      if (response?.status === 200) {
        for (const { partition, offset } of response.body.records) this.consumed.add(`${partition}/${offset}`);
        from = 'position';
      } else {
        if (response && response.status < 500) return this.#judgeEnd(response);
        from = 'committed';
        await goesOn(this.random.between(20, 200), signal);
      }
    }
  }

  /** A membership may end because its heartbeats did not arrive for too long. */
  #judgeEnd({ body }: HttpResponse): void {
    if (body.code !== 'UNKNOWN_MEMBER' && body.code !== 'UNKNOWN_GROUP') {
      this.problems.push(`${this.#name} was refused: ${JSON.stringify(body)}`);
    }
  }
}

/** Reads the committed offsets of a group again and again: they must never go back. */
export class OffsetsReader extends TortureClient {
  /** The last that was seen, by partition. */
  readonly committed = new Map<number, number>();
  reads = 0;
  readonly #group: string;

  constructor(group: string, urls: readonly string[], random: Random) {
    super(urls, random);
    this.#group = group;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (await goesOn(this.random.between(20, 100), signal)) await this.read();
  }

  async read(): Promise<boolean> {
    const response = await this.ask(`/v1/groups/${this.#group}/offsets`);
    if (response?.status !== 200) return false;
    this.reads += 1;
    for (const { partition, offset } of response.body.offsets) {
      const before = this.committed.get(partition) ?? 0;
      if (offset < before) this.problems.push(`Partition ${partition}: ${offset} is committed after ${before}`);
      this.committed.set(partition, offset);
    }
    return true;
  }
}

/** Records below the committed offsets that no member received. */
export function passedOver(members: readonly Member[], committed: ReadonlyMap<number, number>): string[] {
  const missing: string[] = [];
  for (const [partition, end] of committed) {
    for (let offset = 0; offset < end; offset += 1) {
      const place = `${partition}/${offset}`;
      if (!members.some(({ consumed }) => consumed.has(place))) missing.push(`${place} was committed, and never given`);
    }
  }
  return missing;
}

// Clients that take a lock by ZooKeeper's recipe, and write with its fencing token while they believe to hold it. The check of
// their records: holders write one after the other, never two at a time (L4, N2).
import { setTimeout as pause } from 'node:timers/promises';
import type { Random } from '../helpers/random.ts';
import { goesOn } from './fault-log.ts';
import type { LogRecord } from './repeating-producers.ts';
import { TortureClient } from './torture-client.ts';

/** Creates keys that are unique among clients and attempts. */
let tries = 0;

export class LockClient extends TortureClient {
  /** The sequential nodes in its acknowledged creates. */
  readonly places: string[] = [];
  /** How often it held the lock, and how often it lost it. */
  held = 0;
  lost = 0;
  readonly #lock: string;
  readonly #topic: string;

  constructor(lock: string, topic: string, urls: readonly string[], random: Random) {
    super(urls, random);
    this.#lock = lock;
    this.#topic = topic;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (await goesOn(this.random.between(0, 100), signal)) await this.#useLock(signal);
  }

  async #useLock(signal: AbortSignal): Promise<void> {
    const session = (await this.ask('/v1/sessions', 'POST', { ttl: 1500 }))?.body?.session;
    if (!session) return;
    const headers = { 'weir-session': session };
    const place = await this.#takePlace(headers, signal);
    if (place && (await this.#isFirst(place.name, headers, signal))) {
      this.held += 1;
      await this.#write(place.czxid, headers);
    }
    // Some clients end without releasing the lock.
    if (this.random.chance(0.7)) await this.ask(`/v1/sessions/${session}`, 'DELETE');
  }

  /** Undefined if the lock cannot be acquired any more. */
  async #takePlace(headers: Record<string, string>, signal: AbortSignal) {
    const key = { 'idempotency-key': `place-${tries++}`, ...headers };
    while (!signal.aborted) {
      const response = await this.ask(`/v1/nodes${this.#lock}/c-?mode=ephemeral`, 'POST', undefined, key);
      if (response?.status === 201) {
        this.places.push(response.body.path);
        return { name: response.body.name as string, czxid: response.body.stat.czxid as number };
      }
      if (response && response.status < 500) {
        if (response.body.code !== 'SESSION_EXPIRED') this.problems.push(`No place: ${JSON.stringify(response.body)}`);
        return undefined;
      }
      await pause(this.random.between(20, 100));
    }
    return undefined;
  }

  async #isFirst(name: string, headers: Record<string, string>, signal: AbortSignal): Promise<boolean> {
    while (await goesOn(this.random.between(10, 50), signal)) {
      const response = await this.ask(`/v1/nodes${this.#lock}?view=children`, 'GET', undefined, headers);
      if (response?.status === 200) {
        if (!response.body.children.includes(name)) return false;
        if (response.body.children[0] === name) return true;
      } else if (response && response.status < 500) return false;
    }
    return false;
  }

  /** Writes under the lock, with pauses in which it may lose the lock, without checking that it still has it. */
  async #write(token: number, headers: Record<string, string>): Promise<void> {
    const fenced = { ...headers, 'weir-fence': `lock=${token}`, 'idempotency-key': `write-${tries++}` };
    const times = 1 + this.random.below(4);
    for (let n = 0; n < times; n += 1) {
      const all = { ...fenced, 'idempotency-key': `${fenced['idempotency-key']}-${n}` };
      const records = [{ value: { token, n } }];
      const response = await this.ask(`/v1/topics/${this.#topic}/records`, 'POST', { records }, all);
      if (response?.body.code === 'FENCED' || response?.body.code === 'SESSION_EXPIRED') {
        this.lost += 1;
        return;
      }
      // The result of the write is unknown. The client continues as if it had succeeded.
      await pause(this.random.chance(0.1) ? this.random.between(1000, 3000) : this.random.between(0, 30));
    }
  }
}

/**
 * The faults in records that were written under a lock: records with an older token after a newer one, and duplicates.
 * Records of one token may be in another order than they were sent, as their sender does not wait for all responses.
 */
export function fenceProblems(records: readonly LogRecord[]): string[] {
  const problems: string[] = [];
  const seen = new Set<string>();
  let newest = 0;
  for (const { offset, value } of records) {
    const { token, n } = value;
    if (token < newest) problems.push(`Offset ${offset}: token ${token} after ${newest}`);
    if (seen.has(`${token} ${n}`)) problems.push(`Offset ${offset}: ${n} of ${token} is there twice`);
    seen.add(`${token} ${n}`);
    newest = Math.max(newest, token);
  }
  return problems;
}

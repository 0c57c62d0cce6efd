// Clients that create topics, write to them, enlarge and delete them. Each operation is a sequence of steps over several keys of
// the store, which any fault may interrupt. Each client has its own topic names, so it knows the expected state.
import { setTimeout as pause } from 'node:timers/promises';
import { redisCommand } from '../../src/embedded-redis/redis-command.ts';
import type { HttpResponse } from '../helpers/server.ts';
import { goesOn } from './fault-log.ts';
import { TortureClient } from './torture-client.ts';

let requests = 0;

export class TopicClient extends TortureClient {
  /** How many topics it has created and deleted. */
  rounds = 0;

  /** A request of this round has an unknown result: a broker that was stopped may carry it out later. */
  #isHaunted = false;

  async run(signal: AbortSignal): Promise<void> {
    let name = `own-${requests++}`;
    while (await goesOn(this.random.between(0, 200), signal)) {
      await this.#round(name);
      // It would rightly apply to the next topic of the same name.
      if (this.#isHaunted) name = `own-${requests++}`;
      this.#isHaunted = false;
    }
  }

  /** Completes the round even after `signal` is aborted, so that the final state is known. */
  async #round(name: string): Promise<void> {
    const topic = `/v1/topics/${name}`;
    const partitions = 1 + this.random.below(4);
    const created = await this.#insist('/v1/topics', 'POST', { name, partitions, replicationFactor: 1 });
    if (created.status !== 201) this.problems.push(`${name} was not created: ${JSON.stringify(created.body)}`);
    const records = Array.from({ length: 8 }, (_, n) => ({ value: n, partition: n % partitions }));
    const produced = await this.#insist(`${topic}/records`, 'POST', { records });
    if (produced.status !== 200) this.problems.push(`${name} took no records: ${JSON.stringify(produced.body)}`);
    const described = await this.#insist(topic, 'GET');
    const ends: number[] | undefined = described.body.partitions?.map(({ endOffset }: any) => endOffset);
    if (ends?.length !== partitions || ends.reduce((sum, end) => sum + end, 0) !== records.length) {
      this.problems.push(`${name} has ${ends}, for ${records.length} records in ${partitions}: ${described.status}`);
    }
    if (this.random.chance(0.3)) {
      const grown = await this.#insist(topic, 'PATCH', { partitions: partitions + 2 });
      if (grown.status !== 200) this.problems.push(`${name} was not enlarged: ${JSON.stringify(grown.body)}`);
      const last = `${topic}/partitions/${partitions + 1}/records`;
      const more = await this.#insist(last, 'POST', { records: [{ value: 'last' }] });
      if (more.status !== 200) this.problems.push(`${name}, new partition: ${JSON.stringify(more.body)}`);
    }
    // An earlier attempt without a response may have succeeded.
    const deleted = await this.#insist(topic, 'DELETE');
    if (deleted.status !== 204 && deleted.status !== 404) {
      this.problems.push(`${name} was not deleted: ${JSON.stringify(deleted.body)}`);
    }
    const gone = await this.#insist(topic, 'GET');
    if (gone.status !== 404) this.problems.push(`${name} is there after its deletion: ${JSON.stringify(gone.body)}`);
    this.rounds += 1;
  }

  /** Repeats a request until its result is known. */
  async #insist(target: string, method: string, body?: unknown): Promise<HttpResponse> {
    const headers = { ...(method === 'POST' && { 'idempotency-key': `own-${requests++}` }) };
    for (;;) {
      const response = await this.ask(target, method, body, headers);
      if (response && response.status < 500) return response;
      this.#isHaunted = true;
      await pause(this.random.between(20, 200));
    }
  }
}

/** Logs without a topic that have data. An interrupted create may leave an empty log. */
export async function strayLogs(socketPath: string, topicIds: ReadonlySet<string>): Promise<string[]> {
  const strays: string[] = [];
  let cursor = '0';
  do {
    const [next, keys] = (await redisCommand(socketPath, ['SCAN', cursor, 'COUNT', '1000'])) as [string, string[]];
    cursor = next;
    for (const key of keys) {
      const [, topicId, kind] = /^\{weir:([^:]+):\d+\}:(.*)$/.exec(key) ?? [];
      // Stored responses and the marker of a removed log expire by themselves.
      if (topicId === undefined || topicIds.has(topicId) || /^(idempotency:|removed$)/.test(kind!)) continue;
      if (kind !== 'partition') strays.push(key);
      else if ((await redisCommand(socketPath, ['HGET', key, 'next'])) !== '0') strays.push(key);
    }
  } while (cursor !== '0');
  return strays;
}

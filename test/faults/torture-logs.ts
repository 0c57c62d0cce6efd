// Producers that send each request again, through any broker, until it is answered, and the judge of the logs that come out
// of it: guarantees L1 to L3.
import type { Random } from '../helpers/random.ts';
import { http } from '../helpers/server.ts';
import { TortureClient } from './torture-client.ts';
import { goesOn } from './torture-log.ts';

export interface LogRecord {
  partition: number;
  offset: number;
  value: any;
}

interface Sent {
  /** Counts the records of this producer. */
  n: number;
  partition: number;
  offset: number;
}

/** Sends numbered records, one request after the other, each with an Idempotency-Key. */
export class Producer extends TortureClient {
  readonly name: string;
  readonly acknowledged: Sent[] = [];
  readonly #topic: string;
  readonly #partitions: number;
  #count = 0;
  #requests = 0;

  constructor(name: string, topic: string, partitions: number, urls: readonly string[], random: Random) {
    super(urls, random);
    this.name = name;
    this.#topic = topic;
    this.#partitions = partitions;
  }

  /** The last request is repeated until it is answered, also when `signal` is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    while (await goesOn(this.random.between(0, 60), signal)) await this.#produce();
  }

  async #produce(): Promise<void> {
    const kind = this.random.pick(['keyed', 'keyless', 'placed']);
    const records = Array.from({ length: 1 + this.random.below(4) }, () => ({
      value: { producer: this.name, n: this.#count++ },
      ...(kind === 'keyed' && { key: `${this.name}-${this.random.below(5)}` }),
      ...(kind === 'placed' && { partition: this.random.below(this.#partitions) }),
    }));
    const headers = { 'idempotency-key': `${this.name}-${this.#requests++}` };
    for (;;) {
      const answer = await this.ask(`/v1/topics/${this.#topic}/records?offsets=true`, 'POST', { records }, headers);
      if (answer?.status === 200) {
        for (const [i, [partition, offset]] of answer.body.offsets.entries()) {
          this.acknowledged.push({ n: records[i]!.value.n, partition, offset });
        }
        return;
      }
      if (answer && answer.status < 500) {
        this.problems.push(`${this.name} was refused: ${JSON.stringify(answer.body)}`);
        return;
      }
      await goesOn(this.random.between(20, 200), new AbortController().signal);
    }
  }
}

/** All records of a topic, through one broker. */
export async function wholeTopic(url: string, topic: string, partitions: number): Promise<LogRecord[]> {
  const records: LogRecord[] = [];
  for (let partition = 0; partition < partitions; partition += 1) {
    for (let offset = 0, end = 1; offset < end; ) {
      const at = `${url}/v1/topics/${topic}/partitions/${partition}/records?offset=${offset}&maxRecords=1000`;
      const { status, body } = await http(at);
      if (status !== 200) throw new Error(`${at}: ${JSON.stringify(body)}`);
      records.push(...body.records.map((record: any) => ({ ...record, partition })));
      ({ nextOffset: offset, endOffset: end } = body);
    }
  }
  return records;
}

/** What is wrong with a topic's records, by what its producers were promised. */
export function logProblems(records: readonly LogRecord[], producers: readonly Producer[]): string[] {
  const problems: string[] = [];
  const placeOf = new Map<string, string>();
  const nextOffset = new Map<number, number>();
  const lastOf = new Map<string, number>();
  for (const { partition, offset, value } of records) {
    const due = nextOffset.get(partition) ?? 0;
    if (offset !== due) problems.push(`Partition ${partition} has offset ${offset} where ${due} is due`);
    nextOffset.set(partition, offset + 1);
    const { producer, n } = value;
    const name = `${producer} ${n}`;
    const place = `${partition}/${offset}`;
    if (placeOf.has(name)) problems.push(`${name} is there twice: ${placeOf.get(name)} and ${place}`);
    placeOf.set(name, place);
    const lane = `${producer} in ${partition}`;
    const last = lastOf.get(lane) ?? -1;
    if (n <= last) problems.push(`${lane}: ${n} comes behind ${last}`);
    lastOf.set(lane, n);
  }
  for (const { name, acknowledged } of producers) {
    for (const { n, partition, offset } of acknowledged) {
      const place = placeOf.get(`${name} ${n}`);
      if (place !== `${partition}/${offset}`) {
        problems.push(`${name} ${n} was acknowledged at ${partition}/${offset}, and is at ${place}`);
      }
    }
  }
  return problems;
}

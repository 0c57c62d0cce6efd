// Producers that repeat each request through any broker until it gets a response, and the check of the resulting logs: guarantees
// L1 to L3.
import type { Random } from '../helpers/random.ts';
import { http } from '../helpers/server.ts';
import { goesOn } from './fault-log.ts';
import { TortureClient } from './torture-client.ts';

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

/** What identifies a request when it is repeated: a header, or a member of its body. */
interface Identity {
  headers?: Record<string, string>;
  producer?: { id: string; epoch: number; sequence: number };
}

const never = new AbortController().signal;

/** Sends numbered records, one request after the other, each with an Idempotency-Key, as JSON or as a stream of lines. */
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

  /** Repeats the last request until it gets a response, also after `signal` is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    while (await goesOn(this.random.between(0, 60), signal)) await this.#produce();
  }

  /** What identifies the next request. */
  protected async identify(): Promise<Identity> {
    return { headers: { 'idempotency-key': this.nextKey() } };
  }

  protected nextKey(): string {
    return `${this.name}-${this.#requests++}`;
  }

  async #produce(): Promise<void> {
    const identity = await this.identify();
    const send = this.prepare(identity);
    for (;;) {
      const response = await send();
      if (response === 'done') return;
      if (response) {
        this.problems.push(`${this.name} was refused: ${JSON.stringify(response)}`);
        return;
      }
      await goesOn(this.random.between(20, 200), never);
    }
  }

  /**
   * Prepares a request with new records.
   * @returns a function that sends it, any number of times, and returns `done`, a final problem, or undefined for an unknown result
   */
  protected prepare({ headers = {}, producer }: Identity): () => Promise<unknown> {
    const kind = this.random.pick(['keyed', 'keyless', 'placed']);
    const records = Array.from({ length: 1 + this.random.below(4) }, () => ({
      value: { producer: this.name, n: this.#count++ },
      ...(kind === 'keyed' && { key: `${this.name}-${this.random.below(5)}` }),
      ...(kind === 'placed' && { partition: this.random.below(this.#partitions) }),
    }));
    const target = `/v1/topics/${this.#topic}/records?offsets=true`;
    const inHeader = producer && { 'weir-producer': `${producer.id}:${producer.epoch}:${producer.sequence}` };
    const ask = this.random.chance(0.3)
      ? () =>
          this.ask(target, 'POST', records.map((record) => JSON.stringify(record)).join('\n'), {
            ...headers,
            ...inHeader,
            'content-type': 'application/x-ndjson',
          })
      : () => this.ask(target, 'POST', { records, ...(producer && { producer }) }, headers);
    return async () => {
      const response = await ask();
      if (!response || response.status >= 500) return undefined;
      if (response.status !== 200) return response.body;
      const offsets: [number, number][] = [];
      for (const result of responseLines(response.body)) {
        // A stream that fails midway ends with the problem.
        if (result.code) return result.retryable ? undefined : result;
        offsets.push(...(result.offsets ?? []));
      }
      for (const [i, [partition, offset]] of offsets.entries()) {
        this.acknowledged.push({ n: records[i]!.value.n, partition, offset });
      }
      return 'done';
    };
  }
}

/** The lines of an NDJSON response; a JSON response is one line. */
function responseLines(body: unknown): any[] {
  if (typeof body !== 'string') return [body];
  return body
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

/**
 * A named producer that the next process of its name takes over at times, while a request of the old process is still in flight.
 * After the new epoch begins, no request of the old one may be appended.
 */
export class NamedProducer extends Producer {
  /** How often a new process took over. */
  takeOvers = 0;
  #stamp: { id: string; epoch: number } | undefined;
  #sequence = 0;
  readonly #left: Promise<unknown>[] = [];

  override async run(signal: AbortSignal): Promise<void> {
    await super.run(signal);
    await Promise.all(this.#left);
  }

  protected override async identify(): Promise<Identity> {
    if (!this.#stamp || this.random.chance(0.08)) await this.#takeOver();
    return { producer: { ...this.#stamp!, sequence: this.#sequence++ } };
  }

  async #takeOver(): Promise<void> {
    // The old process sends a last request, and ends before the response.
    if (this.#stamp) {
      const last = this.prepare({ producer: { ...this.#stamp, sequence: this.#sequence } })();
      this.#left.push(last.then((response) => this.#checkLast(response)));
      this.takeOvers += 1;
    }
    const headers = { 'idempotency-key': this.nextKey() };
    for (;;) {
      const response = await this.ask('/v1/producers', 'POST', { name: this.name }, headers);
      if (response?.status === 201) {
        const { id, epoch } = response.body as { id: string; epoch: number };
        if (this.#stamp && (id !== this.#stamp.id || epoch <= this.#stamp.epoch)) {
          this.problems.push(`${this.name}: ${id} at ${epoch} follows ${JSON.stringify(this.#stamp)}`);
        }
        this.#stamp = { id, epoch };
        this.#sequence = 0;
        return;
      }
      if (response && response.status < 500)
        this.problems.push(`${this.name} got no epoch: ${JSON.stringify(response.body)}`);
      await goesOn(this.random.between(20, 200), never);
    }
  }

  #checkLast(response: any): void {
    if (response === undefined || response === 'done' || response.code === 'PRODUCER_FENCED') return;
    this.problems.push(`${this.name} was refused its last request: ${JSON.stringify(response)}`);
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

/** The faults in the records of a topic, by the responses that its producers got. */
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

// Named producers and readers of logs that may be compressed and compacted. Records are sent as text, with unusual spellings of
// JSON, and compared as text.
import type { Random } from '../helpers/random.ts';
import { goesOn } from './fault-log.ts';
import { TortureClient } from './torture-client.ts';

export interface Place {
  topic: string;
  partition: number;
}

const never = new AbortController().signal;
const json = { 'content-type': 'application/json' };

/** Sends records to one partition, one request after the other, each with the next sequence, until it gets a response. */
export class NamedProducer extends TortureClient {
  readonly name: string;
  readonly place: Place;
  /** By offset, the record as it was sent. */
  readonly acknowledged = new Map<number, string>();
  /** By key, the offset of its newest record. */
  readonly newest = new Map<string, number>();
  readonly #keys: number;
  #count = 0;
  #sequence = 0;

  constructor(name: string, place: Place, keys: number, urls: readonly string[], random: Random) {
    super(urls, random);
    this.name = name;
    this.place = place;
    this.#keys = keys;
  }

  async run(signal: AbortSignal): Promise<void> {
    let producer: { id: string; epoch: number } | undefined;
    while (!producer && !signal.aborted) {
      const response = await this.ask('/v1/producers', 'POST', { name: this.name }, { 'idempotency-key': this.name });
      if (response?.status === 201) producer = response.body as { id: string; epoch: number };
      else await goesOn(100, signal);
    }
    while (producer && (await goesOn(this.random.between(0, 30), signal))) await this.#produce(producer);
  }

  async #produce(producer: { id: string; epoch: number }): Promise<void> {
    const records = Array.from({ length: 1 + this.random.below(20) }, () => this.#record());
    const stamp = JSON.stringify({ id: producer.id, epoch: producer.epoch, sequence: this.#sequence++ });
    const body = `{"records":[${records.map(({ text }) => text).join(',')}],"producer":${stamp}}`;
    const target = `/v1/topics/${this.place.topic}/partitions/${this.place.partition}/records`;
    for (;;) {
      const response = await this.ask(target, 'POST', body, json);
      if (response?.status === 200) {
        const { baseOffset } = response.body.results[0];
        for (const [i, { key, text }] of records.entries()) {
          this.acknowledged.set(baseOffset + i, text);
          this.newest.set(key, baseOffset + i);
        }
        return;
      }
      if (response && response.status < 500) {
        this.problems.push(`${this.name} was refused: ${JSON.stringify(response.body)}`);
        return;
      }
      await goesOn(this.random.between(20, 200), never);
    }
  }

  #record(): { key: string; text: string } {
    const key = `${this.name}-${this.random.below(this.#keys)}`;
    const odd = this.random.pick(['1.50', '-0', '1E+2', '12345678901234567890123']);
    const filling = 'é\\u00e9\\n"'.replace('"', '\\"').repeat(this.random.below(30));
    return { key, text: `{"key":"${key}","value":{ "n" : ${this.#count++} , "odd":${odd},"text":"${filling}"}}` };
  }
}

/** Reads one partition from its start, through any broker, in responses of any size. */
export class LogFollower extends TortureClient {
  readonly place: Place;
  /** By offset, the record as received, without its offset and time. */
  readonly received = new Map<number, string>();
  next = 0;
  reads = 0;

  constructor(place: Place, urls: readonly string[], random: Random) {
    super(urls, random);
    this.place = place;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) if (!(await this.read(signal))) await goesOn(50, signal);
  }

  /** One fetch. @returns the end offset; undefined if there was no response */
  async read(signal: AbortSignal = never): Promise<number | undefined> {
    const limits = this.random.pick(['maxRecords=1', 'maxRecords=7', 'maxBytes=3000', 'maxRecords=1000']);
    const { topic, partition } = this.place;
    const wait = signal === never ? 0 : 200;
    const target = `/v1/topics/${topic}/partitions/${partition}/records?offset=${this.next}&${limits}&wait=${wait}`;
    const response = await this.ask(target, 'GET', undefined, { accept: 'application/x-ndjson' });
    if (response?.status !== 200) {
      if (response && response.status < 500) this.problems.push(`${target}: ${JSON.stringify(response.body)}`);
      return undefined;
    }
    this.reads += 1;
    const nextOffset = Number(response.headers.get('weir-next-offset'));
    let last = this.next - 1;
    for (const line of (response.body as string).split('\n').filter((text) => text !== '')) {
      const [, offset, record] = /^\{"offset":(\d+),"timestamp":\d+,(.*)$/.exec(line)!;
      if (Number(offset) <= last) this.problems.push(`${target}: ${offset} comes behind ${last}`);
      last = Number(offset);
      this.received.set(last, `{${record}`);
    }
    if (nextOffset <= last || nextOffset < this.next) this.problems.push(`${target}: goes on at ${nextOffset}`);
    this.next = nextOffset;
    return Number(response.headers.get('weir-end-offset'));
  }

  /** Reads up to the end of the log after the last append. */
  async finish(): Promise<void> {
    for (let end: number | undefined; end === undefined || this.next < end; ) end = await this.read();
  }
}

// Appends the records of a backup, each once. Its producer has a name: another run of the same restore takes it over, and fences this one,
// before it looks how many records the logs have.
import type { Weir } from '@weirkeeper/client';

/** Bytes of records in one request. */
const batchBytes = 512 * 1024;

interface Batch {
  topic: string;
  partition: number;
  texts: string[];
  bytes: number;
}

export class RecordAppender {
  readonly #http: Weir['http'];
  readonly #producer: { id: string; epoch: number };
  readonly #signal: AbortSignal;
  readonly #sequences = new Map<string, number>();
  #batch: Batch | undefined;
  /** The request in progress: the next batch is gathered meanwhile. */
  #sending: Promise<unknown> | undefined;

  private constructor(http: Weir['http'], producer: { id: string; epoch: number }, signal: AbortSignal) {
    this.#http = http;
    this.#producer = producer;
    this.#signal = signal;
  }

  /** @param name the name of the producer */
  static async start(http: Weir['http'], name: string, signal: AbortSignal): Promise<RecordAppender> {
    const producer = await http.json<{ id: string; epoch: number }>({
      method: 'POST',
      path: '/v1/producers',
      body: { name },
      signal,
    });
    return new RecordAppender(http, producer, signal);
  }

  /** @param text the record as JSON without its partition */
  async append(topic: string, partition: number, text: string): Promise<void> {
    const open = this.#batch;
    const bytes = Buffer.byteLength(text);
    if (open && (open.topic !== topic || open.partition !== partition || open.bytes + bytes > batchBytes))
      await this.#send();
    const batch = this.#batch ?? { topic, partition, texts: [], bytes: 0 };
    batch.texts.push(text);
    batch.bytes += bytes;
    this.#batch = batch;
  }

  /** Resolves when everything is appended. */
  async flush(): Promise<void> {
    await this.#send();
    await this.#sending;
  }

  async #send(): Promise<void> {
    const batch = this.#batch;
    if (!batch) return;
    this.#batch = undefined;
    // One after the other: a request that overtakes another would leave a gap in the sequence.
    await this.#sending;
    const { topic, partition, texts } = batch;
    const sequence = this.#sequences.get(topic) ?? 0;
    this.#sequences.set(topic, sequence + 1);
    const producer = JSON.stringify({ ...this.#producer, sequence });
    this.#sending = this.#http.send({
      method: 'POST',
      path: `/v1/topics/${topic}/partitions/${partition}/records`,
      headers: { 'content-type': 'application/json' },
      body: `{"producer":${producer},"records":[${texts.join(',')}]}`,
      isRepeatable: true,
      signal: this.#signal,
    });
    // Seen when it is awaited.
    this.#sending.catch(() => {});
  }
}

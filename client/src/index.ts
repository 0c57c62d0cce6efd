// The client: everything but the recipes.
import { Admin } from './admin.ts';
import type { Consumer, ConsumerOptions } from './consumer.ts';
import { consumerOf, producerOf, tailOf } from './log-client.ts';
import type { WeirOptions } from './options.ts';
import type { Producer, ProducerOptions } from './producer.ts';
import type { TailOptions, TailRecord } from './tail.ts';
import { TreeClient } from './tree-client.ts';

export type * from './admin.ts';
export type * from './consumer.ts';
export type { Producer, ProducerOptions } from './producer.ts';
export type { Appended } from './producer-lane.ts';
export type { RecordInput } from './record-input.ts';
export type { TailOptions, TailRecord } from './tail.ts';
export * from './tree-client.ts';
export type {
  Brokers,
  Cluster,
  Election,
  EventHistory,
  Group,
  Groups,
  LogRecord,
  OffsetsReset,
  Partition,
  Resources,
  Sessions,
  StatsSample,
  Topic,
  TopicConfig,
  TopicPartitions,
  Topics,
} from './wire.ts';

export class Weir extends TreeClient {
  /**
   * A client with what the environment says: `WEIR_URL` (several with commas between them), `WEIR_TOKEN`, and the files of
   * certificates `WEIR_CACERT`, `WEIR_CERT` and `WEIR_KEY`.
   */
  static fromEnv(options: Partial<WeirOptions> = {}): Weir {
    const { process } = globalThis as { process?: { env: { [name: string]: string | undefined } } };
    const { WEIR_URL: url = 'http://localhost:7070', WEIR_TOKEN: token, ...env } = process?.env ?? {};
    const files = { ca: env.WEIR_CACERT, cert: env.WEIR_CERT, key: env.WEIR_KEY };
    const tls = Object.entries(files).flatMap(([name, file]) => (file ? [[name, { file }]] : []));
    return new Weir({
      url,
      ...(token !== undefined && { token }),
      ...(tls.length > 0 && { tls: Object.fromEntries(tls) }),
      ...options,
    });
  }

  /** Appends records. With a `name`, each exactly once. */
  producer(options?: ProducerOptions): Producer {
    return producerOf(this.internals, options);
  }

  /** Reads topics as a member of a group. */
  consumer(options: ConsumerOptions): Consumer {
    return consumerOf(this.internals, options);
  }

  /** Reads a topic without an end, and without a group. */
  tail(topic: string, options?: TailOptions): AsyncGenerator<TailRecord, void, undefined> {
    return tailOf(this.internals, topic, options);
  }

  /** Administration: topics, groups, partitions, elections, access. */
  get admin(): Admin {
    return new Admin(this.internals.http);
  }
}

// A client of logs alone: producers, consumers, tails and administration.
import { Admin } from './admin.ts';
import { Consumer, type ConsumerOptions, type RecordBatch } from './consumer.ts';
import { type ClientInternals, CoreClient } from './core-client.ts';
import { Producer, type ProducerOptions } from './producer.ts';
import type { TailOptions, TailRecord } from './tail.ts';

export type * from './admin.ts';
export type { ConsumerEvents, OnError, RecordBatch, RunOptions } from './consumer.ts';
export { type ClientErrorCode, isWeirError, WeirError } from './errors.ts';
export type { ClientEvent, RetryOptions, WebSocketLike, WeirOptions } from './options.ts';
export type { Appended } from './producer-lane.ts';
export type { RecordInput } from './record-input.ts';
export type { Duration } from './time.ts';
export type { Pem, TlsOptions } from './tls.ts';
export type { ErrorCode, LogRecord, TopicPartitions } from './wire.ts';
export { Admin, Consumer, type ConsumerOptions, Producer, type ProducerOptions, type TailOptions, type TailRecord };

export class LogClient extends CoreClient {
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

  /** Administration. */
  get admin(): Admin {
    return new Admin(this.internals.http);
  }
}

/** @internal */
export function producerOf(
  { http, channel, settings, add, remove }: ClientInternals,
  options: ProducerOptions = {},
): Producer {
  return add(new Producer(http, channel, settings, options, remove));
}

/** @internal */
export function consumerOf(
  { http, channel, settings, add, remove }: ClientInternals,
  options: ConsumerOptions,
): Consumer {
  // Plain JavaScript may leave it out; the consumer would wait in a group of the name "undefined".
  if (!options?.group) throw new TypeError('A consumer needs the name of its group: consumer({ group, topics }).');
  const deadLetter = async (topic: string, batch: RecordBatch, error: unknown) => {
    const { sendToDeadLetter } = await import('./dead-letter.ts');
    await sendToDeadLetter(channel, topic, batch, error);
  };
  return add(new Consumer(http, settings, options, deadLetter, remove));
}

/** @internal */
export async function* tailOf(
  { http, settings, closed }: ClientInternals,
  topic: string,
  options: TailOptions = {},
): AsyncGenerator<TailRecord, void, undefined> {
  const { tailRecords } = await import('./tail.ts');
  yield* tailRecords(http, settings, closed, topic, options);
}

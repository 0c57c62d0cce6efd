// Bodies and queries of the consumer calls of the Kafka REST dialect (docs/kafka-rest.md).
import { z } from 'zod';
import { queryFlag, queryInteger } from './common.ts';
import { fetchBytesDefault, fetchBytesMax, fetchWaitMsMax } from './records.ts';
import { topicName } from './topics.ts';

/** Confluent's clients send texts, Strimzi's numbers and booleans. */
const flag = z.union([z.boolean(), z.enum(['true', 'false']).transform((text) => text === 'true')]);
const whole = (min: number, max: number) =>
  z
    .union([
      z.int(),
      z
        .string()
        .regex(/^-?\d{1,9}$/)
        .transform(Number),
    ])
    .pipe(z.int().min(min).max(max));

/** How long a poll waits that neither says so nor has an instance that does, ms: Confluent's default. */
const timeoutDefaultMs = 1000;

export const createInstanceBody = z.strictObject({
  name: z.string().optional(),
  id: z.string().optional(),
  format: z.string().default('binary'),
  'auto.offset.reset': z.enum(['earliest', 'latest', 'none']).default('latest'),
  'auto.commit.enable': flag.optional(),
  'enable.auto.commit': flag.optional(),
  'fetch.min.bytes': whole(-1, fetchBytesMax).default(1),
  'consumer.request.timeout.ms': whole(0, fetchWaitMsMax).default(timeoutDefaultMs),
  'isolation.level': z.enum(['read_committed', 'read_uncommitted']).optional(),
});

const partition = z.strictObject({ topic: topicName, partition: z.int().min(0) });
const topicsMax = 10_000;
const partitionsMax = 10_000;

export const subscriptionBody = z.strictObject({
  topics: z.array(topicName).min(1).max(topicsMax).optional(),
  topic_pattern: z.string().min(1).optional(),
});

export const partitionsBody = z.strictObject({ partitions: z.array(partition).max(partitionsMax) });

const offsetOf = partition.extend({
  offset: z
    .int()
    .min(0)
    .max(Number.MAX_SAFE_INTEGER - 1),
  metadata: z.string().max(4096).nullish(),
});

export const offsetsBody = z.strictObject({ offsets: z.array(offsetOf).max(partitionsMax) });

export const positionsBody = z.strictObject({
  offsets: z.array(offsetOf).max(partitionsMax).optional(),
  timestamps: z
    .array(partition.extend({ timestamp: z.iso.datetime({ offset: true }), metadata: z.string().max(4096).nullish() }))
    .max(partitionsMax)
    .optional(),
});

export const pollQuery = z.strictObject({
  timeout: queryInteger(0, fetchWaitMsMax).optional(),
  max_bytes: queryInteger(1, Number.MAX_SAFE_INTEGER)
    .default(fetchBytesDefault)
    .transform((bytes) => Math.min(bytes, fetchBytesMax)),
});

export const commitQuery = z.strictObject({ async: queryFlag.optional() });

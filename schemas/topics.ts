// The wire of /v1/topics, but for the records: schemas/records.ts.
import { z } from 'zod';
import { logError, offset, queryInteger } from './common.ts';

export const topicName = z
  .string()
  .meta({ pattern: '^[a-zA-Z0-9._-]{1,249}$' })
  .describe('1 to 249 of a-z, A-Z, 0-9, `.`, `_`, `-`; not `.` or `..`.');

const configInput = z
  .record(z.string(), z.union([z.string(), z.number(), z.null()], 'must be a text, a number or null'))
  .describe("Kafka's settings by their names, such as `retention.ms`; null = back to the default.");

/** Two nodes each, and one transaction makes them all: about 50 ms of the store's time. */
export const partitionsMax = 2000;

/** How many partitions; src/broker/metadata/topic-admin.ts refuses others with a code of their own. */
const partitionCount = z.int().meta({ minimum: 1, maximum: partitionsMax });

export const createTopicBody = z
  .strictObject({
    name: topicName,
    partitions: partitionCount.default(1),
    replicationFactor: z
      .int()
      .meta({ minimum: 1 })
      .default(1)
      .describe('How many brokers may keep house for each partition.'),
    config: configInput.default({}),
  })
  .meta({ id: 'CreateTopic' });

export const alterTopicBody = z
  .strictObject({
    partitions: partitionCount.optional().describe('How many there shall be; the number only grows.'),
    config: configInput.optional(),
  })
  .meta({ id: 'AlterTopic' });

export const topicsLimitMax = 10_000;

export const listTopicsQuery = z.strictObject({
  limit: queryInteger(1, topicsLimitMax).optional().describe('Most topics per answer; default 1000.'),
  after: z.string().optional().describe('The `next` of the page before.'),
});

export const topicParams = z.strictObject({ topic: topicName });

/** Every setting of a topic with the value that holds: its own, or the default. Kafka's names. */
export const topicConfig = z
  .object({
    'cleanup.policy': z.enum(['delete', 'compact', 'compact,delete']),
    'compression.type': z
      .enum(['producer', 'uncompressed', 'gzip'])
      .describe('Batches are kept as they come, or packed by the server.'),
    'delete.retention.ms': z.int().describe('How long the tombstone of a compacted topic is kept.'),
    'max.message.bytes': z.int().describe('The largest batch: what one request sends to one partition.'),
    'message.timestamp.after.max.ms': z
      .int()
      .describe("How far a record's timestamp may be after the time of its append; -1 = any."),
    'message.timestamp.before.max.ms': z
      .int()
      .describe(
        "How far a record's timestamp may be before that; -1 = any that is not probably in seconds (before 1973).",
      ),
    'message.timestamp.type': z.enum(['CreateTime', 'LogAppendTime']),
    'min.insync.replicas': z
      .int()
      .describe("How many machines must have a record produced with acks=all: the store's primary and its replicas."),
    'retention.bytes': z.int().describe('Of one partition; -1 = no limit.'),
    'retention.ms': z.int().describe('-1 = for ever.'),
  })
  .meta({ id: 'TopicConfig' });

export type TopicConfig = z.infer<typeof topicConfig>;

export const partitionResponse = z
  .object({
    partition: z.int().min(0),
    leader: z.int().describe('The broker that keeps house for it; -1 = none.'),
    leaderEpoch: z.int().min(0).describe('Grows with each change of the leader, and when a replica dies.'),
    replicas: z.array(z.int()).describe('The brokers that may; the first is preferred.'),
    isr: z.array(z.int()).describe('Those of them that are alive.'),
    logStartOffset: offset.nullable(),
    endOffset: offset.nullable().describe('The offset of the next record.'),
    bytes: z.int().min(0).nullable().describe('Of its records.'),
    error: logError.optional(),
  })
  .meta({ id: 'Partition' });

export type PartitionDescription = z.infer<typeof partitionResponse>;

const brokerId = z
  .int()
  .min(0)
  .max(2 ** 31 - 1);

export const reassignBody = z
  .strictObject({
    replicas: z
      .array(brokerId)
      .min(1)
      .max(1000)
      .refine((ids) => new Set(ids).size === ids.length, 'must name each broker once')
      .meta({ uniqueItems: true })
      .describe('The ids of the brokers that may keep house for it from now on; the first is preferred as leader.'),
  })
  .meta({ id: 'ReassignPartition' });

export const electionBody = z
  .strictObject({
    topic: topicName,
    partition: z.int().min(0).optional().describe('Absent: every partition of the topic.'),
  })
  .meta({ id: 'ElectLeaders' });

const electionOutcome = z
  .object({
    partition: z.int().min(0),
    leader: z.int().describe('The broker that leads now; -1 = none.'),
    leaderEpoch: z.int().min(0),
    outcome: z
      .enum(['elected', 'notNeeded', 'preferredUnavailable'])
      .describe(
        '`elected`: its preferred leader has taken over. `notNeeded`: it led already. `preferredUnavailable`: it is not alive.',
      ),
  })
  .meta({ id: 'ElectionOutcome' });

export type ElectionOutcome = z.infer<typeof electionOutcome>;

export const electionResponse = z
  .object({ topic: topicName, partitions: z.array(electionOutcome) })
  .meta({ id: 'Election' });

export const topicResponse = z
  .object({
    name: topicName,
    topicId: z.string().describe('Tells the topic from an earlier one of its name.'),
    config: topicConfig,
    partitions: z.array(partitionResponse),
  })
  .meta({ id: 'Topic' });

export type TopicDescription = z.infer<typeof topicResponse>;

export const topicsResponse = z
  .object({
    topics: z.array(z.object({ name: topicName, topicId: z.string(), partitions: z.int().min(1) })),
    next: z.string().optional().describe('Pass as `after` for the next page; absent on the last.'),
  })
  .meta({ id: 'Topics' });

// Requests and responses of /v1/topics, without records, which are in schemas/records.ts.
import { z } from 'zod';
import { logError, nextPage, offset, queryInteger } from './common.ts';

export const topicName = z
  .string()
  .meta({ pattern: '^[a-zA-Z0-9._-]{1,249}$' })
  .describe('1 to 249 of a-z, A-Z, 0-9, `.`, `_`, `-`; not `.` or `..`.');

const configInput = z
  .record(z.string(), z.union([z.string(), z.number(), z.null()], 'must be a text, a number or null'))
  .describe("Topic settings by Kafka's names, such as `retention.ms`; null = reset to the default.");

/** The most partitions of a topic. Each has two nodes, all created in one transaction: about 50 ms of the store's time. */
export const partitionsMax = 2000;

/** Number of partitions. src/broker/metadata/topic-admin.ts checks the bounds and refuses others with INVALID_PARTITIONS. */
const partitionCount = z.int().meta({ minimum: 1, maximum: partitionsMax });

export const createTopicBody = z
  .strictObject({
    name: topicName,
    partitions: partitionCount.default(1),
    replicationFactor: z
      .int()
      .meta({ minimum: 1 })
      .default(1)
      .describe('Number of brokers that may maintain the log of each partition.'),
    config: configInput.default({}),
  })
  .meta({ id: 'CreateTopic' });

export const alterTopicBody = z
  .strictObject({
    partitions: partitionCount.optional().describe('New number of partitions; it can only grow.'),
    config: configInput.optional(),
  })
  .meta({ id: 'AlterTopic' });

const topicsLimitMax = 10_000;

export const listTopicsQuery = z.strictObject({
  limit: queryInteger(1, topicsLimitMax).optional().describe('Maximum number of topics in the response; default 1000.'),
  after: z.string().optional().describe('The `next` of the previous page.'),
  view: z
    .literal('summary')
    .optional()
    .describe('`summary` adds the sizes of each topic, its rates, and the groups that read it.'),
});

export const topicParams = z.strictObject({ topic: topicName });

/** All settings of a topic, by Kafka's names, with the effective values. */
const topicConfig = z
  .object({
    'cleanup.policy': z.enum(['delete', 'compact', 'compact,delete']),
    'compression.type': z
      .enum(['producer', 'uncompressed', 'gzip'])
      .describe('Whether the server stores batches as they were sent (`producer`, `uncompressed`) or compresses them.'),
    'delete.retention.ms': z.int().describe('How long a compacted topic keeps tombstones, ms.'),
    'max.message.bytes': z
      .int()
      .describe('Maximum size of a batch, bytes. A batch holds the records of one request for one partition.'),
    'message.timestamp.after.max.ms': z
      .int()
      .describe('How far the timestamp of a record may be after the time of its append, ms; -1 = any.'),
    'message.timestamp.before.max.ms': z
      .int()
      .describe(
        'How far the timestamp of a record may be before the time of its append, ms; -1 = any, except timestamps before March 1973, which are probably in seconds.',
      ),
    'message.timestamp.type': z.enum(['CreateTime', 'LogAppendTime']),
    'min.insync.replicas': z
      .int()
      .describe(
        'Number of Redis servers that must have a record produced with acks=all: the primary and its replicas.',
      ),
    'retention.bytes': z.int().describe('Maximum size of the log of one partition, bytes; -1 = no limit.'),
    'retention.ms': z.int().describe('How long records are kept, ms; -1 = without limit.'),
  })
  .meta({ id: 'TopicConfig' });

export type TopicConfig = z.infer<typeof topicConfig>;

export const partitionResponse = z
  .object({
    partition: z.int().min(0),
    leader: z.int().describe('The broker that maintains the log; -1 = none.'),
    leaderEpoch: z.int().min(0).describe('Grows with each change of the leader, and when a replica leaves the ISR.'),
    replicas: z.array(z.int()).describe('Brokers that may lead the partition; the first is the preferred leader.'),
    isr: z.array(z.int()).describe('The replicas that are alive.'),
    logStartOffset: offset.nullable().describe('Offset of the first record that is kept.'),
    endOffset: offset.nullable().describe('The offset that the next record gets.'),
    bytes: z.int().min(0).nullable().describe('Bytes of the records.'),
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
      .describe('Ids of the brokers that may lead the partition from now on; the first is the preferred leader.'),
  })
  .meta({ id: 'ReassignPartition' });

export const electionBody = z
  .strictObject({
    topic: topicName,
    partition: z.int().min(0).optional().describe('Default: every partition of the topic.'),
  })
  .meta({ id: 'ElectLeaders' });

const electionOutcome = z
  .object({
    partition: z.int().min(0),
    leader: z.int().describe('The current leader; -1 = none.'),
    leaderEpoch: z.int().min(0),
    outcome: z
      .enum(['elected', 'notNeeded', 'preferredUnavailable'])
      .describe(
        '`elected`: the preferred leader has taken over. `notNeeded`: it was the leader already. `preferredUnavailable`: it is not alive.',
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
    topicId: z.string().describe('Id of the topic; a topic that is deleted and created again gets another one.'),
    config: topicConfig,
    partitions: z.array(partitionResponse),
  })
  .meta({ id: 'Topic' });

export type TopicDescription = z.infer<typeof topicResponse>;

const perSecond = 'per second, over the last 10 s';

export const groupLag = z
  .object({ group: z.string(), lag: z.int().min(0).describe('Records that the group has yet to read.') })
  .meta({ id: 'GroupLag' });

const topicSummaryFields = {
  records: z
    .int()
    .min(0)
    .nullable()
    .optional()
    .describe(
      'Records that are kept, those that compaction has removed between others counted, too; null if the Redis server of a partition cannot be reached. With `view=summary`, as are the following.',
    ),
  bytes: z.int().min(0).nullable().optional().describe('Bytes of the records; null as `records`.'),
  inPerSec: z.number().min(0).optional().describe(`Records that are appended ${perSecond}.`),
  outPerSec: z
    .number()
    .min(0)
    .optional()
    .describe(
      `Records that are sent to readers ${perSecond}. Of other brokers than the one that responds, those of the 100 topics count of which each sends most.`,
    ),
  leaders: z
    .array(z.object({ brokerId: z.int(), partitions: z.int().min(1) }).meta({ id: 'PartitionsLed' }))
    .optional()
    .describe('How many partitions each broker leads, by its id; -1: partitions without a leader.'),
  notPreferred: z.int().min(0).optional().describe('Partitions whose leader is not the preferred one.'),
  groups: z
    .array(groupLag)
    .optional()
    .describe(
      'Groups that have committed an offset in the topic, or subscribe to it, the 100 with the largest lag; as of the last read of all groups, which takes at most 5 % of the time.',
    ),
};

export const topicsResponse = z
  .object({
    topics: z.array(
      z
        .object({ name: topicName, topicId: z.string(), partitions: z.int().min(1), ...topicSummaryFields })
        .meta({ id: 'ListedTopic' }),
    ),
    next: nextPage,
  })
  .meta({ id: 'Topics' });

// Requests and responses of /v1/groups. Records are described in schemas/records.ts.
import { z } from 'zod';
import { logError, offset, queryFlag, queryInteger } from './common.ts';
import { durationBetween, negotiatedDuration } from './duration.ts';
import { fetchBytesDefault, fetchBytesMax, fetchedRecord, fetchRecordsMax, fetchWaitMsMax } from './records.ts';
import { topicName } from './topics.ts';

/** Kafka's limit on the metadata of a committed offset. */
const offsetMetadataMax = 4096;
/** Maximum number of offsets in one commit; they are one transaction. */
export const offsetsPerCommitMax = 2500;
/** As long as the longest name of a topic. */
const patternMax = 249;

/** Names of groups, members and instances are names of nodes (src/core/groups/group-document.ts checks them). */
const memberName = z
  .string()
  .meta({ minLength: 1, maxLength: 249, pattern: String.raw`^[^/\u0000-\u001f\u007f-\u009f]+$` });
export const groupId = memberName.describe('1 to 249 characters that are valid in the name of a node.');
const memberId = memberName.describe('Chosen by the client, or by the server on join; same characters as a group id.');
const partition = z.int().min(0);

export const topicPartitions = z
  .strictObject({ topic: topicName, partitions: z.array(partition) })
  .meta({ id: 'TopicPartitions' });

const assignment = z.array(topicPartitions).describe('Sorted by topic, partitions ascending.');

/** The age of the lag is read for so many partitions, those with the largest lags: each is a look into a log. */
export const agedPartitionsMax = 500;

export const describeGroupQuery = z.strictObject({
  ages: queryFlag.optional().describe('Add `lagMs` to each partition.'),
});

export const groupParams = z.strictObject({ group: groupId });
export const memberParams = z.strictObject({ group: groupId, member: memberId });

/** Identifies the incarnation of the member that sends the request. */
export const memberHeaders = {
  'weir-member': z
    .string()
    .optional()
    .describe(
      'The memberSecret from the response to the join. FORBIDDEN if it is missing or wrong; MEMBER_SUPERSEDED if the member was joined again without it.',
    ),
};
export const joinHeaders = {
  'weir-member': z
    .string()
    .optional()
    .describe(
      'The memberSecret of a member that joins again and continues as the same incarnation. Without it the join begins a new incarnation, which supersedes the previous one.',
    ),
};

export const joinBody = z
  .strictObject({
    topics: z.array(topicName).min(1).max(10_000).optional().describe('Topics to read; they need not exist yet.'),
    pattern: z
      .string()
      .min(1)
      .max(patternMax)
      .optional()
      .describe(
        'Instead of `topics`: a regular expression in RE2 syntax (no look-around, no back-references) that must match the whole name of a topic.',
      ),
    memberId: memberId
      .optional()
      .describe(
        'If the client chooses it, the join can be repeated; an existing member of this id begins a new incarnation.',
      ),
    instanceId: memberName
      .optional()
      .describe(
        'Makes the member static: a member that later joins with the same instance id takes over its partitions.',
      ),
    assignor: z
      .string()
      .optional()
      .describe('range, roundrobin or uniform (default). The group uses the assignor that most members request.'),
    sessionTimeout: negotiatedDuration
      .optional()
      .describe(
        'Default 45s; at most 30m. A member without a request for this time is removed. A number without a unit (ms) below the minimum is refused.',
      ),
    rebalanceTimeout: negotiatedDuration
      .optional()
      .describe('Default 5m: how long a member may take to release partitions.'),
    reset: z
      .enum(['earliest', 'latest', 'none'])
      .default('latest')
      .describe(
        'Where to begin in a partition without a committed offset, or whose log no longer has that offset. latest: the end of the log is committed at once, so that no later record is skipped; partitions and topics that are created later are read from their beginning. none: an error.',
      ),
    clientId: z.string().max(249).optional().describe('A name for operators to read; it has no effect.'),
  })
  .meta({ id: 'JoinGroup' });

export const sessionTimeoutDefaultMs = 45_000;
export const rebalanceTimeoutDefaultMs = 300_000;
export const rebalanceTimeoutMsMin = 100;

export const memberResponse = z
  .object({
    memberId,
    memberEpoch: z.int().min(0).describe('Send it with the next heartbeat and with commits.'),
    assignment: assignment.describe('Partitions that the member may read. It must release all others.'),
    heartbeatIntervalMs: z.int().min(1).describe('Recommended time between two heartbeats, ms.'),
    sessionTimeoutMs: z.int().min(1).describe('The granted session timeout, ms.'),
  })
  .meta({ id: 'GroupMembership' });

/** Beside the member in the response to a join. */
export const joinedShape = {
  unknownTopics: z
    .array(topicName)
    .optional()
    .describe(
      'Of the topics that the join names, those that do not exist, at most 100. The group gets their partitions once they are created. Absent if all exist, and for a pattern.',
    ),
};

export const joinResponse = memberResponse
  .extend({
    ...joinedShape,
    memberSecret: z
      .string()
      .describe(
        'The member sends it as Weir-Member in later requests. It is shown again only to a repeat with the same Idempotency-Key.',
      ),
  })
  .meta({ id: 'GroupJoined' });

export const heartbeatBody = z
  .strictObject({
    memberEpoch: z.int().min(0).describe('The memberEpoch of the last response.'),
    owned: z
      .array(topicPartitions)
      .optional()
      .describe(
        'Partitions that the member currently owns. A partition that is neither here nor in the assignment is released. Without `owned` nothing is released.',
      ),
  })
  .meta({ id: 'GroupHeartbeat' });

export const leaveQuery = z.strictObject({
  temporary: queryFlag
    .optional()
    .describe(
      'The static member will be back (Kafka’s epoch -2). Its partitions are kept, without a rebalance, for a member that joins with its instanceId within its session timeout.',
    ),
});

export const consumeQuery = z.strictObject({
  wait: durationBetween(0, fetchWaitMsMax, 'must be at most 5m')
    .default(0)
    .describe('How long to wait for records or for a change of the assignment; at most 5m.'),
  maxRecords: queryInteger(1, fetchRecordsMax).default(500).describe('The most records that the response has.'),
  maxBytes: queryInteger(1, fetchBytesMax)
    .default(fetchBytesDefault)
    .describe('Maximum bytes of records in the response. The first record is returned even if it is larger.'),
  commit: z
    .enum(['manual', 'previous'])
    .default('manual')
    .describe(
      'previous: commit the records of the last response, which must have been processed. Do not use it after a failed call, unless `after` is given.',
    ),
  after: queryInteger(0, Number.MAX_SAFE_INTEGER)
    .optional()
    .describe(
      'The `next` of the last response; 0 after joining. It makes the call safe to repeat: a client that got no response repeats the same call and gets the same records. A late or duplicated copy of an earlier call changes nothing and gets STALE_POSITION. Without `after` such a copy counts as a new call.',
    ),
  from: z
    .enum(['position', 'committed'])
    .default('position')
    .describe(
      'position: continue after the records of the last response. committed: go back to the committed offsets, and commit nothing. Use committed after a call without `after` that failed or got no response (a 503, a timeout, a lost connection): no record is skipped, but some may be returned twice.',
    ),
});

export const consumeResponse = z
  .object({
    next: z.int().min(0).describe('The `after` of the next call. It stays the same if no records were returned.'),
    memberEpoch: z.int().min(0),
    assignment,
    partitions: z
      .array(
        z
          .object({
            topic: topicName,
            partition,
            nextOffset: offset.describe('The offset to commit after all records before it are processed.'),
          })
          .meta({ id: 'ConsumedPartition' }),
      )
      .describe(
        'Partitions in which the position of the member has changed. Compaction may have removed the last records, so `nextOffset` can be more than one after the last record.',
      ),
    records: z.array(
      z
        .object({ topic: topicName, partition, ...fetchedRecord.shape })
        .meta({ id: 'ConsumedRecord', description: 'In the order of offsets within each partition.' }),
    ),
  })
  .meta({ id: 'Consumed' });

export const commitBody = z
  .strictObject({
    memberId: memberId
      .optional()
      .describe(
        'Without it, offsets can be committed only while the group is empty; a group that does not exist is created.',
      ),
    memberEpoch: z
      .int()
      .min(0)
      .optional()
      .describe(
        'The epoch at which the member was assigned the partitions. The commit is refused if it no longer owns them.',
      ),
    offsets: z
      .array(
        z
          .strictObject({
            topic: topicName,
            partition,
            offset: z.int().min(0).describe('The next offset to read; it may be lower than the committed one.'),
            metadata: z.string().max(offsetMetadataMax).optional(),
          })
          .meta({ id: 'OffsetToCommit' }),
      )
      .min(1)
      .max(offsetsPerCommitMax),
  })
  .meta({ id: 'CommitOffsets' });

export const commitResponse = z
  .object({
    offsets: z.array(
      z
        .object({ topic: topicName, partition, offset, metadata: z.string().optional() })
        .meta({ id: 'OffsetCommittedNow' }),
    ),
  })
  .meta({ id: 'CommittedOffsetsNow' });

export const groupOffsetsQuery = z.strictObject({
  topic: topicName.optional().describe('Only this topic.'),
  partition: queryInteger(0, Number.MAX_SAFE_INTEGER).optional().describe('Requires `topic`.'),
});

export const groupOffsetsResponse = z
  .object({
    offsets: z.array(
      z
        .object({
          topic: topicName,
          partition,
          offset: offset.describe('The next offset to read.'),
          metadata: z.string().optional(),
          committedAt: z.int().describe('Time of the commit, ms since the epoch.'),
        })
        .meta({ id: 'CommittedOffset' }),
    ),
  })
  .meta({ id: 'CommittedOffsets' });

export const resetBody = z
  .strictObject({
    to: z.union(
      [
        z.enum(['earliest', 'latest']),
        z
          .strictObject({
            timestamp: z
              .int()
              .min(0)
              .describe('The first record with this timestamp or a later one, ms since the epoch.'),
          })
          .meta({ id: 'ResetToTimestamp' }),
        z.strictObject({ offset: z.int().min(0) }).meta({ id: 'ResetToOffset' }),
        z
          .strictObject({
            shiftBy: z.int().describe('Number of offsets relative to the committed offset; negative = back.'),
          })
          .meta({ id: 'ResetByShift' }),
      ],
      { error: 'must be "earliest", "latest", {"timestamp":ms}, {"offset":n} or {"shiftBy":n}' },
    ),
    topics: z
      .array(topicName)
      .min(1)
      .optional()
      .describe('Reset all partitions of these topics; default: all partitions with a committed offset.'),
    dryRun: z.boolean().default(false).describe('Return the offsets that would be committed, but commit nothing.'),
  })
  .meta({ id: 'ResetOffsets' });

export const resetResponse = z
  .object({
    dryRun: z.boolean(),
    offsets: z.array(
      z
        .object({
          topic: topicName,
          partition,
          offset: offset.describe('The new offset. A target outside the log is moved to the nearer end of the log.'),
          previous: offset.nullable().describe('The previously committed offset.'),
        })
        .meta({ id: 'OffsetReset' }),
    ),
  })
  .meta({ id: 'OffsetsReset' });

export const groupState = z
  .enum(['empty', 'assigning', 'reconciling', 'stable'])
  .describe('stable: every member has the partitions of its target assignment.');

const groupMember = z
  .object({
    memberId,
    memberEpoch: z.int().min(0),
    state: z
      .enum(['stable', 'unrevoked', 'unreleased'])
      .describe(
        'unrevoked: it must release partitions. unreleased: it waits for partitions that other members must release.',
      ),
    instanceId: z.string().optional(),
    clientId: z.string().optional(),
    address: z.string().optional().describe('The address from which it joined, if it is known.'),
    joinedAt: z
      .int()
      .optional()
      .describe("When it joined, ms since the epoch by the broker's clock. A member that joins again has joined anew."),
    away: z
      .boolean()
      .optional()
      .describe('The static member has left temporarily; its partitions are kept until its session expires.'),
    topics: z.array(topicName),
    pattern: z.string().optional(),
    assignment,
    revoking: z.array(topicPartitions).describe('Partitions that it was asked to release and may still be reading.'),
    sessionTimeoutMs: z.int().min(1),
    rebalanceTimeoutMs: z.int().min(1),
    reset: z.enum(['earliest', 'latest', 'none']),
  })
  .meta({ id: 'GroupMember' });

const groupPartition = z
  .object({
    topic: topicName,
    partition,
    owner: memberId.nullable(),
    committed: offset.nullable(),
    endOffset: offset.nullable(),
    lag: z
      .int()
      .min(0)
      .nullable()
      .describe(
        'Number of offsets that the group has yet to read, counted from lagFrom. Records removed by retention, or by compaction at the end of the log, do not count. null if it is unknown, or if no reset policy applies.',
      ),
    lagFrom: z
      .enum(['committed', 'earliest', 'latest'])
      .nullable()
      .describe(
        'Where the count of the lag begins: the committed offset, or the start given by the reset policy. earliest also for partitions that were added to a subscription with reset=latest.',
      ),
    lagMs: z
      .int()
      .min(0)
      .nullable()
      .optional()
      .describe(
        `With \`ages\`: how long ago the first record was appended that the group has yet to read, ms; 0 without lag. null if the lag is, and beyond the ${agedPartitionsMax} partitions with the largest lags.`,
      ),
    error: logError.optional(),
  })
  .meta({ id: 'GroupPartition' });

export const groupResponse = z
  .object({
    groupId,
    state: groupState,
    groupEpoch: z.int().min(0).describe('Grows with each change that requires a new assignment.'),
    assignor: z.string(),
    partitionsLeftOut: z
      .int()
      .min(1)
      .optional()
      .describe(
        'Number of subscribed partitions that no member reads, because the group has reached its limit of partitions.',
      ),
    members: z.array(groupMember),
    partitions: z.array(groupPartition),
  })
  .meta({ id: 'Group' });

export type GroupDescription = z.infer<typeof groupResponse>;

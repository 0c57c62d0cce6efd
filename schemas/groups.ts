// The wire of /v1/groups: consumers that share the partitions of topics. Their records are described in records.ts.
import { z } from 'zod';
import { logError, offset, queryFlag, queryInteger } from './common.ts';
import { durationBetween, negotiatedDuration } from './duration.ts';
import { fetchBytesDefault, fetchBytesMax, fetchedRecord, fetchRecordsMax, fetchWaitMsMax } from './records.ts';
import { topicName } from './topics.ts';

/** Kafka's limit on the metadata of a committed offset. */
export const offsetMetadataMax = 4096;
/** How many offsets one request commits: they are one transaction. */
export const offsetsPerCommitMax = 2500;
export const groupsLimitMax = 1000;
/** Names of topics are no longer. */
const patternMax = 249;

/** Names of groups, members and instances are parts of paths (src/core/groups/group-document.ts checks them). */
const memberName = z
  .string()
  .meta({ minLength: 1, maxLength: 249, pattern: String.raw`^[^/\u0000-\u001f\u007f-\u009f]+$` });
const groupId = memberName.describe('1 to 249 characters, as in a path of a node, without slashes.');
const memberId = memberName.describe('As a group id; made by the client, or by the service when it joins.');
const partition = z.int().min(0);

export const topicPartitions = z
  .strictObject({ topic: topicName, partitions: z.array(partition) })
  .meta({ id: 'TopicPartitions' });

const assignment = z.array(topicPartitions).describe('Sorted by topic, partitions ascending.');

export const groupParams = z.strictObject({ group: groupId });
export const memberParams = z.strictObject({ group: groupId, member: memberId });

/** Which incarnation of a member a call speaks for. */
export const memberHeaders = {
  'weir-member': z
    .string()
    .optional()
    .describe(
      'The memberSecret of the response to the join. FORBIDDEN if it is missing or another; MEMBER_SUPERSEDED if the member was joined again without it.',
    ),
};
export const joinHeaders = {
  'weir-member': z
    .string()
    .optional()
    .describe(
      'Of a member that joins again and goes on as the same: the memberSecret that it has. Without it the join begins a new incarnation, which ends the one before.',
    ),
};

export const joinBody = z
  .strictObject({
    topics: z.array(topicName).min(1).max(10_000).optional().describe('The topics to read; they need not exist yet.'),
    pattern: z
      .string()
      .min(1)
      .max(patternMax)
      .optional()
      .describe(
        'Instead of topics: a regular expression, as RE2 takes them (no look-around, no back-references), that the whole name of a topic must match.',
      ),
    memberId: memberId
      .optional()
      .describe('If the client makes it, joining may be repeated, and a known member begins anew.'),
    instanceId: memberName
      .optional()
      .describe('Of a static member: another that joins under it takes the place and the partitions of this one.'),
    assignor: z
      .string()
      .optional()
      .describe('range, roundrobin or uniform (default); the group takes what most ask for.'),
    sessionTimeout: negotiatedDuration
      .optional()
      .describe(
        'Default 45s; at most 30m. Who is not heard for so long is out. A number (of ms) below the least is refused.',
      ),
    rebalanceTimeout: negotiatedDuration
      .optional()
      .describe('Default 5m: how long a member may take to let go of partitions.'),
    reset: z
      .enum(['earliest', 'latest', 'none'])
      .default('latest')
      .describe(
        'Where to begin in a partition for which nothing is committed, or whose log does not have the committed offset. The place that latest stands for is committed at once, so that no record that comes after it is skipped; partitions and topics that appear later are read from their beginning. none is an error.',
      ),
    clientId: z.string().max(249).optional().describe('For people to read.'),
  })
  .meta({ id: 'JoinGroup' });

export const sessionTimeoutDefaultMs = 45_000;
export const rebalanceTimeoutDefaultMs = 300_000;
export const rebalanceTimeoutMsMin = 100;

export const memberResponse = z
  .object({
    memberId,
    memberEpoch: z.int().min(0).describe('To be sent with the next heartbeat and with commits.'),
    assignment: assignment.describe('What the member may read. It must let go of everything else.'),
    heartbeatIntervalMs: z.int().min(1),
    sessionTimeoutMs: z.int().min(1).describe('As it was granted, within the bounds.'),
  })
  .meta({ id: 'GroupMembership' });

export const joinResponse = memberResponse
  .extend({
    memberSecret: z
      .string()
      .describe(
        'Later calls of the member send it as Weir-Member. It is not shown again, but to a repeat with the same Idempotency-Key.',
      ),
  })
  .meta({ id: 'GroupJoined' });

export const heartbeatBody = z
  .strictObject({
    memberEpoch: z.int().min(0).describe('As the last answer had it.'),
    owned: z
      .array(topicPartitions)
      .optional()
      .describe(
        'What the member has. Leaving out what is no longer in its assignment says that it is let go of; without `owned` nothing is said.',
      ),
  })
  .meta({ id: 'GroupHeartbeat' });

export const leaveQuery = z.strictObject({
  temporary: queryFlag
    .optional()
    .describe(
      'Of a static member that will be back (Kafka’s epoch -2): its partitions are kept for whoever joins under its instanceId within its session timeout, and nobody is moved.',
    ),
});

export const consumeQuery = z.strictObject({
  wait: durationBetween(0, fetchWaitMsMax, 'must be at most 5m')
    .default(0)
    .describe('How long to wait for records, or for another assignment; at most 5m.'),
  maxRecords: queryInteger(1, fetchRecordsMax).default(500),
  maxBytes: queryInteger(1, fetchBytesMax).default(fetchBytesDefault).describe('One record always fits.'),
  commit: z
    .enum(['manual', 'previous'])
    .default('manual')
    .describe(
      'previous = what the last call answered is dealt with, and is committed now. Not after a call that failed, unless it names after: see there.',
    ),
  after: queryInteger(0, Number.MAX_SAFE_INTEGER)
    .optional()
    .describe(
      'The next of the last answer, 0 after joining. It makes the call safe to repeat: whoever got no answer sends the same again and gets the same records, and a copy that a proxy sends, or that comes late, commits, lets go of and passes over nothing; STALE_POSITION if others have gone on. Without it such a copy counts as a call of its own.',
    ),
  from: z
    .enum(['position', 'committed'])
    .default('position')
    .describe(
      'position = go on behind what the last call answered. After a call without after that failed or was not answered (a 503, a timeout, a lost connection) ask with committed: it goes back to what is committed and commits nothing, so that no record is passed over; some may come twice.',
    ),
});

export const consumeResponse = z
  .object({
    next: z.int().min(0).describe('What the next call names as after. It stays the same if nothing was given.'),
    memberEpoch: z.int().min(0),
    assignment,
    partitions: z
      .array(
        z.object({
          topic: topicName,
          partition,
          nextOffset: offset.describe('What to commit once the records before it are dealt with.'),
        }),
      )
      .describe(
        'Those in which the member has moved, also without records: compaction may have removed what was there, so that its last record is not the end.',
      ),
    records: z.array(
      z.object({ topic: topicName, partition, ...fetchedRecord.shape }).describe('In the order of each partition.'),
    ),
  })
  .meta({ id: 'Consumed' });

export const commitBody = z
  .strictObject({
    memberId: memberId.optional().describe('Without a member: only while the group is empty; it is made if need be.'),
    memberEpoch: z.int().min(0).optional().describe('Fences: what the member had at that epoch, and still has.'),
    offsets: z
      .array(
        z.strictObject({
          topic: topicName,
          partition,
          offset: z.int().min(0).describe('The next one to read; it may be a lower one than before.'),
          metadata: z.string().max(offsetMetadataMax).optional(),
        }),
      )
      .min(1)
      .max(offsetsPerCommitMax),
  })
  .meta({ id: 'CommitOffsets' });

export const commitResponse = z
  .object({ offsets: z.array(z.object({ topic: topicName, partition, offset, metadata: z.string().optional() })) })
  .meta({ id: 'CommittedOffsetsNow' });

export const groupOffsetsQuery = z.strictObject({
  topic: topicName.optional(),
  partition: queryInteger(0, Number.MAX_SAFE_INTEGER).optional().describe('Goes with topic.'),
});

export const groupOffsetsResponse = z
  .object({
    offsets: z.array(
      z.object({
        topic: topicName,
        partition,
        offset: offset.describe('The next one to read.'),
        metadata: z.string().optional(),
        committedAt: z.int().describe('Ms since the epoch.'),
      }),
    ),
  })
  .meta({ id: 'CommittedOffsets' });

export const resetBody = z
  .strictObject({
    to: z.union(
      [
        z.enum(['earliest', 'latest']),
        z.strictObject({
          timestamp: z.int().min(0).describe('The first record that is not older, ms since the epoch.'),
        }),
        z.strictObject({ offset: z.int().min(0) }),
        z.strictObject({ shiftBy: z.int().describe('From what is committed; negative = back.') }),
      ],
      { error: 'must be "earliest", "latest", {"timestamp":ms}, {"offset":n} or {"shiftBy":n}' },
    ),
    topics: z
      .array(topicName)
      .min(1)
      .optional()
      .describe('All partitions of these; default: all partitions with a committed offset.'),
    dryRun: z.boolean().default(false).describe('Only answer what would be committed.'),
  })
  .meta({ id: 'ResetOffsets' });

export const resetResponse = z
  .object({
    dryRun: z.boolean(),
    offsets: z.array(
      z.object({
        topic: topicName,
        partition,
        offset: offset.describe('A target outside the log is put to its nearest end.'),
        previous: offset.nullable().describe('What was committed before.'),
      }),
    ),
  })
  .meta({ id: 'OffsetsReset' });

const groupState = z
  .enum(['empty', 'assigning', 'reconciling', 'stable'])
  .describe('stable = every member has what it shall have.');

export const listGroupsQuery = z.strictObject({
  limit: queryInteger(1, groupsLimitMax).default(100).describe('Most groups per answer.'),
  after: z.string().optional().describe('The `next` of the page before.'),
});

export const groupsResponse = z
  .object({
    groups: z.array(z.object({ groupId, state: groupState, members: z.int().min(0) })),
    next: z.string().optional().describe('Pass as `after` for the next page; absent on the last.'),
  })
  .meta({ id: 'Groups' });

export const groupResponse = z
  .object({
    groupId,
    state: groupState,
    groupEpoch: z.int().min(0).describe('Grows with each change that calls for another assignment.'),
    assignor: z.string(),
    partitionsLeftOut: z
      .int()
      .min(1)
      .optional()
      .describe(
        'Partitions that came under the subscriptions of the group, and for which it has no room: nobody reads them.',
      ),
    members: z.array(
      z.object({
        memberId,
        memberEpoch: z.int().min(0),
        state: z
          .enum(['stable', 'unrevoked', 'unreleased'])
          .describe('unrevoked = it has to let go of something; unreleased = it waits for what others have.'),
        instanceId: z.string().optional(),
        clientId: z.string().optional(),
        away: z
          .boolean()
          .optional()
          .describe('It has left for a while; its partitions are kept until its session ends.'),
        topics: z.array(topicName),
        pattern: z.string().optional(),
        assignment,
        revoking: z.array(topicPartitions).describe('What it was asked to let go of, and may still be using.'),
        sessionTimeoutMs: z.int().min(1),
        rebalanceTimeoutMs: z.int().min(1),
        reset: z.enum(['earliest', 'latest', 'none']),
      }),
    ),
    partitions: z.array(
      z.object({
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
            'How many offsets the group would still read: from the committed offset, or from where the reset policy of its member begins (lagFrom). What retention or compaction at the end has removed does not count; null if it cannot be known, or nobody would begin here.',
          ),
        lagFrom: z
          .enum(['committed', 'earliest', 'latest'])
          .nullable()
          .describe(
            'What the lag is counted from; earliest also for partitions that came later under a latest subscription.',
          ),
        error: logError.optional(),
      }),
    ),
  })
  .meta({ id: 'Group' });

export type GroupDescription = z.infer<typeof groupResponse>;

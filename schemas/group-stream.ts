// The wire of /v1/groups/{group}/stream: a WebSocket that is a member of the group. Its query says what a join's body says;
// a browser can set no headers on a socket, and none are needed.
import { z } from 'zod';
import { offset } from './common.ts';
import { negotiatedDuration } from './duration.ts';
import { problemSchema } from './errors.ts';
import { commitBody, joinBody, memberResponse, topicPartitions } from './groups.ts';
import { fetchedRecord } from './records.ts';
import { topicName } from './topics.ts';

const { pattern, memberId, instanceId, assignor, reset, clientId } = joinBody.shape;

export const groupStreamQuery = z.strictObject({
  topics: z
    .string()
    .min(1)
    .transform((text) => [...new Set(text.split(','))])
    .meta({ type: 'string' })
    .optional()
    .describe('The topics to read, such as `orders,bills`; they need not exist yet.'),
  pattern,
  memberId,
  instanceId,
  assignor,
  sessionTimeout: negotiatedDuration
    .optional()
    .describe('Default 45s; at most 30m. A socket that is lost must be back within it, with the same memberId.'),
  rebalanceTimeout: negotiatedDuration
    .optional()
    .describe(
      'Default 5m: how long the member may take to release what is being revoked, and how long it may give no sign of its own while records wait for its credit.',
    ),
  reset,
  clientId,
});

const frameId = z.string().max(256).optional().describe("The client's own name for the frame; its answer has it.");

export const groupClientFrame = z
  .discriminatedUnion('type', [
    z.strictObject({
      type: z.literal('credit'),
      records: z.int().min(1).max(1_000_000_000).describe('How many more records may be sent.'),
    }),
    z
      .strictObject({
        type: z.literal('commit'),
        id: frameId,
        memberEpoch: memberResponse.shape.memberEpoch
          .optional()
          .describe(
            'The newest that a frame has said: a commit that is late is not taken for one of what the member was given since.',
          ),
        offsets: commitBody.shape.offsets,
      })
      .describe('Answered by committed, or by an error; in the order in which they came.'),
    z
      .strictObject({
        type: z.literal('released'),
        id: frameId,
        memberEpoch: memberResponse.shape.memberEpoch
          .optional()
          .describe(
            'That of the revoking frame. What the member was given since then it keeps: without it, a release that is late could be taken for one of that.',
          ),
        partitions: z.array(topicPartitions).optional().describe('Default: all that are being revoked.'),
      })
      .describe(
        'The member has let go of partitions that a revoking frame named, and has committed what it has dealt with.',
      ),
    z
      .strictObject({ type: z.literal('leave'), id: frameId })
      .describe('Leave the group; the socket is closed with 1000.'),
    z.strictObject({ type: z.literal('ping') }),
  ])
  .meta({ id: 'GroupClientFrame' });

export type GroupClientFrame = z.infer<typeof groupClientFrame>;

const partitions = z.array(topicPartitions).min(1);
const memberEpoch = memberResponse.shape.memberEpoch;

export const groupServerFrame = z
  .discriminatedUnion('type', [
    z
      .object({ type: z.literal('joined'), ...memberResponse.shape })
      .describe('The first frame. `assignment` is what the member has at once.'),
    z.object({ type: z.literal('assigned'), partitions, memberEpoch }).describe('The member has these, too, now.'),
    z
      .object({ type: z.literal('revoking'), partitions, withinMs: z.int().min(1), memberEpoch })
      .describe(
        'No more records of these follow. The member is to commit what it has dealt with, and to release them.',
      ),
    z
      .object({ type: z.literal('revoked'), partitions, memberEpoch })
      .describe("These are another's now, or their topic has gone."),
    z.object({
      type: z.literal('records'),
      topic: topicName,
      partition: z.int().min(0),
      records: z.array(fetchedRecord).min(1).describe('In order.'),
      nextOffset: offset.describe('What to commit once all of these are dealt with.'),
    }),
    z.object({ type: z.literal('committed'), id: z.string().optional() }),
    z.looseObject({
      ...problemSchema.shape,
      type: z.literal('error'),
      id: z.string().optional().describe('Of the frame that was wrong.'),
    }),
    z.object({ type: z.literal('pong') }),
  ])
  .meta({ id: 'GroupServerFrame' });

export type GroupServerFrame = z.infer<typeof groupServerFrame>;

// Frames of /v1/groups/{group}/stream: a WebSocket that is a member of the group. Its query has the fields of a join's body,
// as a browser cannot set headers on a socket.
import { z } from 'zod';
import { offset } from './common.ts';
import { negotiatedDuration } from './duration.ts';
import { problemSchema } from './errors.ts';
import { commitBody, joinBody, joinedShape, memberResponse, topicPartitions } from './groups.ts';
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
    .describe('Topics to read, such as `orders,bills`; they need not exist yet.'),
  pattern,
  memberId,
  instanceId,
  assignor,
  sessionTimeout: negotiatedDuration
    .optional()
    .describe(
      'Default 45s; at most 30m. A client that loses its socket must reconnect within this time, with the same memberId.',
    ),
  rebalanceTimeout: negotiatedDuration
    .optional()
    .describe(
      'Default 5m. The member must release revoked partitions within this time. It must also send a frame within this time while records wait for its credit.',
    ),
  reset,
  clientId,
});

const frameId = z
  .string()
  .max(256)
  .optional()
  .describe("The client's name for the frame; the frame that responds to it has the same id.");

export const groupClientFrame = z
  .discriminatedUnion('type', [
    z.strictObject({
      type: z.literal('credit'),
      records: z.int().min(1).max(1_000_000_000).describe('How many more records the server may send.'),
    }),
    z
      .strictObject({
        type: z.literal('commit'),
        id: frameId,
        memberEpoch: memberResponse.shape.memberEpoch
          .optional()
          .describe(
            'The newest memberEpoch of a received frame. With it, a late commit does not apply to partitions that were assigned since.',
          ),
        offsets: commitBody.shape.offsets,
      })
      .describe('The response is `committed` or an error, in the order of the commits.'),
    z
      .strictObject({
        type: z.literal('released'),
        id: frameId,
        memberEpoch: memberResponse.shape.memberEpoch
          .optional()
          .describe(
            'The memberEpoch of the revoking frame. With it, a late release does not apply to partitions that were assigned since.',
          ),
        partitions: z.array(topicPartitions).optional().describe('Default: all partitions that are being revoked.'),
      })
      .describe(
        'The member releases partitions that a revoking frame named, after committing the records that it has processed.',
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
      .object({ type: z.literal('joined'), ...memberResponse.shape, ...joinedShape })
      .describe('The first frame. `assignment` has the partitions that the member may read at once.'),
    z
      .object({
        type: z.literal('warning'),
        code: z.literal('UNKNOWN_TOPIC'),
        detail: z.string(),
        unknownTopics: z.array(topicName).min(1),
      })
      .describe('Follows `joined` if topics that the member names do not exist. The stream goes on.'),
    z.object({ type: z.literal('assigned'), partitions, memberEpoch }).describe('Partitions added to the assignment.'),
    z
      .object({ type: z.literal('revoking'), partitions, withinMs: z.int().min(1), memberEpoch })
      .describe(
        'No more records of these partitions follow. The member should commit the records that it has processed, and release the partitions.',
      ),
    z
      .object({ type: z.literal('revoked'), partitions, memberEpoch })
      .describe('Partitions that the member has lost: another member owns them, or the topic was deleted.'),
    z.object({
      type: z.literal('records'),
      topic: topicName,
      partition: z.int().min(0),
      records: z.array(fetchedRecord).min(1).describe('In the order of their offsets.'),
      nextOffset: offset.describe('The offset to commit after all of these records are processed.'),
    }),
    z.object({ type: z.literal('committed'), id: z.string().optional() }),
    z.looseObject({
      ...problemSchema.shape,
      type: z.literal('error'),
      id: z.string().optional().describe('The id of the frame that was refused.'),
    }),
    z.object({ type: z.literal('pong') }),
  ])
  .meta({ id: 'GroupServerFrame' });

export type GroupServerFrame = z.infer<typeof groupServerFrame>;

// Frames of /v1/socket: pipelined requests and their responses. The fields of a request are those of its HTTP body and query.
import { z } from 'zod';
import { nodePath, statSchema, zxid } from './common.ts';
import { durationBetween, negotiatedDuration } from './duration.ts';
import { problemSchema } from './errors.ts';
import { commitBody, commitResponse, groupParams } from './groups.ts';
import {
  childrenLimitMax,
  childrenResponse,
  createdResponse,
  createOp,
  deleteOp,
  multiBody,
  multiResponse,
  nodeResponse,
  setOp,
  statResponse,
} from './nodes.ts';
import { producerStamp } from './producers.ts';
import {
  acks,
  fetchBytesDefault,
  fetchBytesMax,
  fetchedBatchesResponse,
  fetchRecordsMax,
  fetchResponse,
  fetchWaitMsMax,
  offsetsResponse,
  producedRecord,
  produceResponse,
} from './records.ts';
import { sessionCreatedResponse, sessionLabel, sessionResponse } from './sessions.ts';
import { topicName } from './topics.ts';
import { watchEvent, watchFields } from './watch.ts';

/** The subprotocol of the socket. */
export const socketProtocol = 'weir.v1';

/** The largest number of requests in one frame. */
export const requestsPerFrameMax = 1024;

const requestId = z
  .union([z.int(), z.string().min(1).max(256)], 'must be a whole number, or a text of 1 to 256 characters')
  .describe("The client's name for the request; its response has the same id.");

export type RequestId = z.infer<typeof requestId>;

const seq = z
  .int()
  .min(1)
  .optional()
  .describe(
    'The number of this write in its session: one more than that of the write before. Writes with it are pipelined, and a repeat takes effect once.',
  );

const offsetNumber = z.int().min(0);

const read = z
  .literal('local')
  .optional()
  .describe(
    'Read from the memory of the broker, a state that may be some milliseconds old; never older than what the responses on this socket reflect. The response says where the result came from.',
  );

/** The requests by their `op`. Of produce, `records` is only described here: core/records reads its bytes. */
export const requestSchemas = {
  session: z
    .strictObject({
      id: requestId,
      op: z.literal('session'),
      ttl: negotiatedDuration
        .optional()
        .describe('Create a session with this time to live, and attach it; default 10s.'),
      label: sessionLabel.optional(),
      idempotencyKey: z
        .string()
        .max(255)
        .optional()
        .describe(
          'Of a creation: a random text of at least 16 characters. A repeat with the same key within 10 minutes creates no session, and attaches the first one.',
        ),
      attach: z.string().optional().describe('Attach the session with this handle to the socket.'),
      zxid: zxid
        .optional()
        .describe('With attach: the response is sent once this broker has received this transaction.'),
      renew: z
        .literal(true)
        .optional()
        .describe(
          'Renew the attached session now. The server does so by itself while the client is active; the response tells the client that its time to live began after the request was sent.',
        ),
      end: z.literal(true).optional().describe('End the attached session with all its ephemeral nodes.'),
    })
    .describe('Create, attach, renew or end the session of the socket. A socket has at most one.'),
  create: z.strictObject({
    id: requestId,
    ...createOp.shape,
    parents: z.boolean().optional().describe('Create missing parents as persistent nodes.'),
    seq,
  }),
  set: z.strictObject({ id: requestId, ...setOp.shape, seq }),
  delete: z.strictObject({
    id: requestId,
    ...deleteOp.shape,
    recursive: z.boolean().optional().describe('Also delete everything below the node, in the same transaction.'),
    seq,
  }),
  get: z.strictObject({ id: requestId, op: z.literal('get'), path: nodePath, read }),
  exists: z.strictObject({ id: requestId, op: z.literal('exists'), path: nodePath, read }),
  children: z.strictObject({
    id: requestId,
    op: z.literal('children'),
    path: nodePath,
    limit: z.int().min(1).max(childrenLimitMax).optional().describe('Maximum number of children; default 1000.'),
    after: z.string().optional().describe('The `next` of the previous page.'),
    stats: z.boolean().optional().describe('Include the stat of each child. Not with `read`.'),
    read,
  }),
  multi: z.strictObject({ id: requestId, op: z.literal('multi'), ...multiBody.shape, seq }),
  watch: z
    .strictObject({ id: requestId, op: z.literal('watch'), ...watchFields })
    .describe('The frames with its events have the id of this request as `watch`.'),
  unwatch: z.strictObject({
    id: requestId,
    op: z.literal('unwatch'),
    watch: requestId.describe('The id of the request that began the watch.'),
  }),
  produce: z.strictObject({
    id: requestId,
    op: z.literal('produce'),
    topic: topicName,
    partition: offsetNumber.optional().describe('The partition of all records.'),
    records: z.array(producedRecord).min(1),
    acks,
    offsets: z.boolean().optional().describe('Include the partition and offset of each record in the response.'),
    fence: z
      .string()
      .optional()
      .describe('A fencing token, `<name>=<integer>` or `/path@<czxid>`, as the header Weir-Fence.'),
    idempotencyKey: z
      .string()
      .min(1)
      .max(255)
      .optional()
      .describe('A repeat with the same key within 10 minutes appends nothing, and gets the first response.'),
    producer: producerStamp
      .optional()
      .describe('Makes the request idempotent: a repeat with the same sequence appends nothing.'),
  }),
  fetch: z.strictObject({
    id: requestId,
    op: z.literal('fetch'),
    topic: topicName,
    partition: offsetNumber,
    offset: z
      .union([z.enum(['earliest', 'latest']), offsetNumber], 'must be earliest, latest or an offset')
      .optional()
      .describe('Offset to begin at; default earliest.'),
    timestamp: offsetNumber
      .optional()
      .describe('Begin at the first record with this timestamp or a later one, ms since the epoch.'),
    maxRecords: z.int().min(1).max(fetchRecordsMax).default(500),
    maxBytes: z.int().min(1).max(fetchBytesMax).default(fetchBytesDefault),
    minBytes: z.int().min(0).max(fetchBytesMax).default(1),
    format: z
      .enum(['records', 'batches'])
      .default('records')
      .describe('`batches` returns the records in their batches, as they are stored, which costs the server least.'),
    wait: durationBetween(0, fetchWaitMsMax, 'must be at most 5m')
      .default(0)
      .describe('How long to wait for `minBytes`, at most 5m. Later requests for the partition wait, too.'),
  }),
  offsets: z.strictObject({
    id: requestId,
    op: z.literal('offsets'),
    topic: topicName,
    at: z
      .union([z.enum(['earliest', 'latest']), offsetNumber], 'must be earliest, latest or ms since the epoch')
      .default('latest'),
  }),
  commit: z.strictObject({
    id: requestId,
    op: z.literal('commit'),
    group: groupParams.shape.group,
    ...commitBody.shape,
    memberSecret: z.string().optional().describe('The memberSecret from the response to the join.'),
  }),
  ping: z.strictObject({ id: requestId, op: z.literal('ping') }),
} as const;

export type SocketOp = keyof typeof requestSchemas;

/** A parsed request of one kind. */
export type SocketRequest<O extends SocketOp> = z.output<(typeof requestSchemas)[O]>;

const nothing = z.strictObject({});
const readSource = z
  .enum(['local', 'store'])
  .optional()
  .describe('With "read":"local": whether the response came from the memory of the broker.');
const lastSeq = z.int().min(0).describe('The seq of the last write of the session; the next one is one more.');

/** What `ok` holds, by the `op` of the request. */
export const resultSchemas: Record<SocketOp, z.ZodType> = {
  session: z.union([
    sessionCreatedResponse.extend({ lastSeq }),
    sessionResponse.extend({ lastSeq }),
    sessionResponse,
    z.strictObject({ ended: z.string().describe('The public id of the session that was ended.') }),
  ]),
  create: z.union([createdResponse, statResponse]),
  set: statResponse,
  delete: z.object({ path: nodePath }),
  get: nodeResponse,
  exists: z.object({ path: nodePath, exists: z.boolean(), stat: statSchema.optional() }),
  children: childrenResponse,
  multi: multiResponse,
  watch: nothing,
  unwatch: nothing,
  produce: produceResponse,
  fetch: z.union([fetchResponse, fetchedBatchesResponse]),
  offsets: offsetsResponse,
  commit: commitResponse,
  ping: nothing,
};

/** A frame from the server with responses is one of these, or a list of them. */
export const responseFrame = z
  .union([
    z.object({
      id: requestId,
      ok: z.looseObject({}).describe('The result: the body of the HTTP response to the same operation.'),
      zxid: zxid.optional().describe('The newest transaction that the response reflects.'),
      replayed: z
        .literal(true)
        .optional()
        .describe('The result is that of an earlier request, which this one repeats.'),
      read: readSource,
    }),
    z.object({
      id: requestId.optional().describe('Absent if the request had none that could be read.'),
      error: problemSchema,
      zxid: zxid.optional(),
      replayed: z.literal(true).optional(),
      read: readSource,
    }),
  ])
  .meta({ id: 'SocketResponseFrame' });

/** The other frames from the server. They have a `type`, and responses have none. */
export const eventFrame = z
  .discriminatedUnion('type', [
    z.object({
      type: z.literal('events'),
      watch: requestId.describe('The id of the request that began the watch.'),
      zxid,
      events: z.array(watchEvent).describe('The events of one whole transaction.'),
    }),
    z
      .object({ type: z.literal('bookmark'), zxid })
      .describe('All watches of the socket have been sent everything up to this transaction.'),
    z.object({ type: z.literal('sessionExpired'), id: z.string().describe('The public id of the attached session.') }),
    z.looseObject({
      ...problemSchema.shape,
      type: z.literal('error'),
      watch: requestId
        .optional()
        .describe('The watch that has ended. Without it, the socket is closed behind this frame.'),
      request: requestId.optional().describe('The request whose fate is unknown.'),
    }),
    z
      .looseObject({
        ...problemSchema.shape,
        type: z.literal('throttled'),
        limit: z.string().describe('The limit of the identity that is used up: requests or bytes.'),
        retryAfterMs: z.int().min(1).describe('When the server reads on.'),
      })
      .describe(
        'The socket is not read for a while, as its identity has used up a rate. Nothing is lost or refused; sent at most every 10 s.',
      ),
  ])
  .meta({ id: 'SocketEventFrame' });

export type EventFrame = z.infer<typeof eventFrame>;

/** Close codes of the socket besides those of schemas/watch.ts; 4000 + the HTTP status of a problem for a frame that was refused. */
export const socketCloseCodes = {
  /** The fate of a request is unknown: reconnect, attach the session, and send again what has no response. */
  tryAgain: 1013,
} as const;

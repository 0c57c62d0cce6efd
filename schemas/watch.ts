// Messages of /v1/watch, as socket frames and as server-sent events.
import { z } from 'zod';
import { encoding, nodePath, queryFlag, queryInteger, statSchema, zxid } from './common.ts';
import { problemSchema } from './errors.ts';

const watchModes = ['node', 'children', 'recursive'] as const;
export type WatchMode = (typeof watchModes)[number];

const watchId = z.string().min(1).max(256).describe("The client's name for the watch, unique on the socket.");

/** What is to be watched, on any socket. */
export const watchFields = {
  path: nodePath,
  mode: z.enum(watchModes).default('node'),
  once: z.boolean().optional().describe('End after the first events message.'),
  since: zxid.optional().describe('Replay all transactions after this one, then continue live.'),
  data: z.boolean().optional().describe('Include the data as it was written in the events.'),
};

export const clientFrame = z
  .discriminatedUnion('type', [
    z.strictObject({ type: z.literal('watch'), id: watchId, ...watchFields }),
    z.strictObject({ type: z.literal('unwatch'), id: watchId }),
    z.strictObject({
      type: z.literal('session'),
      session: z.string().describe('Handle of a session that the socket renews while it is open.'),
    }),
    z.strictObject({ type: z.literal('ping') }),
  ])
  .meta({ id: 'WatchClientFrame' });

export type ClientFrame = z.infer<typeof clientFrame>;

export const watchEvent = z
  .object({
    type: z.enum(['created', 'changed', 'deleted', 'children']),
    path: nodePath,
    stat: statSchema.optional(),
    data: z.string().optional(),
    encoding: encoding.optional(),
    contentType: z.string().optional(),
    truncated: z.literal(true).optional(),
  })
  .meta({ id: 'WatchEvent' });

export type WatchEvent = z.infer<typeof watchEvent>;

const errorFrame = z.looseObject({
  ...problemSchema.shape,
  type: z.literal('error'),
  id: z.string().optional().describe('The watch that ended or could not start, or the frame that was refused.'),
});

export const serverFrame = z
  .discriminatedUnion('type', [
    z.object({ type: z.literal('watching'), id: watchId, zxid }),
    z.object({ type: z.literal('unwatched'), id: watchId }),
    z.object({ type: z.literal('events'), id: watchId, zxid, events: z.array(watchEvent) }),
    z
      .object({ type: z.literal('bookmark'), zxid })
      .describe('All watches of the socket have been sent everything up to this transaction.'),
    z.object({ type: z.literal('session'), id: z.string(), expiresAt: z.int() }),
    z.object({ type: z.literal('sessionExpired'), id: z.string() }),
    errorFrame,
    z.object({ type: z.literal('pong') }),
  ])
  .meta({ id: 'WatchServerFrame' });

export type ServerFrame = z.infer<typeof serverFrame>;

/** The `data` of a server-sent event. Its `id` is the zxid, so that `Last-Event-ID` resumes. */
export const streamFrame = z
  .discriminatedUnion('type', [
    z.object({ type: z.literal('watching'), zxid }),
    z.object({ type: z.literal('events'), zxid, events: z.array(watchEvent) }),
    z.object({ type: z.literal('bookmark'), zxid }),
    errorFrame,
  ])
  .meta({ id: 'WatchStreamFrame' });

export type StreamFrame = z.infer<typeof streamFrame>;

/** The longest time between two bookmarks, ms. */
export const bookmarkMsMax = 10_000;

export const watchStreamQuery = z.strictObject({
  mode: z.enum(watchModes).default('node').describe('What to watch: the node, its list of children, or its subtree.'),
  since: queryInteger(0, Number.MAX_SAFE_INTEGER).optional().describe('Replay all transactions after this one first.'),
  data: queryFlag.optional().describe('Include the data as it was written in the events.'),
  once: queryFlag.optional().describe('End after the first events message.'),
});

export const watchStreamHeaders = z.looseObject({
  'last-event-id': z
    .string()
    .regex(/^(\d{0,16}|lost:.{0,100})$/, 'must be the id of an event of this stream')
    .optional()
    .describe(
      'Resume after this event. An EventSource sends it by itself. It takes precedence over `since`. The id of a problem, `lost:…`, gets the response 204.',
    ),
});

/** Close codes of the sockets (RFC 6455 reserves 4000-4999 for applications). */
export const closeCodes = {
  goingAway: 1001,
  slowReader: 4008,
} as const;

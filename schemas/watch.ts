// The frames of /v1/watch, as socket messages and as server-sent events.
import { z } from 'zod';
import { encoding, nodePath, queryFlag, queryInteger, statSchema, zxid } from './common.ts';
import { problemSchema } from './errors.ts';

export const watchModes = ['node', 'children', 'recursive'] as const;
export type WatchMode = (typeof watchModes)[number];

/** How much of a node's data an event carries; above that it is cut and marked `truncated`. */
export const eventDataBytesMax = 16 * 1024;

const watchId = z.string().min(1).max(256).describe("The client's own name for the watch, unique on its socket.");

export const clientFrame = z
  .discriminatedUnion('type', [
    z.strictObject({
      type: z.literal('watch'),
      id: watchId,
      path: nodePath,
      mode: z.enum(watchModes).default('node'),
      once: z.boolean().optional().describe('End after the first events message.'),
      since: zxid.optional().describe('Replay every transaction after this one, then go live.'),
      data: z.boolean().optional().describe('Events carry the data as it was written.'),
    }),
    z.strictObject({ type: z.literal('unwatch'), id: watchId }),
    z.strictObject({ type: z.literal('session'), session: z.string().describe('Handle to keep alive.') }),
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
  id: z.string().optional().describe('The watch that has ended, or could not begin; or the frame that was wrong.'),
});

export const serverFrame = z
  .discriminatedUnion('type', [
    z.object({ type: z.literal('watching'), id: watchId, zxid }),
    z.object({ type: z.literal('unwatched'), id: watchId }),
    z.object({ type: z.literal('events'), id: watchId, zxid, events: z.array(watchEvent) }),
    z.object({ type: z.literal('bookmark'), zxid }).describe('Everything up to here was sent, for all watches.'),
    z.object({ type: z.literal('session'), id: z.string(), expiresAt: z.int() }),
    z.object({ type: z.literal('sessionExpired'), id: z.string() }),
    errorFrame,
    z.object({ type: z.literal('pong') }),
  ])
  .meta({ id: 'WatchServerFrame' });

export type ServerFrame = z.infer<typeof serverFrame>;

/** The `data` of a server-sent event; its `id` is the zxid, so that `Last-Event-ID` resumes. */
export const streamFrame = z
  .discriminatedUnion('type', [
    z.object({ type: z.literal('watching'), zxid }),
    z.object({ type: z.literal('events'), zxid, events: z.array(watchEvent) }),
    z.object({ type: z.literal('bookmark'), zxid }),
    errorFrame,
  ])
  .meta({ id: 'WatchStreamFrame' });

export type StreamFrame = z.infer<typeof streamFrame>;

/** A bookmark comes at least so often. */
export const bookmarkMsMax = 10_000;

export const watchStreamQuery = z.strictObject({
  mode: z.enum(watchModes).default('node'),
  since: queryInteger(0, Number.MAX_SAFE_INTEGER).optional().describe('Replay every transaction after this one first.'),
  data: queryFlag.optional().describe('Events carry the data as it was written.'),
  once: queryFlag.optional().describe('End after the first events message.'),
});

export const watchStreamHeaders = z.looseObject({
  'last-event-id': z
    .string()
    .regex(/^(\d{0,16}|lost:.{0,100})$/, 'must be the id of an event of this stream')
    .optional()
    .describe(
      'Resume after this event: an EventSource sends it by itself. It wins over `since`. That of a problem, `lost:…`, is answered with 204.',
    ),
});

/** Close codes of our sockets (RFC 6455: 4000-4999 are for applications). */
export const closeCodes = {
  goingAway: 1001,
  slowReader: 4008,
} as const;

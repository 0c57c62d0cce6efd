// GET /v1/watch/{path}: one watch as server-sent events. The id of each message is its zxid, so an EventSource that lost its
// connection resumes by itself, at any broker.
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZodOpenApi, FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import {
  bookmarkMsMax,
  type StreamFrame,
  streamFrame,
  watchStreamHeaders,
  watchStreamQuery,
} from '../../../schemas/watch.ts';
import type { Broker } from '../../broker/broker.ts';
import type { MessageForm } from '../../broker/watches/watch-match.ts';
import type { WatchHandle, WatchRequest, WatchSink } from '../../broker/watches/watcher.ts';
import { frameJson } from '../../core/frame-json.ts';
import { ServiceError } from '../../core/service-error.ts';
import { eventMessage, isLost, lostMark } from '../event-stream-messages.ts';
import { nodePathOf } from '../node-path.ts';
import { toServiceError } from '../plugins/error-handler.ts';
import { problems } from '../problems.ts';
import { EventStreams } from '../sse.ts';

const prefix = '/v1/watch/';

type EventsFrame = Extract<StreamFrame, { type: 'events' }>;

/** The message with the events of a transaction, the same for all streams. */
const eventsMessage: MessageForm = {
  key: 'stream',
  make: (zxid, events) =>
    Buffer.from(eventMessage(zxid, frameJson<EventsFrame, 'events'>({ type: 'events', zxid }, { events }))),
};

export const watchStreamRoutes: FastifyPluginAsyncZodOpenApi<{
  broker: Pick<Broker, 'watches' | 'metrics' | 'slowReadersCut' | 'stopping' | 'store'>;
}> = async (app, { broker }) => {
  const { watches, metrics, slowReadersCut, stopping } = broker;
  const streams = new EventStreams(app, { stopping, sessions: broker.store.sessions }, bookmarkMsMax / 2);
  metrics.gauge('watch_streams_open', 'Open event streams of a watch.', () => streams.size);

  app.route({
    method: 'GET',
    url: '/watch/*',
    // An endless stream has no length, so HEAD has no meaning.
    exposeHeadRoute: false,
    config: { access: { verb: 'read', kind: 'nodes', prefix }, admission: 'stream', timeLimit: 'none' },
    schema: {
      tags: ['watches'],
      operationId: 'watch.stream',
      summary: 'Watch a node as server-sent events',
      querystring: watchStreamQuery,
      headers: watchStreamHeaders,
      response: {
        200: {
          description:
            'Messages with `id: <zxid>` and a WatchStreamFrame as `data`. An error that ends the stream, such as a lost position, is the last message, with `event: problem`.',
          content: { 'text/event-stream': { schema: streamFrame } },
        },
        204: {
          description:
            'The Last-Event-ID is that of an `event: problem` for a lost position. An EventSource then stops.',
        },
        ...problems('BAD_REQUEST', 'INVALID_PATH', 'SESSION_EXPIRED', 'STORE_UNAVAILABLE'),
      },
    } satisfies FastifyZodOpenApiSchema,
    handler: async (request, reply) => {
      const { mode, data, once, since } = request.query;
      const lastEventId = request.headers['last-event-id'];
      if (lastEventId?.startsWith(lostMark)) return reply.code(204).send();
      await watch(request, reply, {
        path: nodePathOf(request.url, prefix),
        mode,
        data,
        once,
        since: lastEventId ? Number(lastEventId) : since,
        ...(mode === 'recursive' && { mayRead: request.mayReadNode }),
      });
      return reply;
    },
  });

  /**
   * Starts a watch as the response.
   * @throws the error that refuses the watch before the stream has begun, unless its position is lost: that is sent in the stream
   */
  function watch(request: FastifyRequest, reply: FastifyReply, watchRequest: WatchRequest): Promise<void> {
    const { account } = request;
    return new Promise((resolve, reject) => {
      account?.hold('watches');
      reply.raw.once('close', () => account?.release('watches'));
      let handle: WatchHandle | undefined;
      const stream = streams.open(reply, {
        onHeartbeat: () => {
          const zxid = handle?.position;
          if (zxid !== undefined) send({ type: 'bookmark', zxid });
        },
        onEnd: () => {
          handle?.close();
          // Has no effect once the stream has begun.
          reject(new ServiceError('STORE_UNAVAILABLE', 'The server is stopping. Send the request to another broker.'));
        },
      });
      const send = (frame: StreamFrame & { zxid: number }) => stream.send(frame.zxid, JSON.stringify(frame));
      const sink: WatchSink = {
        watching: (zxid) => {
          resolve();
          reply.header('weir-zxid', zxid);
          stream.begin();
          send({ type: 'watching', zxid });
        },
        events: (matched) => {
          stream.sendEncoded(matched.message(eventsMessage));
          if (watchRequest.once) stream.end();
        },
        failed: (error) => {
          const failure = toServiceError(error as Error, request);
          if (!stream.hasBegun && !isLost(failure)) {
            reject(error);
            stream.end();
            return;
          }
          if (!stream.hasBegun) reply.header('weir-zxid', failure.fields.zxid);
          resolve();
          stream.fail(error, handle?.position ?? watchRequest.since);
        },
      };
      handle = watches.watch(watchRequest, sink, {
        room: () => stream.room(),
        cutOff: () => {
          slowReadersCut.inc({ kind: 'watch-stream' });
          stream.cutOff();
        },
        // Not corked: a corked response of node:http may wait for a drain that never comes, and it has only one watch.
        cork: (write) => write(),
      });
      if (stream.hasEnded) handle.close();
    });
  }
};

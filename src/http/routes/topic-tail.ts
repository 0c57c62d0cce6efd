// GET /v1/topics/{topic}/stream: the tail of a topic as server-sent events. The id of each message is the position after it, so an
// EventSource that lost its connection resumes by itself, at any broker. The same URL also accepts WebSockets (src/ws/topic-tail.ts).
import type { WebSocket } from '@fastify/websocket';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZodOpenApi, FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import type { z } from 'zod';
import { positionMsMax, topicTailEvent, topicTailHeaders, topicTailQuery } from '../../../schemas/topic-tail.ts';
import { topicParams } from '../../../schemas/topics.ts';
import type { Broker } from '../../broker/broker.ts';
import type { RecordSink, TopicTail, TopicTailRequest } from '../../broker/log/topic-tail.ts';
import { frameJson } from '../../core/frame-json.ts';
import { isLost, lostMark } from '../event-stream-messages.ts';
import { toServiceError } from '../plugins/error-handler.ts';
import { problems } from '../problems.ts';
import { EventStreams } from '../sse.ts';

type RecordStreamFrame = z.infer<typeof topicTailEvent>;
type RecordsFrame = Extract<RecordStreamFrame, { type: 'records' }>;

interface Options {
  broker: Pick<Broker, 'topicTails' | 'stopping' | 'store'>;
  /** Takes over a connection that was upgraded to a WebSocket. */
  takeSocket(ws: WebSocket, opening: FastifyRequest, request: TopicTailRequest): void;
}

/** A request as the schemas of the route parse it. */
interface ParsedRequest {
  params: z.output<typeof topicParams>;
  query: z.output<typeof topicTailQuery>;
  headers: z.output<typeof topicTailHeaders>;
}

export const topicTailRoutes: FastifyPluginAsyncZodOpenApi<Options> = async (app, { broker, takeSocket }) => {
  const { topicTails, stopping } = broker;
  const streams = new EventStreams(app, { stopping, sessions: broker.store.sessions }, positionMsMax / 2);

  app.route({
    method: 'GET',
    url: '/topics/:topic/stream',
    // An endless stream has no length, so HEAD has no meaning.
    exposeHeadRoute: false,
    config: { access: { verb: 'read', kind: 'topics', in: 'topic' }, admission: 'stream', timeLimit: 'none' },
    schema: {
      tags: ['topics'],
      operationId: 'records.stream',
      summary:
        'Read records as they are appended, as server-sent events, or over a WebSocket, whose frames are in asyncapi.yaml',
      params: topicParams,
      querystring: topicTailQuery,
      headers: topicTailHeaders,
      response: {
        101: { description: 'The connection is a WebSocket now.' },
        200: {
          description:
            'Messages with `id: <position>` and a RecordStreamFrame as `data`. An error that ends the stream, such as a lost position, is the last message, with `event: problem`.',
          content: { 'text/event-stream': { schema: topicTailEvent } },
        },
        204: {
          description:
            'The Last-Event-ID is that of an `event: problem` for a lost position. An EventSource then stops.',
        },
        ...problems('BAD_REQUEST', 'UNKNOWN_TOPIC', 'UNKNOWN_PARTITION', 'STORE_UNAVAILABLE'),
      },
    } satisfies FastifyZodOpenApiSchema,
    handler: async (request, reply) => {
      if (request.headers['last-event-id']?.startsWith(lostMark)) return reply.code(204).send();
      const tailRequest = streamRequest(request);
      const position = tailRequest.resume ?? tailRequest.offset;
      try {
        send(reply, await topicTails.open(tailRequest));
      } catch (error) {
        const failure = toServiceError(error as Error, request);
        // An unknown topic is a mistake in the request, unless the request has a position in it: then the topic was deleted.
        if (!isLost(failure) || (failure.code === 'UNKNOWN_TOPIC' && !position?.includes(':'))) throw error;
        streams.open(reply, { onHeartbeat: () => undefined, onEnd: () => undefined }).fail(error, position);
      }
      return reply;
    },
    wsHandler: (ws, request) => takeSocket(ws, request, streamRequest(request as unknown as ParsedRequest)),
  });
  /** Sends a topic tail as the response, until either ends. */
  function send(reply: FastifyReply, tail: TopicTail): void {
    const ended = new AbortController();
    const sendPosition = () => {
      const { position } = tail;
      stream.send(position, JSON.stringify({ type: 'position', position } satisfies RecordStreamFrame));
    };
    const stream = streams.open(reply, { onHeartbeat: sendPosition, onEnd: () => ended.abort() });
    stream.begin();
    sendPosition();
    const sink: RecordSink = {
      kind: 'sse',
      room: () => stream.room(),
      credit: () => Number.POSITIVE_INFINITY,
      records: (partition, records, _count, position) =>
        stream.send(position, frameJson<RecordsFrame, 'records'>({ type: 'records', partition }, { records })),
    };
    tail.run(sink, ended.signal).then(
      () => stream.end(),
      (error: unknown) => stream.fail(error, tail.position),
    );
  }
};

function streamRequest({ params, query, headers }: ParsedRequest): TopicTailRequest {
  const { partition, offset, timestamp } = query;
  // An EventSource that has no id yet may send an empty one.
  const resume = headers['last-event-id']?.replace(lostMark, '') || undefined;
  return { topic: params.topic, partitions: partition, offset, timestamp, resume };
}

// GET /v1/topics/{topic}/stream: a topic's records as they come, as server-sent events. Each message has the position behind
// it as its id, so an EventSource that was cut off resumes by itself, through any broker. The same address, upgraded, is a
// WebSocket; what that does is not said here.
import type { Socket as Connection } from 'node:net';
import type { WebSocket } from '@fastify/websocket';
import type { FastifyReply } from 'fastify';
import type { FastifyPluginAsyncZodOpenApi, FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import type { z } from 'zod';
import {
  positionMsMax,
  recordStreamFrame,
  recordStreamHeaders,
  recordStreamQuery,
} from '../../../schemas/topic-tail.ts';
import { topicParams } from '../../../schemas/topics.ts';
import type { Broker } from '../../broker/broker.ts';
import type { TopicTail, TopicTailRequest } from '../../broker/log/topic-tail.ts';
import { ServiceError } from '../../core/service-error.ts';
import type { Sessions } from '../../store/tree/sessions.ts';
import { toServiceError } from '../plugins/error-handler.ts';
import { problems } from '../problems.ts';
import { beginEventStream, isLost, lostMark, problemMessage } from '../sse.ts';
import { renewWhileStreaming } from '../waiting-session.ts';

interface Options {
  broker: Broker;
  /** Takes over a connection that was upgraded. */
  takeSocket(ws: WebSocket, connection: Connection, request: TopicTailRequest): void;
}

/** What the route's schemas make of a request. */
interface ParsedRequest {
  params: z.output<typeof topicParams>;
  query: z.output<typeof recordStreamQuery>;
  headers: z.output<typeof recordStreamHeaders>;
}

export const topicTailRoutes: FastifyPluginAsyncZodOpenApi<Options> = async (app, { broker, takeSocket }) => {
  const open = new Set<EventStream>();
  broker.stopping.addEventListener('abort', () => {
    for (const stream of open) stream.end();
  });

  app.route({
    method: 'GET',
    url: '/topics/:topic/stream',
    // A stream has no length and no end that a HEAD could tell.
    exposeHeadRoute: false,
    schema: {
      tags: ['topics'],
      operationId: 'records.stream',
      summary:
        'Read records as they come, as server-sent events; upgraded to a WebSocket: frames RecordStreamClientFrame to the server, RecordStreamServerFrame from it',
      params: topicParams,
      querystring: recordStreamQuery,
      headers: recordStreamHeaders,
      response: {
        101: { description: 'The connection is a WebSocket now.' },
        200: {
          description:
            'Messages with `id: <position>` and a RecordStreamFrame as `data`; what ends the stream, such as a position that is lost, is an `event: problem`, and the last.',
          content: { 'text/event-stream': { schema: recordStreamFrame } },
        },
        204: {
          description: 'The Last-Event-ID is that of a position that is lost, as was said; it stops an EventSource.',
        },
        ...problems('BAD_REQUEST', 'UNKNOWN_TOPIC', 'UNKNOWN_PARTITION', 'STORE_UNAVAILABLE'),
      },
    } satisfies FastifyZodOpenApiSchema,
    handler: async (request, reply) => {
      if (request.headers['last-event-id']?.startsWith(lostMark)) return reply.code(204).send();
      const wanted = streamRequest(request);
      const position = wanted.resume ?? wanted.offset;
      let stream: TopicTail;
      try {
        stream = await broker.topicTails.open(wanted);
      } catch (error) {
        const failure = toServiceError(error as Error, request);
        // A topic that never was is a mistake of whoever asks; one that a position is of has gone.
        if (!isLost(failure) || (failure.code === 'UNKNOWN_TOPIC' && !position?.includes(':'))) throw error;
        beginEventStream(reply);
        reply.raw.end(problemMessage(failure, position));
        return reply;
      }
      if (broker.stopping.aborted) {
        throw new ServiceError('STORE_UNAVAILABLE', 'The server is stopping; ask another one.');
      }
      const sent: EventStream = new EventStream(reply, stream, broker.store.sessions, () => open.delete(sent));
      open.add(sent);
      sent.start();
      return reply;
    },
    wsHandler: (ws, request) => takeSocket(ws, request.raw.socket, streamRequest(request as unknown as ParsedRequest)),
  });
};

function streamRequest({ params, query, headers }: ParsedRequest): TopicTailRequest {
  const { partition, offset, timestamp } = query;
  // An EventSource that has no id yet may send an empty one.
  const resume = headers['last-event-id']?.replace(lostMark, '') || undefined;
  return { topic: params.topic, partitions: partition, offset, timestamp, resume };
}

class EventStream {
  readonly #reply: FastifyReply;
  readonly #stream: TopicTail;
  readonly #sessions: Sessions;
  readonly #onEnd: () => void;
  readonly #ended = new AbortController();
  #positions: NodeJS.Timeout | undefined;
  #stopKeeping = (): void => undefined;
  #waiting: (() => void)[] = [];

  constructor(reply: FastifyReply, stream: TopicTail, sessions: Sessions, onEnd: () => void) {
    this.#reply = reply;
    this.#stream = stream;
    this.#sessions = sessions;
    this.#onEnd = onEnd;
  }

  start(): void {
    const { raw } = this.#reply;
    beginEventStream(this.#reply);
    raw.on('drain', () => this.#release());
    raw.on('close', () => this.end());
    // The reader may have gone while it was looked where to begin.
    if (raw.destroyed) {
      this.end();
      return;
    }
    this.#sendPosition();
    this.#positions = setInterval(() => this.#sendPosition(), positionMsMax / 2);
    this.#stopKeeping = renewWhileStreaming(this.#reply.request, this.#reply, this.#sessions, (error) =>
      this.#fail(error),
    );
    void this.#run();
  }

  /** Ends the stream behind what was written. */
  end(): void {
    if (this.#ended.signal.aborted) return;
    clearInterval(this.#positions);
    this.#stopKeeping();
    this.#ended.abort();
    this.#release();
    this.#reply.raw.end();
    this.#onEnd();
  }

  async #run(): Promise<void> {
    const { raw, request } = this.#reply;
    try {
      await this.#stream.run(
        {
          kind: 'sse',
          room: () => this.#room(),
          credit: () => Number.POSITIVE_INFINITY,
          records: (partition, records, _count, position) => {
            raw.write(`id: ${position}\ndata: {"type":"records","partition":${partition},"records":${records}}\n\n`);
          },
        },
        this.#ended.signal,
      );
    } catch (error) {
      const failure = toServiceError(error as Error, request);
      if (failure.code === 'INTERNAL')
        request.log.error({ err: error }, 'A stream of records failed by a fault of ours');
      this.#fail(failure);
    }
    this.end();
  }

  /** Says why the stream cannot go on, and ends it. */
  #fail(failure: ServiceError): void {
    if (!this.#ended.signal.aborted) this.#reply.raw.write(problemMessage(failure, this.#stream.position));
    this.end();
  }

  /** Says where to resume even if no record came for long, and that the server is alive; not to who is behind anyway. */
  #sendPosition(): void {
    const { raw } = this.#reply;
    if (raw.writableNeedDrain) return;
    const { position } = this.#stream;
    raw.write(`id: ${position}\ndata: ${JSON.stringify({ type: 'position', position })}\n\n`);
  }

  /** A reader without room is not read for, and so costs no memory (guarantee W4). */
  #room(): Promise<void> | undefined {
    if (this.#ended.signal.aborted || !this.#reply.raw.writableNeedDrain) return undefined;
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #release(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const go of waiting) go();
  }
}

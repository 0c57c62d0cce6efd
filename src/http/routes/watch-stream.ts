// GET /v1/watch/{path}: one watch as server-sent events. Each message has the zxid as its id, so an EventSource that was
// cut off resumes by itself, through any broker.
import type { FastifyReply } from 'fastify';
import type { FastifyPluginAsyncZodOpenApi, FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import {
  bookmarkMsMax,
  type StreamFrame,
  streamFrame,
  watchStreamHeaders,
  watchStreamQuery,
} from '../../../schemas/watch.ts';
import type { Broker } from '../../broker/broker.ts';
import type { WatchConnection, WatchHandle, WatchRequest } from '../../broker/watches/watcher.ts';
import { ServiceError } from '../../core/service-error.ts';
import { nodePathOf } from '../node-path.ts';
import { toServiceError } from '../plugins/error-handler.ts';
import { problems } from '../problems.ts';
import { beginEventStream, isLost, lostMark, problemMessage } from '../sse.ts';
import { renewWhileStreaming } from '../waiting-session.ts';

const prefix = '/v1/watch/';

export const watchStreamRoutes: FastifyPluginAsyncZodOpenApi<{ broker: Broker }> = async (app, { broker }) => {
  const { metrics } = broker;
  const open = new Set<WatchStream>();
  metrics.gauge('watch_streams_open', 'Open streams of server-sent events with a watch.', () => open.size);
  const bookmarks = setInterval(() => {
    for (const stream of open) stream.sendBookmark();
  }, bookmarkMsMax / 2);
  app.addHook('onClose', async () => clearInterval(bookmarks));
  broker.stopping.addEventListener('abort', () => {
    for (const stream of open) stream.end();
  });

  app.route({
    method: 'GET',
    url: '/watch/*',
    // A stream has no length and no end that a HEAD could tell.
    exposeHeadRoute: false,
    schema: {
      tags: ['watches'],
      operationId: 'watch.stream',
      summary: 'Watch a node as server-sent events',
      querystring: watchStreamQuery,
      headers: watchStreamHeaders,
      response: {
        200: {
          description:
            'Messages with `id: <zxid>` and a WatchStreamFrame as `data`; what ends the stream, such as a position that is lost, is an `event: problem`, and the last.',
          content: { 'text/event-stream': { schema: streamFrame } },
        },
        204: {
          description: 'The Last-Event-ID is that of a position that is lost, as was said; it stops an EventSource.',
        },
        ...problems('BAD_REQUEST', 'INVALID_PATH', 'SESSION_EXPIRED', 'STORE_UNAVAILABLE'),
      },
    } satisfies FastifyZodOpenApiSchema,
    handler: async (request, reply) => {
      const { mode, data, once, since } = request.query;
      const lastEventId = request.headers['last-event-id'];
      if (lastEventId?.startsWith(lostMark)) return reply.code(204).send();
      const watch: WatchRequest = {
        path: nodePathOf(request.url, prefix),
        mode,
        data,
        once,
        since: lastEventId ? Number(lastEventId) : since,
      };
      const stream: WatchStream = new WatchStream(reply, broker, () => open.delete(stream));
      open.add(stream);
      const begun = stream.start(watch);
      if (broker.stopping.aborted) stream.end();
      await begun;
      return reply;
    },
  });
};

class WatchStream implements WatchConnection {
  readonly #broker: Broker;
  readonly #reply: FastifyReply;
  readonly #onEnd: () => void;
  #watch: WatchHandle | undefined;
  #ended = false;
  /** Refuses the request, as long as the stream has not begun. */
  #refuse: ((error: unknown) => void) | undefined;
  #waiting: (() => void)[] = [];
  #stopKeeping = (): void => undefined;

  constructor(reply: FastifyReply, broker: Broker, onEnd: () => void) {
    this.#broker = broker;
    this.#reply = reply;
    this.#onEnd = onEnd;
    reply.raw.on('drain', () => this.#release());
    reply.raw.on('close', () => this.#finish());
  }

  /** Settles when the stream has begun; what is wrong before that is thrown, and becomes an ordinary problem. */
  start(request: WatchRequest): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#refuse = reject;
      this.#watch = this.#broker.watches.watch(
        request,
        {
          watching: (zxid) => {
            this.#refuse = undefined;
            this.#begin(zxid);
            resolve();
          },
          events: (zxid, events) => {
            this.#write(`id: ${zxid}\ndata: {"type":"events","zxid":${zxid},"events":${events}}\n\n`);
            if (request.once) this.end();
          },
          failed: (error) => {
            const failure = toServiceError(error as Error, this.#reply.request);
            if (this.#refuse && !isLost(failure)) {
              this.#finish(error);
              return;
            }
            if (this.#refuse) {
              this.#refuse = undefined;
              this.#reply.header('weir-zxid', failure.fields.zxid);
              beginEventStream(this.#reply);
              resolve();
            }
            this.#fail(failure, this.#watch?.position ?? request.since);
          },
        },
        this,
      );
    });
  }

  /** Says how far everything was sent; not to who is behind anyway. */
  sendBookmark(): void {
    const zxid = this.#watch?.position;
    if (zxid !== undefined && !this.#reply.raw.writableNeedDrain) this.#writeFrame({ type: 'bookmark', zxid });
  }

  /** A reader that has left too much lying is cut off; it resumes with its last id (guarantee W4). */
  cutOff(): void {
    this.#broker.slowReadersCut.inc({ kind: 'watch-stream' });
    this.#reply.raw.destroy();
    this.#finish();
  }

  cork(write: () => void): void {
    // A response that is corked may wait for a drain that never comes (node:http); and it has one watch only.
    write();
  }

  /** Ends the stream behind what was written. */
  end(): void {
    if (this.#reply.sent) this.#reply.raw.end();
    this.#finish();
  }

  #begin(zxid: number): void {
    this.#reply.header('weir-zxid', zxid);
    beginEventStream(this.#reply);
    this.#writeFrame({ type: 'watching', zxid });
    const { request } = this.#reply;
    this.#stopKeeping = renewWhileStreaming(request, this.#reply, this.#broker.store.sessions, (error) =>
      this.#fail(error),
    );
    if (this.#ended) this.#stopKeeping();
  }

  /** Says why the stream cannot go on, and ends it. */
  #fail(failure: ServiceError, position = this.#watch?.position): void {
    this.#write(problemMessage(failure, position));
    this.end();
  }

  #writeFrame(frame: StreamFrame & { zxid: number }): void {
    this.#write(`id: ${frame.zxid}\ndata: ${JSON.stringify(frame)}\n\n`);
  }

  #write(text: string): void {
    if (!this.#ended) this.#reply.raw.write(text);
  }

  room(): Promise<void> | undefined {
    if (this.#ended || !this.#reply.raw.writableNeedDrain) return undefined;
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #release(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const go of waiting) go();
  }

  #finish(error: unknown = new ServiceError('STORE_UNAVAILABLE', 'The server is stopping; ask another one.')): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stopKeeping();
    this.#watch?.close();
    this.#release();
    this.#refuse?.(error);
    this.#onEnd();
  }
}

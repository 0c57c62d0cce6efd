// The socket GET /v1/topics/{topic}/stream: a topic tail that sends as many records as the client has given credit for.
import type { WebSocket } from '@fastify/websocket';
import type { FastifyRequest } from 'fastify';
import { errorCatalogue } from '../../schemas/errors.ts';
import {
  positionMsMax,
  problemCloseCodeBase,
  type TopicTailClientFrame,
  type TopicTailServerFrame,
  topicTailClientFrame,
} from '../../schemas/topic-tail.ts';
import type { TopicTail, TopicTailRequest, TopicTails } from '../broker/log/topic-tail.ts';
import { frameJson } from '../core/frame-json.ts';
import { findServiceError } from '../core/service-error.ts';
import type { Socket, Sockets } from './socket.ts';

type RecordsFrame = Extract<TopicTailServerFrame, { type: 'records' }>;

/**
 * Serves one socket until either side closes it. An invalid request gets an error frame before the close, too: a browser shows
 * its page nothing of an upgrade that was refused.
 */
export function serveTopicTail(
  ws: WebSocket,
  opening: FastifyRequest,
  request: TopicTailRequest,
  topicTails: TopicTails,
  sockets: Sockets,
): void {
  void new TopicTailSocket(ws, opening, sockets).run(request, topicTails);
}

class TopicTailSocket {
  readonly #socket: Socket;
  readonly #closed = new AbortController();
  #stream: TopicTail | undefined;
  #credit = 0;
  /** Called when there is new credit. */
  #onCredit = (): void => undefined;

  constructor(ws: WebSocket, opening: FastifyRequest, sockets: Sockets) {
    const positions = setInterval(() => this.#sendPosition(), positionMsMax / 2);
    this.#socket = sockets.accept(ws, opening, {
      kind: 'tail',
      schema: topicTailClientFrame,
      onFrame: (frame) => this.#onFrame(frame),
      onClose: () => {
        clearInterval(positions);
        this.#closed.abort();
        this.#onCredit();
      },
    });
  }

  async run(request: TopicTailRequest, topicTails: TopicTails): Promise<void> {
    try {
      this.#stream = await topicTails.open(request);
      this.#sendPosition();
      await this.#stream.run(
        {
          kind: 'socket',
          room: () => this.#room(),
          credit: () => this.#credit,
          records: (partition, records, count, position) => {
            this.#credit -= count;
            this.#socket.send(
              frameJson<RecordsFrame, 'records'>({ type: 'records', partition, position }, { records }),
            );
          },
        },
        this.#closed.signal,
      );
    } catch (error) {
      this.#socket.sendError(error);
      const code = findServiceError(error)?.code ?? 'INTERNAL';
      this.#socket.close(problemCloseCodeBase + errorCatalogue[code].status, code);
    }
  }

  #onFrame(frame: TopicTailClientFrame): void {
    if (frame.type === 'ping') {
      this.#send({ type: 'pong' });
    } else {
      this.#credit += frame.records;
      this.#onCredit();
    }
  }

  #room(): Promise<void> | undefined {
    if (this.#credit > 0 || this.#closed.signal.aborted) return this.#socket.room();
    return new Promise((resolve) => {
      this.#onCredit = resolve;
    });
  }

  /** Sends the position to resume at, even after a long time without records; not to a slow reader. */
  #sendPosition(): void {
    if (this.#stream && !this.#socket.room()) this.#send({ type: 'position', position: this.#stream.position });
  }

  #send(frame: TopicTailServerFrame): void {
    this.#socket.sendFrame(frame);
  }
}

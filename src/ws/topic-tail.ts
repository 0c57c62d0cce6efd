// The socket GET /v1/topics/{topic}/stream: a topic tail that sends as many records as the client has given credit for.
import type { WebSocket } from '@fastify/websocket';
import type { FastifyRequest } from 'fastify';
import {
  positionMsMax,
  type TopicTailClientFrame,
  type TopicTailServerFrame,
  topicTailClientFrame,
} from '../../schemas/topic-tail.ts';
import type { TopicTail, TopicTailRequest, TopicTails } from '../broker/log/topic-tail.ts';
import { frameJson } from '../core/frame-json.ts';
import { Credit } from './credit.ts';
import type { Socket } from './socket.ts';
import type { Sockets } from './sockets.ts';

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
  readonly #credit: Credit;

  constructor(ws: WebSocket, opening: FastifyRequest, sockets: Sockets) {
    const positions = setInterval(() => this.#sendPosition(), positionMsMax / 2);
    this.#socket = sockets.accept(ws, opening, {
      kind: 'tail',
      schema: topicTailClientFrame,
      isLenient: () => true,
      onFrame: (frame) => this.#onFrame(frame),
      onClose: () => {
        clearInterval(positions);
        this.#closed.abort();
        this.#credit?.wake();
      },
    });
    this.#credit = new Credit(this.#socket);
  }

  async run(request: TopicTailRequest, topicTails: TopicTails): Promise<void> {
    try {
      this.#stream = await topicTails.open(request);
      this.#sendPosition();
      await this.#stream.run(
        {
          kind: 'socket',
          room: () => this.#credit.room(),
          credit: () => this.#credit.credit(),
          records: (partition, records, count, position) => {
            this.#credit.take(count);
            this.#socket.send(
              frameJson<RecordsFrame, 'records'>({ type: 'records', partition, position }, { records }),
            );
          },
        },
        this.#closed.signal,
      );
    } catch (error) {
      this.#socket.fail(error);
    }
  }

  #onFrame(frame: TopicTailClientFrame): void {
    if (frame.type === 'ping') {
      this.#send({ type: 'pong' });
    } else {
      this.#credit.add(frame.records);
    }
  }

  /** Sends the position to resume at, even after a long time without records; not to a slow reader. */
  #sendPosition(): void {
    if (this.#stream && !this.#socket.room()) this.#send({ type: 'position', position: this.#stream.position });
  }

  #send(frame: TopicTailServerFrame): void {
    this.#socket.sendFrame(frame);
  }
}

// The watches of a pipelined socket. A watch request gets its response when its watch begins; what the watch sends afterwards is not a
// response.
import type { EventFrame, RequestId, SocketRequest } from '../../../schemas/socket.ts';
import { frameJson } from '../../core/frame-json.ts';
import { SocketWatches, type SocketWatchParts } from '../socket-watches.ts';
import type { PendingRequest } from './pending-request.ts';
import type { ResponseMarks } from './response-json.ts';

type EventsFrame = Extract<EventFrame, { type: 'events' }>;

/** Gets the results of watch requests. */
interface WatchSender {
  succeed(pending: PendingRequest, ok: string, marks: ResponseMarks): void;
  fail(pending: PendingRequest, error: unknown): void;
}

interface Parts extends Omit<SocketWatchParts<RequestId>, 'frames'> {
  /** Called when a watch has ended by itself after it began. */
  ended(watch: RequestId, error: unknown): void;
}

export class PipelinedWatches {
  readonly #watches: SocketWatches<RequestId>;
  /** The requests that wait for their watch to begin. */
  readonly #starting = new Map<RequestId, PendingRequest>();

  constructor(sender: WatchSender, { ended, ...parts }: Parts) {
    this.#watches = new SocketWatches({
      ...parts,
      frames: {
        kind: 'pipeline',
        watching: (id, zxid) => {
          const pending = this.#takeStarting(id);
          if (pending) sender.succeed(pending, '{}', { zxid });
        },
        eventsJson: (watch, zxid, events) =>
          frameJson<EventsFrame, 'events'>({ type: 'events', watch, zxid }, { events }),
        failed: (id, error) => {
          const pending = this.#takeStarting(id);
          if (pending) sender.fail(pending, error);
          else ended(id, error);
        },
      },
    });
  }

  get size(): number {
    return this.#watches.size;
  }

  /** Everything up to this zxid was sent to all watches; undefined if none has begun. */
  get position(): number | undefined {
    return this.#watches.position;
  }

  /** Begins a watch; its result comes later. @throws ServiceError BAD_REQUEST, TOO_MANY_REQUESTS, FORBIDDEN */
  watch(pending: PendingRequest, request: SocketRequest<'watch'>): void {
    this.#watches.watch(request.id, request);
    this.#starting.set(request.id, pending);
  }

  /** Ends a watch. @throws ServiceError BAD_REQUEST if there is none with this id */
  unwatch(watch: RequestId): void {
    this.#watches.unwatch(watch);
  }

  /** Ends the watches that a changed policy forbids; the others go on. */
  recheck(): void {
    this.#watches.recheck();
  }

  closeAll(): void {
    this.#watches.closeAll();
  }

  #takeStarting(id: RequestId): PendingRequest | undefined {
    const pending = this.#starting.get(id);
    this.#starting.delete(id);
    return pending;
  }
}

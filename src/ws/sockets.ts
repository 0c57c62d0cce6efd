// All open sockets of a broker: frames in, the detection of dead peers, and the close of all sockets when the server stops. Each kind of
// socket decides what its frames mean.
import { setTimeout as pause } from 'node:timers/promises';
import type { WebSocket } from '@fastify/websocket';
import type { FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { closeCodes } from '../../schemas/watch.ts';
import type { Broker } from '../broker/broker.ts';
import { ClientEventsLog } from '../broker/client-events-log.ts';
import { readInput } from '../core/issues.ts';
import { jsonLimits, readJson, smallJsonLimits } from '../core/json-input.ts';
import { ServiceError } from '../core/service-error.ts';
import { FramesInFlight, type Turns } from './frames-in-flight.ts';
import { Socket, stoppingReason } from './socket.ts';

/** A peer without activity for one to two of these is dead, and its socket is terminated. */
const heartbeatMs = 15_000;

/** How long the server waits at its stop for sockets that finish their requests first, and how often it looks, ms. */
const drainMsMax = 3000;
const drainCheckMs = 20;

/** Frames of one socket that are handled at once; while there are more, the socket is not read. */
const framesInFlightMax = 16;

/** What every kind of socket says of itself. */
interface SocketKind {
  /** For metrics: `watch`, `tail`, `group`, `pipeline`. */
  kind: string;
  /** Called once, when nothing can be sent any more. `code` = the peer's close code; undefined if the server closed it. */
  onClose(code?: number): void;
  /** Called at each frame or pong of the peer. Bytes that it has taken do not count: they show only that its machine runs. */
  onPeerActivity?(): void;
  /** Checks again what the client has asked for, after a change of the policy; throws FORBIDDEN. */
  recheckAccess?(): void;
  /** Called when the server stops, in place of the close of the socket: the kind closes it, soon. */
  onStopping?(): void;
}

/** What a kind of socket does with its messages as they come. */
interface MessageOptions extends SocketKind {
  onMessage(data: Buffer, isBinary: boolean): void;
}

/** What a kind of socket does with its frames, one by one. */
interface SocketOptions<F> extends SocketKind {
  /** The frames that a client may send; usually a union by `type`. */
  schema: z.ZodType<F>;
  /** Whether its frames have lists of offsets or partitions. */
  allowsLists?: boolean;
  /** Handles one frame. What it throws is sent as an error frame, and the socket stays open. */
  onFrame(frame: F): void | Promise<void>;
  /** Whether a frame is let through at the limit on requests of its identity, as it keeps something alive; absent: none. */
  isLenient?(frame: F): boolean;
  /** Frames that are handled at once; absent: the usual number. For a kind that limits them itself. */
  framesInFlightMax?: number;
}

/** What the sockets use of the broker. */
type SocketsBroker = Pick<Broker, 'metrics' | 'stopping' | 'log' | 'slowReadersCut'>;

/** All open sockets of a broker. */
export class Sockets {
  readonly #broker: SocketsBroker;
  readonly #turns: Turns;
  readonly #log: ClientEventsLog;
  readonly #open = new Set<Socket>();

  constructor(broker: SocketsBroker, turns: Turns) {
    this.#broker = broker;
    this.#turns = turns;
    this.#log = new ClientEventsLog(broker.log);
    const { metrics, stopping } = broker;
    metrics.gauge('socket_frames_in_flight', 'Frames of WebSockets in flight.', () =>
      [...this.#open].reduce((sum, { framesInFlight }) => sum + framesInFlight, 0),
    );
    metrics.gauges('sockets_open', 'Open WebSockets by kind.', ['kind'], () => this.#count());
    const heartbeat = setInterval(() => {
      for (const socket of this.#open) socket.checkPeer();
    }, heartbeatMs).unref();
    stopping.addEventListener('abort', () => {
      clearInterval(heartbeat);
      for (const socket of [...this.#open]) socket.stop();
    });
  }

  /** Settles when all sockets are closed that finish their requests before they close at the stop; soon, as those are in flight. */
  async drained(): Promise<void> {
    const isDraining = () => [...this.#open].some((socket) => socket.isDraining);
    for (const deadline = performance.now() + drainMsMax; isDraining() && performance.now() < deadline; )
      await pause(drainCheckMs);
  }

  /** Takes over a socket that handles frame by frame. To be called in the tick in which it was opened. */
  accept<F>(ws: WebSocket, request: FastifyRequest, options: SocketOptions<F>): Socket {
    let inFlight: FramesInFlight | undefined;
    const socket: Socket = this.acceptMessages(ws, request, {
      ...options,
      onMessage: (data, isBinary) =>
        inFlight?.take({ bytes: data.length, work: () => this.#take(socket, options, data, isBinary) }),
      onClose: (code) => {
        // A server that is stopping closes it before it has any.
        inFlight?.stop();
        options.onClose(code);
      },
    });
    const { clientKey } = request;
    inFlight = new FramesInFlight(socket, options.framesInFlightMax ?? framesInFlightMax, (bytes, run) =>
      this.#turns.readFrame(clientKey, bytes, run),
    );
    return socket;
  }

  /** Takes over a socket. To be called in the tick in which it was opened, as a message may have arrived already. */
  acceptMessages(ws: WebSocket, request: FastifyRequest, options: MessageOptions): Socket {
    const socket: Socket = new Socket(ws, request, this.#log, {
      kind: options.kind,
      closed: (code) => {
        this.#open.delete(socket);
        options.onClose(code);
      },
      peerActive: () => options.onPeerActivity?.(),
      tooSlow: () => this.#broker.slowReadersCut.inc({ kind: options.kind }),
      ...(options.onStopping && { stopping: () => options.onStopping?.() }),
    });
    this.#open.add(socket);
    ws.on('message', options.onMessage);
    request.followAccess((error) => socket.fail(error), options.recheckAccess);
    if (this.#broker.stopping.aborted) socket.close(closeCodes.goingAway, stoppingReason);
    return socket;
  }

  /** Handles a frame. @returns undefined if that is done; else a promise that settles when it is, and never rejects */
  #take<F>(socket: Socket, options: SocketOptions<F>, data: Buffer, isBinary: boolean): Promise<void> | undefined {
    // Frames after the close are ignored: onClose has released everything already.
    if (!socket.isOpen) return undefined;
    let id: string | undefined;
    const { account } = socket.request;
    account?.useBytes(data.length);
    try {
      if (isBinary) throw new ServiceError('BAD_REQUEST', 'The frame is binary; send a text frame with JSON.');
      const raw = readJson(data, 'The frame', options.allowsLists ? jsonLimits : smallJsonLimits);
      id = idIn(raw);
      const frame = readInput(options.schema, raw, 'frame');
      account?.takeFrame(options.isLenient?.(frame) ?? false);
      return options.onFrame(frame)?.catch((error: unknown) => void socket.sendError(error, id));
    } catch (error) {
      socket.sendError(error, id);
      return undefined;
    }
  }

  #count(): { labels: { kind: string }; value: number }[] {
    const counts = new Map<string, number>();
    for (const { kind } of this.#open) counts.set(kind, (counts.get(kind) ?? 0) + 1);
    return [...counts].map(([kind, value]) => ({ labels: { kind }, value }));
  }
}

/** The id of a frame, even if the frame is invalid otherwise: so the client can tell which one the error is about. */
function idIn(frame: unknown): string | undefined {
  const id = typeof frame === 'object' && frame !== null && 'id' in frame ? frame.id : undefined;
  return typeof id === 'string' && id.length <= 256 ? id : undefined;
}

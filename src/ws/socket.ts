// What all our sockets share: frames in and out, the limit on slow readers, the search for dead peers, and the end of all
// when the server stops. What the frames mean is the business of each kind of socket.
import type { WebSocket } from '@fastify/websocket';
import type { FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { z } from 'zod';
import { closeCodes, slowReaderBytesMax } from '../../schemas/watch.ts';
import { describeIssues, parseInput } from '../core/issues.ts';
import { readJson } from '../core/json-input.ts';
import { ServiceError, serviceErrorIn } from '../core/service-error.ts';
import type { Broker } from '../live/broker.ts';

/** A peer that has not been heard of for one to two of these is dead, and its socket is dropped. */
const heartbeatMs = 15_000;
/** How long a peer may take to answer our close, and to read what was sent before it. */
const closeGraceMs = 5000;
/** A socket with no more than this waiting has room for more of what need not be sent at once. */
const roomBytes = 1024 * 1024;

/** What a kind of socket does with its frames. */
export interface SocketOptions<F> {
  /** For metrics: `watch`, `tail`, `group`. */
  kind: string;
  /** The frames that a client may send; usually a union by `type`. */
  schema: z.ZodType<F>;
  /** Takes one frame. What it throws is answered with an error frame, and the socket stays open. */
  onFrame(frame: F): void | Promise<void>;
  /** Called once, when nothing can be sent any more. `code` = what the peer closed it with; undefined if we did. */
  onClose(code?: number): void;
  /** Called at each sign of life of the peer: a frame, a pong, or that it has read something. */
  onHeard?(): void;
}

/** All open sockets of a broker. */
export class Sockets {
  readonly #broker: Broker;
  readonly #open = new Set<Socket>();

  constructor(broker: Broker) {
    this.#broker = broker;
    const { metrics, stopping } = broker;
    metrics.gauges('sockets_open', 'Open WebSockets by kind.', ['kind'], () => this.#count());
    const heartbeat = setInterval(() => {
      for (const socket of this.#open) socket.checkPeer();
    }, heartbeatMs).unref();
    stopping.addEventListener('abort', () => {
      clearInterval(heartbeat);
      for (const socket of this.#open) socket.close(closeCodes.goingAway, 'The server is stopping');
    });
  }

  /** Takes over a socket. To be called in the tick in which it was opened: a frame may be there already. */
  accept<F>(ws: WebSocket, options: SocketOptions<F>): Socket {
    const socket: Socket = new Socket(ws, this.#broker.log, {
      closed: (code) => {
        this.#open.delete(socket);
        options.onClose(code);
      },
      heard: () => options.onHeard?.(),
      tooSlow: () => this.#broker.slowReadersCut.inc({ kind: options.kind }),
      kind: options.kind,
    });
    this.#open.add(socket);
    ws.on('message', (data: Buffer, isBinary: boolean) => {
      void this.#take(socket, options, data, isBinary);
    });
    if (this.#broker.stopping.aborted) socket.close(closeCodes.goingAway, 'The server is stopping');
    return socket;
  }

  async #take<F>(socket: Socket, options: SocketOptions<F>, data: Buffer, isBinary: boolean): Promise<void> {
    // What comes after our close is not heard: nobody would clean up behind it.
    if (!socket.isOpen) return;
    let id: string | undefined;
    try {
      if (isBinary) throw new ServiceError('BAD_REQUEST', 'A frame must be a text frame with JSON, not a binary one.');
      const raw = readJson(data, 'The frame');
      id = idIn(raw);
      const result = options.schema.safeParse(raw, parseInput);
      if (!result.success) throw new ServiceError('BAD_REQUEST', describeIssues(result.error, 'frame'));
      await options.onFrame(result.data);
    } catch (error) {
      socket.sendError(error, id);
    }
  }

  #count(): { labels: { kind: string }; value: number }[] {
    const counts = new Map<string, number>();
    for (const { kind } of this.#open) counts.set(kind, (counts.get(kind) ?? 0) + 1);
    return [...counts].map(([kind, value]) => ({ labels: { kind }, value }));
  }
}

/** Whom a socket tells what becomes of it. */
interface SocketOwner {
  kind: string;
  closed(code?: number): void;
  heard(): void;
  tooSlow(): void;
}

/** One open socket, as its kind writes to it. */
export class Socket {
  readonly kind: string;
  readonly #ws: WebSocket;
  readonly #log: Logger;
  readonly #owner: SocketOwner;
  /** Who waits for room. */
  #waiting: (() => void)[] = [];
  #isOpen = true;
  #wasHeard = true;

  constructor(ws: WebSocket, log: Logger, owner: SocketOwner) {
    this.kind = owner.kind;
    this.#ws = ws;
    this.#log = log;
    this.#owner = owner;
    const heard = () => this.#hear();
    ws.on('pong', heard);
    ws.on('message', heard);
    ws.on('close', (code: number) => this.#end(code));
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Sends one frame, given as JSON. Too much waiting already closes the socket instead (guarantee W4). */
  send(json: string): void {
    if (!this.#isOpen) return;
    // One frame alone may be larger than the limit: what counts is what the reader has left lying.
    if (this.#ws.bufferedAmount > slowReaderBytesMax) {
      this.#owner.tooSlow();
      this.close(closeCodes.slowReader, 'The reader is too slow; resume with since');
      return;
    }
    this.#ws.send(json, this.#sent);
  }

  sendFrame(frame: { type: string }): void {
    this.send(JSON.stringify(frame));
  }

  /** Sends the error frame of whatever was thrown: the problem, under the id of what it is about. */
  sendError(error: unknown, id?: string): void {
    let known = serviceErrorIn(error);
    if (!known) {
      this.#log.error({ err: error, kind: this.kind }, 'A socket failed by a fault of ours');
      known = new ServiceError('INTERNAL', "The service failed at this frame; the server's log says more.");
    }
    this.sendFrame({ ...known.toProblem(), type: 'error', ...(id !== undefined && { id }) });
  }

  /** Undefined if little waits to be sent, else settles when that is so, or when the socket is closed. */
  room(): Promise<void> | undefined {
    if (!this.#isOpen || this.#ws.bufferedAmount <= roomBytes) return undefined;
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Closes it behind what was sent; by force if the peer does not take part. */
  close(code: number, reason: string): void {
    this.#ws.close(code, reason);
    if (!this.#isOpen) return;
    this.#end();
    const timer = setTimeout(() => this.#ws.terminate(), closeGraceMs);
    this.#ws.once('close', () => clearTimeout(timer));
  }

  /** Asks the peer for a sign of life; drops it if the last one was not answered. */
  checkPeer(): void {
    if (!this.#wasHeard) {
      this.#ws.terminate();
      return;
    }
    this.#wasHeard = false;
    this.#ws.ping();
  }

  /** Asks the peer for a sign of life, which `onHeard` then tells of. */
  ping(): void {
    if (this.#isOpen) this.#ws.ping();
  }

  readonly #sent = (): void => {
    // More waits behind what was sent just now: so the peer has made room, even if our ping has yet to reach it.
    if (this.#ws.bufferedAmount > 0) this.#hear();
    if (this.#waiting.length > 0 && this.#ws.bufferedAmount <= roomBytes) this.#release();
  };

  #release(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const go of waiting) go();
  }

  #hear(): void {
    this.#wasHeard = true;
    if (this.#isOpen) this.#owner.heard();
  }

  #end(code?: number): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#owner.closed(code);
    this.#release();
  }
}

/** For @fastify/websocket: a peer that goes away without a word is no fault of ours. */
export function socketFailed(error: Error, ws: WebSocket, request: FastifyRequest): void {
  const isPeers = 'code' in error;
  request.log[isPeers ? 'debug' : 'error']({ err: error }, 'A socket failed');
  ws.terminate();
}

/** The id that a frame gives, even if the frame is otherwise wrong: so its sender can tell which one it was. */
function idIn(frame: unknown): string | undefined {
  const id = typeof frame === 'object' && frame !== null && 'id' in frame ? frame.id : undefined;
  return typeof id === 'string' && id.length <= 256 ? id : undefined;
}

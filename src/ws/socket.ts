// What all our sockets share: frames in and out, the limit on slow readers, the search for dead peers, and the end of all
// when the server stops. What the frames mean is the business of each kind of socket.
import type { Socket as Connection } from 'node:net';
import type { WebSocket } from '@fastify/websocket';
import type { FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { z } from 'zod';
import { closeCodes } from '../../schemas/watch.ts';
import type { Broker } from '../broker/broker.ts';
import { readInput } from '../core/issues.ts';
import { jsonLimits, readJson, smallJsonLimits } from '../core/json-input.ts';
import { findServiceError, ServiceError } from '../core/service-error.ts';
import type { UnreadBytesOfReader } from '../core/unread-bytes.ts';
import { refusedFrameDrain, slowReaderBytesMax, socketPayloadBytesMax } from './limits.ts';

/** What a peer is told whose frame the library refuses, by the code with which it closes the socket. */
const refusals = new Map<number, { problem: 'BAD_REQUEST' | 'TOO_LARGE'; detail: string }>([
  [1002, { problem: 'BAD_REQUEST', detail: 'A frame is not as the WebSocket protocol has it (RFC 6455).' }],
  [1007, { problem: 'BAD_REQUEST', detail: 'A text frame is not UTF-8.' }],
  [1009, { problem: 'TOO_LARGE', detail: `A frame is over the limit of ${socketPayloadBytesMax / 1024 ** 2} MiB.` }],
]);

/** A peer that has not been heard of for one to two of these is dead, and its socket is dropped. */
const heartbeatMs = 15_000;
/** How long a peer may take to answer our close, and to read what was sent before it. */
const closeGraceMs = 5000;
/** What a peer takes at least in that time of what was sent before the close, or it is dropped. */
const closeProgressBytes = 64 * 1024;
/** A socket with no more than this waiting has room for more of what need not be sent at once. */
const roomBytes = 1024 * 1024;

/** Frames of one socket that are worked at at once; what comes behind them is left in the network until there is room. */
const framesInFlightMax = 16;

/** What a kind of socket does with its frames. */
export interface SocketOptions<F> {
  /** For metrics: `watch`, `tail`, `group`. */
  kind: string;
  /** The frames that a client may send; usually a union by `type`. */
  schema: z.ZodType<F>;
  /** Whether its frames have lists of offsets or partitions. */
  allowsLists?: boolean;
  /** Takes one frame. What it throws is answered with an error frame, and the socket stays open. */
  onFrame(frame: F): void | Promise<void>;
  /** Frames that are worked at at once, if not the usual number: of a kind that limits them itself. */
  framesInFlightMax?: number;
  /** Called once, when nothing can be sent any more. `code` = what the peer closed it with; undefined if we did. */
  onClose(code?: number): void;
  /** Called at each sign of life of the peer: a frame or a pong. That bytes were taken shows only that its machine lives. */
  onPeerActivity?(): void;
}

/** All open sockets of a broker. */
export class Sockets {
  readonly #broker: Broker;
  readonly #open = new Set<Socket>();

  constructor(broker: Broker) {
    this.#broker = broker;
    const { metrics, stopping } = broker;
    metrics.gauge('socket_frames_in_work', 'Frames of WebSockets that are worked at.', () =>
      [...this.#open].reduce((sum, { framesInFlight: framesInWork }) => sum + framesInWork, 0),
    );
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
  accept<F>(ws: WebSocket, request: FastifyRequest, options: SocketOptions<F>): Socket {
    const socket: Socket = new Socket(ws, request, this.#broker.log, {
      closed: (code) => {
        this.#open.delete(socket);
        options.onClose(code);
      },
      peerActive: () => options.onPeerActivity?.(),
      tooSlow: () => this.#broker.slowReadersCut.inc({ kind: options.kind }),
      kind: options.kind,
    });
    this.#open.add(socket);
    const inWork = new FramesInFlight(socket, options.framesInFlightMax ?? framesInFlightMax);
    ws.on('message', (data: Buffer, isBinary: boolean) =>
      inWork.take(() => this.#take(socket, options, data, isBinary)),
    );
    if (this.#broker.stopping.aborted) socket.close(closeCodes.goingAway, 'The server is stopping');
    return socket;
  }

  /** @returns undefined if the frame is done with, else settles when it is; never rejects */
  #take<F>(socket: Socket, options: SocketOptions<F>, data: Buffer, isBinary: boolean): Promise<void> | undefined {
    // What comes after our close is not heard: nobody would clean up behind it.
    if (!socket.isOpen) return undefined;
    let id: string | undefined;
    try {
      if (isBinary) throw new ServiceError('BAD_REQUEST', 'A frame must be a text frame with JSON, not a binary one.');
      const raw = readJson(data, 'The frame', options.allowsLists ? jsonLimits : smallJsonLimits);
      id = idIn(raw);
      const frame = readInput(options.schema, raw, 'frame');
      return options.onFrame(frame)?.catch((error: unknown) => socket.sendError(error, id));
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

/** The frames of one socket that take their time. While there are too many, nothing more is read of it. */
class FramesInFlight {
  readonly #socket: Socket;
  readonly #max: number;
  /** What had come in with those before it, when the socket was no longer read: not more than one piece from the network. */
  #waiting: (() => Promise<void> | undefined)[] = [];

  constructor(socket: Socket, max: number) {
    this.#socket = socket;
    this.#max = max;
  }

  /** Does the work of a frame, in the order of frames. */
  take(work: () => Promise<void> | undefined): void {
    if (this.#waiting.length > 0 || this.#socket.framesInFlight >= this.#max) {
      this.#waiting.push(work);
      this.#socket.pauseReading();
    } else {
      this.#begin(work);
    }
  }

  #begin(work: () => Promise<void> | undefined): void {
    const done = work();
    if (!done) return;
    this.#socket.framesInFlight += 1;
    void done.then(() => {
      this.#socket.framesInFlight -= 1;
      this.#goOn();
    });
  }

  #goOn(): void {
    if (this.#waiting.length === 0) return;
    let begun = 0;
    for (const work of this.#waiting) {
      if (this.#socket.framesInFlight >= this.#max) break;
      this.#begin(work);
      begun += 1;
    }
    this.#waiting = this.#waiting.slice(begun);
    if (this.#waiting.length === 0) this.#socket.resumeReading();
  }
}

/** Whom a socket tells what becomes of it. */
interface SocketOwner {
  kind: string;
  closed(code?: number): void;
  peerActive(): void;
  tooSlow(): void;
}

/** One open socket, as its kind writes to it. */
export class Socket {
  readonly kind: string;
  framesInFlight = 0;
  readonly #ws: WebSocket;
  readonly #log: Logger;
  readonly #owner: SocketOwner;
  readonly #connection: Connection;
  /** What counts against the limit of all readers. */
  readonly #unread: UnreadBytesOfReader;
  /** Who waits for room. */
  #waiting: (() => void)[] = [];
  /** The sizes of the messages that are not sent yet, the one under way first. */
  readonly #unsent: number[] = [];
  #unsentBytes = 0;
  #isOpen = true;
  #wasHeard = true;

  constructor(ws: WebSocket, request: FastifyRequest, log: Logger, owner: SocketOwner) {
    this.kind = owner.kind;
    this.#ws = ws;
    this.#connection = request.raw.socket;
    this.#unread = request.countUnread(() => {
      owner.tooSlow();
      this.#end();
      ws.terminate();
    });
    this.#log = log;
    this.#owner = owner;
    const heard = () => {
      this.#wasHeard = true;
      if (this.#isOpen) owner.peerActive();
    };
    // The library closes a socket by itself, with a code and no reason, when it refuses a frame.
    const close = ws.close.bind(ws);
    ws.close = (code, reason) => {
      const refused = reason === undefined ? refusals.get(code ?? 0) : undefined;
      if (refused) this.#refuse(refused);
      close(code, refused?.detail ?? reason);
    };
    ws.on('pong', heard);
    ws.on('message', heard);
    ws.on('close', (code: number) => {
      this.#unread.close();
      this.#end(code);
    });
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /**
   * Sends one frame, given as JSON. Too much waiting already closes the socket instead (guarantee W4): what counts is what has piled
   * up behind the message under way, as the reader cannot help it if that is large.
   */
  send(json: string): void {
    if (!this.#isOpen) return;
    if (this.#unsentBytes - (this.#unsent[0] ?? 0) > slowReaderBytesMax) {
      this.cutOff();
      return;
    }
    const size = Buffer.byteLength(json);
    this.#unsent.push(size);
    this.#unsentBytes += size;
    this.#unread.add(size);
    // It may have been cut off for that.
    if (this.#isOpen) this.#ws.send(json, this.#sent);
  }

  /** Cuts the reader off, behind the message under way. */
  cutOff(): void {
    if (!this.#isOpen) return;
    this.#owner.tooSlow();
    this.close(closeCodes.slowReader, 'The reader is too slow; resume with since');
  }

  /** Runs `write`: what it sends goes to the connection as one. */
  cork(write: () => void): void {
    this.#connection.cork();
    write();
    this.#connection.uncork();
  }

  sendFrame(frame: { type: string }): void {
    this.send(JSON.stringify(frame));
  }

  /** Sends the error frame of whatever was thrown: the problem, under the id of what it is about. */
  sendError(error: unknown, id?: string): void {
    let known = findServiceError(error);
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

  /** Closes it behind what was sent; by force if the peer takes nothing of it, or does not answer. */
  close(code: number, reason: string): void {
    this.#ws.close(code, reason);
    if (!this.#isOpen) return;
    this.#end();
    let left = this.#ws.bufferedAmount;
    const timer = setInterval(() => {
      const now = this.#ws.bufferedAmount;
      // A peer that takes its time over a large message gets it, at a few kilobytes a second or more.
      if (now === 0 || left - now < closeProgressBytes) this.#ws.terminate();
      left = now;
    }, closeGraceMs);
    this.#ws.once('close', () => clearInterval(timer));
  }

  /** Says why it will be closed, and ends it, whatever the peer goes on sending. */
  #refuse({ problem, detail }: { problem: 'BAD_REQUEST' | 'TOO_LARGE'; detail: string }): void {
    this.sendError(new ServiceError(problem, detail));
    this.#end();
    const timer = setTimeout(() => this.#ws.terminate(), refusedFrameDrain.ms);
    const until = this.#connection.bytesRead + refusedFrameDrain.bytes;
    this.#connection.on('data', () => {
      if (this.#connection.bytesRead > until) this.#ws.terminate();
    });
    this.#ws.once('close', () => clearTimeout(timer));
  }

  /** Leaves what comes in the network, so that its sender has to wait. */
  pauseReading(): void {
    this.#ws.pause();
  }

  resumeReading(): void {
    this.#wasHeard = true;
    this.#ws.resume();
  }

  /** Asks the peer for a sign of life; drops it if the last one was not answered. Of a peer that is not read nothing can be heard. */
  checkPeer(): void {
    if (this.#ws.isPaused) return;
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
    const size = this.#unsent.shift() ?? 0;
    this.#unsentBytes -= size;
    this.#unread.taken(size);
    // More waits behind what was sent just now: so the peer has made room, even if our ping has yet to reach it.
    if (this.#ws.bufferedAmount > 0) this.#wasHeard = true;
    if (this.#waiting.length > 0 && this.#ws.bufferedAmount <= roomBytes) this.#release();
  };

  #release(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const go of waiting) go();
  }

  #end(code?: number): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#owner.closed(code);
    this.#release();
  }
}

/** For @fastify/websocket: a peer that goes away without a word, or sends a frame that is refused, is no fault of ours. */
export function handleSocketError(error: Error, ws: WebSocket, request: FastifyRequest): void {
  const code = 'code' in error ? String(error.code) : undefined;
  request.log[code ? 'debug' : 'error']({ err: error }, 'A socket failed');
  // The library is closing it: see Socket.
  if (!code?.startsWith('WS_ERR_')) ws.terminate();
}

/** The id that a frame gives, even if the frame is otherwise wrong: so its sender can tell which one it was. */
function idIn(frame: unknown): string | undefined {
  const id = typeof frame === 'object' && frame !== null && 'id' in frame ? frame.id : undefined;
  return typeof id === 'string' && id.length <= 256 ? id : undefined;
}

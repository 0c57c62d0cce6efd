// One open socket, of any kind: frames out, the limit on slow readers, and the close.
import type { Socket as Connection } from 'node:net';
import type { WebSocket } from '@fastify/websocket';
import type { FastifyRequest } from 'fastify';
import { problemCloseCodeBase } from '../../schemas/topic-tail.ts';
import { closeCodes } from '../../schemas/watch.ts';
import { SendPace } from '../access/send-pace.ts';
import type { ClientEventsLog } from '../broker/client-events-log.ts';
import { findServiceError, ServiceError } from '../core/service-error.ts';
import type { UnreadBytesOfReader } from '../core/unread-bytes.ts';
import { refusedFrameDrain, slowReaderBytesMax } from './limits.ts';
import { refusedFrames } from './socket-errors.ts';
import { textFrame } from './text-frame.ts';

/** How long a peer may take to return a close frame, in ms; longer while it still reads what was sent before. */
const closeGraceMs = 5000;
/** The bytes that a peer must read in that time of what was sent before the close, or the socket is terminated. */
const closeProgressBytes = 64 * 1024;
/** A socket with at most this many unsent bytes takes more of what can wait, such as history and records. */
const roomBytes = 1024 * 1024;

/** Longer messages that are bytes already are not copied behind the header of their frame. */
const copiedBytesMax = 64 * 1024;

export const stoppingReason = 'The server is stopping';

/** What a socket reports to. */
interface SocketOwner {
  kind: string;
  closed(code?: number): void;
  peerActive(): void;
  tooSlow(): void;
  stopping?(): void;
}

/** One socket: sends frames, and closes the connection of a slow reader. */
export class Socket {
  readonly kind: string;
  /** The handshake. */
  readonly request: Pick<FastifyRequest, 'account'>;
  framesInFlight = 0;
  /** Whether the server stops, and this socket is closed once its requests have responses. */
  isDraining = false;
  readonly #ws: WebSocket;
  readonly #log: ClientEventsLog;
  readonly #owner: SocketOwner;
  readonly #connection: Connection;
  readonly #pace: SendPace;
  /** What counts against the limit of all readers. */
  readonly #unread: UnreadBytesOfReader;
  /** Callers of room() that wait. */
  #waiting: (() => void)[] = [];
  /** The sizes of the messages that the system has not taken yet, the one in flight first. */
  readonly #unsent: number[] = [];
  #unsentBytes = 0;
  /** How many messages the system took at once whose callbacks are still to come. These come in the order of the messages. */
  #takenAtOnce = 0;
  #isOpen = true;
  #wasActive = true;

  constructor(ws: WebSocket, request: FastifyRequest, log: ClientEventsLog, owner: SocketOwner) {
    this.kind = owner.kind;
    this.#ws = ws;
    this.#connection = request.raw.socket;
    this.request = request;
    this.#pace = new SendPace(request);
    this.#unread = request.countUnread(() => {
      owner.tooSlow();
      this.#end();
      ws.terminate();
    });
    this.#log = log;
    this.#owner = owner;
    const noteActivity = () => {
      this.#wasActive = true;
      if (this.#isOpen) owner.peerActive();
    };
    // The library closes a socket by itself, with a code and no reason, when it refuses a frame.
    const close = ws.close.bind(ws);
    ws.close = (code, reason) => {
      const refused = reason === undefined ? refusedFrames.get(code ?? 0) : undefined;
      if (refused) this.#refuse(refused);
      close(code, refused?.detail ?? reason);
    };
    ws.on('pong', noteActivity);
    ws.on('message', noteActivity);
    ws.on('close', (code: number) => {
      this.#unread.close();
      this.#end(code);
    });
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Sends one message, given as JSON, perhaps as bytes. If too many bytes wait already, closes the socket instead. */
  send(json: string | Buffer): void {
    if (typeof json === 'string' || json.length <= copiedBytesMax) this.sendEncoded(textFrame(json));
    else if (this.#maySend()) {
      this.#ws.send(json, { binary: false }, this.#sent);
      this.#noteWritten(json.length);
    }
  }

  /** As send(), for a message that is a whole frame (text-frame.ts): several sockets may share it. */
  sendEncoded(frame: Buffer): void {
    if (!this.#maySend()) return;
    // The library has nothing queued, as no message is compressed. So this frame comes behind all that it has written.
    this.#connection.write(frame, this.#sent);
    this.#noteWritten(frame.length);
  }

  /**
   * Whether a message may be sent. If too many bytes wait for the reader, closes the socket (guarantee W4); the message in flight does not
   * count, as its size is not the reader's fault.
   */
  #maySend(): boolean {
    // Nothing may follow a close frame, and the library sends one by itself when the peer has sent one.
    if (!this.#isOpen || this.#ws.readyState !== this.#ws.OPEN) return false;
    if (this.#unsentBytes - (this.#unsent[0] ?? 0) <= slowReaderBytesMax) return true;
    this.cutOff();
    return false;
  }

  /** Counts a message that was just written, as long as the reader leaves some of it in memory. */
  #noteWritten(size: number): void {
    this.#pace.sent(size);
    if (this.#connection.writableLength === 0) {
      this.#takenAtOnce += 1;
      return;
    }
    this.#unsent.push(size);
    this.#unsentBytes += size;
    // This reader may be cut off for that.
    this.#unread.add(size);
  }

  /** Closes the socket of a slow reader, behind the message in flight. */
  cutOff(): void {
    if (!this.#isOpen) return;
    this.#owner.tooSlow();
    this.close(closeCodes.slowReader, 'The reader is too slow; resume with since');
  }

  /** Runs `write`; what it sends is written to the connection at once. */
  cork(write: () => void): void {
    this.#connection.cork();
    write();
    this.#connection.uncork();
  }

  sendFrame(frame: { type: string }): void {
    this.send(JSON.stringify(frame));
  }

  /** What the client is told of what was thrown. A defect is logged, and the client is told only that. */
  problemOf(error: unknown): ServiceError {
    const known = findServiceError(error);
    if (known) return known;
    this.#log.error({ err: error, kind: this.kind }, 'A request on a socket failed by a defect of the server');
    return new ServiceError('INTERNAL', 'The server failed while it handled this request. Its log has the cause.');
  }

  /** Sends an error frame with the problem of what was thrown. @param id of the frame or watch that failed @returns that problem */
  sendError(error: unknown, id?: string): ServiceError {
    const known = this.problemOf(error);
    this.sendFrame({ ...known.toProblem(), type: 'error', ...(id !== undefined && { id }) });
    return known;
  }

  /** Sends an error frame, and closes the socket with the code of its problem. */
  fail(error: unknown): void {
    const { status, code } = this.sendError(error);
    this.close(problemCloseCodeBase + status, code);
  }

  /** Whether the peer takes what it is sent: few bytes wait for it. */
  get isTaken(): boolean {
    return this.#connection.writableLength <= roomBytes;
  }

  /** Whether more may be sent: few bytes wait, and the identity has bytes left of its rate. */
  get hasRoom(): boolean {
    return this.isTaken && this.#pace.isOpen;
  }

  /** Undefined if more may be sent; else a promise that settles when that may be so, or when the socket is closed. */
  room(): Promise<void> | undefined {
    if (!this.#isOpen) return undefined;
    if (this.isTaken) return this.#pace.wait();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Closes the socket behind what was sent; terminates it if the peer stops to read that, or does not return the close frame. */
  close(code: number, reason: string): void {
    this.#ws.close(code, reason);
    if (!this.#isOpen) return;
    this.#end();
    let left = this.#ws.bufferedAmount;
    const timer = setInterval(() => {
      const now = this.#ws.bufferedAmount;
      // A slow peer may still read a large message, at a few kilobytes a second or more.
      if (now === 0 || left - now < closeProgressBytes) this.#ws.terminate();
      left = now;
    }, closeGraceMs);
    this.#ws.once('close', () => clearInterval(timer));
  }

  /** Sends the reason and closes the socket, even if the client does not stop sending. */
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

  /** Stops reading the socket, so that the sender has to wait (backpressure). */
  pauseReading(): void {
    this.#ws.pause();
  }

  resumeReading(): void {
    this.#wasActive = true;
    this.#ws.resume();
  }

  /** Closes the socket as the server stops; at once, or when its kind has responded to what is in flight. */
  stop(): void {
    if (!this.#owner.stopping) {
      this.close(closeCodes.goingAway, stoppingReason);
      return;
    }
    this.isDraining = true;
    this.#owner.stopping();
  }

  /**
   * Pings the peer; terminates the socket if there was no activity since the last ping. A socket that is paused while the peer has
   * taken everything is not checked, as the server does not hear it.
   */
  checkPeer(): void {
    if (this.#ws.isPaused && this.#ws.bufferedAmount === 0) return;
    if (!this.#wasActive) {
      this.#ws.terminate();
      return;
    }
    this.#wasActive = false;
    this.#ws.ping();
  }

  /** Pings the peer; `onPeerActivity` is called when it responds. */
  ping(): void {
    if (this.#isOpen) this.#ws.ping();
  }

  readonly #sent = (): void => {
    if (this.#takenAtOnce > 0) {
      this.#takenAtOnce -= 1;
      return;
    }
    const size = this.#unsent.shift() ?? 0;
    this.#unsentBytes -= size;
    this.#unread.taken(size);
    // Bytes were taken while more wait, so the peer reads, even if a ping has not reached it yet.
    if (this.#ws.bufferedAmount > 0) this.#wasActive = true;
    if (this.#waiting.length > 0 && this.#ws.bufferedAmount <= roomBytes) this.#release();
  };

  #release(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resume of waiting) resume();
  }

  #end(code?: number): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#owner.closed(code);
    this.#release();
  }
}

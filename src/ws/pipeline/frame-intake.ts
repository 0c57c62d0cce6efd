// Reads the frames of one socket as long as not too much is in flight. Then the socket is not read, so that the sender has to wait
// (backpressure): nothing is buffered but what the network had brought already.
import type { Socket } from '../socket.ts';
import type { InFlight } from './in-flight.ts';
import type { RateLimit } from './rate-limit.ts';

interface Options {
  inFlight: InFlight;
  /** Takes one frame, and adds its requests to those in flight. */
  read(data: Buffer, isBinary: boolean): void;
  /** Runs a function when a frame of so many bytes has its turn, as Turns.readFrame(). */
  readInTurn(bytes: number, run: () => void): (() => void) | undefined;
  /** Called when reading begins or ends to be paused. */
  onPause(isPaused: boolean): void;
  /** The rates of the identity. */
  rate: RateLimit;
  /** Called when they allow more again. */
  onRateFree(): void;
}

export class FrameIntake {
  readonly #socket: Socket;
  readonly #options: Options;
  /** Frames that arrived with the last ones before the pause. */
  #unread: { data: Buffer; isBinary: boolean }[] = [];
  #isPaused = false;
  #rateTimer: NodeJS.Timeout | undefined;
  /** Gives up the wait of a large frame, while there is one. */
  #leaveTurn: (() => void) | undefined;
  #isStopped = false;

  constructor(socket: Socket, options: Options) {
    this.#socket = socket;
    this.#options = options;
  }

  /** Whether the socket is not read although the peer takes what it is sent: what it sends cannot show that it is alive. */
  get isDeaf(): boolean {
    return this.#isPaused && this.#socket.isTaken;
  }

  receive(data: Buffer, isBinary: boolean): void {
    if (this.#isStopped) return;
    if (this.#isPaused) this.#unread.push({ data, isBinary });
    else this.#read(data, isBinary);
    this.#pauseIfFull();
  }

  /** Reads on if there is room again, beginning with what has arrived already. To be called when a response was sent or anything was taken. */
  update(): void {
    if (this.#isStopped) return;
    while (this.#isPaused && !this.#mustWait) {
      const next = this.#unread.shift();
      if (next) {
        this.#read(next.data, next.isBinary);
        continue;
      }
      this.#isPaused = false;
      this.#options.onPause(false);
      this.#socket.resumeReading();
    }
    this.#pauseIfFull();
  }

  /** Reads nothing more. */
  stop(): void {
    this.#isStopped = true;
    this.#unread = [];
    clearTimeout(this.#rateTimer);
    this.#leaveTurn?.();
    this.#leaveTurn = undefined;
  }

  get #mustWait(): boolean {
    return (
      this.#leaveTurn !== undefined || this.#isOverRate() || this.#options.inFlight.isFull || !this.#socket.hasRoom
    );
  }

  /** Reads a frame, now or when it is its turn. */
  #read(data: Buffer, isBinary: boolean): void {
    let hasWaited = false;
    this.#leaveTurn = this.#options.readInTurn(data.length, () => {
      this.#leaveTurn = undefined;
      this.#options.rate.received(data.length);
      this.#options.read(data, isBinary);
      if (hasWaited) this.update();
    });
    hasWaited = true;
  }

  /** Comes back when the identity may send more. */
  #isOverRate(): boolean {
    if (this.#rateTimer) return true;
    const waitMs = this.#options.rate.waitMs();
    if (waitMs === 0) return false;
    this.#rateTimer = setTimeout(() => {
      this.#rateTimer = undefined;
      this.update();
      this.#options.onRateFree();
    }, waitMs).unref();
    return true;
  }

  #pauseIfFull(): void {
    if (this.#isPaused || this.#isStopped || !this.#mustWait) return;
    this.#isPaused = true;
    this.#socket.pauseReading();
    this.#options.onPause(true);
  }
}

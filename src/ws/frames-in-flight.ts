// The frames of one socket that are being handled, for kinds of sockets that handle frame by frame.

/** Turns on the event loop, which large frames take, clients in turn. Small ones never wait. */
export interface Turns {
  /** Has a frame read, now or later. @returns a function that gives up the wait; undefined if there is none */
  readFrame(client: string, bytes: number, run: () => void): (() => void) | undefined;
  /** Does something that has begun, and may hold a permit, now or later. @returns as readFrame() */
  goOn(client: string, bytes: number, run: () => void): (() => void) | undefined;
}

/** The socket whose frames these are. */
interface ReadSocket {
  framesInFlight: number;
  pauseReading(): void;
  resumeReading(): void;
}

interface Frame {
  bytes: number;
  /** Handles it. @returns undefined if that is done; else a promise that settles when it is, and never rejects */
  work(): Promise<void> | undefined;
}

/** Runs a function when a frame of so many bytes has its turn, as Turns.readFrame(). */
type ReadInTurn = (bytes: number, run: () => void) => (() => void) | undefined;

/** The frames of one socket that are being handled. While there are too many, or a large one waits for its turn, the socket is not read. */
export class FramesInFlight {
  readonly #socket: ReadSocket;
  readonly #max: number;
  readonly #readInTurn: ReadInTurn;
  /** Frames that had arrived with the ones before them when reading was paused: at most one chunk from the network. */
  #waiting: Frame[] = [];
  /** Gives up the wait of a large frame, while there is one. */
  #leaveTurn: (() => void) | undefined;

  constructor(socket: ReadSocket, max: number, readInTurn: ReadInTurn) {
    this.#socket = socket;
    this.#max = max;
    this.#readInTurn = readInTurn;
  }

  /** Handles a frame now, or queues it; frames begin in order. */
  take(frame: Frame): void {
    if (this.#waiting.length === 0 && this.#mayBegin) {
      this.#begin(frame);
      return;
    }
    this.#waiting.push(frame);
    this.#socket.pauseReading();
  }

  /** Forgets the frames that wait. */
  stop(): void {
    this.#leaveTurn?.();
    this.#waiting = [];
  }

  get #mayBegin(): boolean {
    return !this.#leaveTurn && this.#socket.framesInFlight < this.#max;
  }

  #begin({ bytes, work }: Frame): void {
    let hasWaited = false;
    this.#leaveTurn = this.#readInTurn(bytes, () => {
      this.#leaveTurn = undefined;
      this.#run(work);
      if (hasWaited) this.#resume();
    });
    hasWaited = true;
    if (this.#leaveTurn) this.#socket.pauseReading();
  }

  #run(work: Frame['work']): void {
    const done = work();
    if (!done) return;
    this.#socket.framesInFlight += 1;
    void done.then(() => {
      this.#socket.framesInFlight -= 1;
      if (this.#waiting.length > 0) this.#resume();
    });
  }

  /** Begins what waits, as far as it may, and reads on behind the last frame. */
  #resume(): void {
    while (this.#mayBegin) {
      const next = this.#waiting.shift();
      if (!next) break;
      this.#begin(next);
    }
    if (this.#waiting.length === 0 && !this.#leaveTurn) this.#socket.resumeReading();
  }
}

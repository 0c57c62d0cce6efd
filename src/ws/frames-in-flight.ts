// The frames of one socket that are being handled, for kinds of sockets that handle frame by frame.

/** The socket whose frames these are. */
interface ReadSocket {
  framesInFlight: number;
  pauseReading(): void;
  resumeReading(): void;
}

/** The frames of one socket that are being handled. While there are too many, the socket is not read. */
export class FramesInFlight {
  readonly #socket: ReadSocket;
  readonly #max: number;
  /** Frames that had arrived with the ones before them when reading was paused: at most one chunk from the network. */
  #waiting: (() => Promise<void> | undefined)[] = [];

  constructor(socket: ReadSocket, max: number) {
    this.#socket = socket;
    this.#max = max;
  }

  /** Handles a frame now, or queues it; frames begin in order. */
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
      this.#resume();
    });
  }

  #resume(): void {
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

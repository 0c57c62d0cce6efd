// The credit of a socket's client: how many more records it lets the server send. A reader of a log waits until the client has given
// credit and has taken most of what it was sent.
import type { StreamSink } from '../broker/log/stream-reads.ts';
import type { Socket } from './socket.ts';

export class Credit implements StreamSink {
  readonly #socket: Pick<Socket, 'room' | 'isOpen'>;
  #records = 0;
  #waiting: Promise<void> | undefined;
  #wake = (): void => undefined;

  constructor(socket: Pick<Socket, 'room' | 'isOpen'>) {
    this.#socket = socket;
  }

  /** How many records may be sent now. */
  credit(): number {
    return this.#records;
  }

  /** The client gives credit for more records. */
  add(records: number): void {
    this.#records += records;
    this.wake();
  }

  /** Records were sent, at most as many as there is credit for. */
  take(records: number): void {
    this.#records -= records;
  }

  /** Ends the waits for credit. To be called when the socket is closed, too: nobody gives credit then. */
  wake(): void {
    this.#waiting = undefined;
    this.#wake();
  }

  /**
   * @returns undefined if there is credit and the socket has room; otherwise a promise that resolves when that may have changed, or
   * when the socket is closed
   */
  room(): Promise<void> | undefined {
    if (this.#records > 0 || !this.#socket.isOpen) return this.#socket.room();
    this.#waiting ??= new Promise((resolve) => {
      this.#wake = resolve;
    });
    return this.#waiting;
  }
}

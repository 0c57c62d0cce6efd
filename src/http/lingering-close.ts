// Closes a connection whose client may still be sending. Closing it at once would reset it: the client would lose a response that it has
// not read yet, and a proxy would send a 502. So only the server's half is closed, and incoming bytes are dropped for a limited time
// (RFC 9112, 9.6).
import { Socket } from 'node:net';
import type { ConnectionLimits } from './limits.ts';

type LingeringLimits = ConnectionLimits['lingering'];

export class LingeringClose {
  readonly #limits: LingeringLimits;
  readonly #open = new Set<Socket>();

  constructor(limits: LingeringLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#open.size;
  }

  has(socket: Socket): boolean {
    return this.#open.has(socket);
  }

  /** Sends the bytes that were written. Closes the connection once the client has closed its half, or at a limit of time or bytes. */
  close(socket: Socket): void {
    if (socket.destroyed || this.#open.has(socket)) return;
    if (this.#open.size >= this.#limits.connections) {
      // The method of the prototype: that of the socket may be overridden. The written bytes are still sent.
      Socket.prototype.destroySoon.call(socket);
      return;
    }
    this.#open.add(socket);
    const timer = setTimeout(() => socket.destroy(), this.#limits.ms);
    socket.once('close', () => {
      clearTimeout(timer);
      this.#open.delete(socket);
    });
    this.drop(socket);
    socket.end();
  }

  /** Reads and drops all further bytes, so that the HTTP parser gets none. */
  drop(socket: Socket): void {
    let bytes = 0;
    // A listener for data detaches Node's HTTP parser, which until then controls reading: so reading is resumed first.
    socket.resume();
    process.nextTick(() => {
      if (socket.destroyed) return;
      socket.removeAllListeners('data');
      socket.on('data', (piece: Buffer) => {
        bytes += piece.length;
        if (bytes > this.#limits.bytes) socket.destroy();
      });
    });
  }
}

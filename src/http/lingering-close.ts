// Closes a connection whose client may still be sending. Closing it at once would reset it: the client would lose the response that it has
// not read yet, and a proxy would send a 502. So only the server's half is closed, and incoming bytes are dropped for a moment
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

  /** Sends what was written, and closes the connection when the client has closed it, or at a limit. */
  close(socket: Socket): void {
    if (socket.destroyed || this.#open.has(socket)) return;
    if (this.#open.size >= this.#limits.connections) {
      // Whatever was put in its place: what was written is sent, and no more.
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

  /** Reads and drops what comes, past the parser. */
  drop(socket: Socket): void {
    let bytes = 0;
    // Reading goes on as the parser would have it, before that is passed by: who listens for data has it do so no more.
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

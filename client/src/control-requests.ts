// Requests of a socket link itself, on its session, and pings; they belong to one connection. All ids of the link come from here.
import type { SocketResponse } from './outbox.ts';
import { now } from './time.ts';

export class ControlRequests {
  readonly #send: (frame: string) => void;
  readonly #sent = new Map<number, (response: SocketResponse) => void>();
  #lastId = 0;

  constructor(send: (frame: string) => void) {
    this.#send = send;
  }

  readonly nextId = (): number => {
    this.#lastId += 1;
    return this.#lastId;
  };

  /** @param done is not called if the connection is lost before the response */
  send(
    request: { op: string; [field: string]: unknown },
    done: (response: SocketResponse, sentAt: number) => void,
  ): void {
    const id = this.nextId();
    const sentAt = now();
    this.#sent.set(id, (response) => done(response, sentAt));
    this.#send(JSON.stringify({ id, ...request }));
  }

  /** @returns whether the response is one of these */
  answered(response: SocketResponse): boolean {
    const { id = -1 } = response;
    const done = this.#sent.get(id);
    this.#sent.delete(id);
    done?.(response);
    return done !== undefined;
  }

  disconnected(): void {
    this.#sent.clear();
  }
}

// The watches of one pipelined socket: begun again behind what they have sent, whenever a connection is made anew.
import { errorOfProblem } from './errors.ts';
import type { LinkWatch, WatchSink, WatchSpec } from './link.ts';
import type { SocketResponse } from './outbox.ts';
import type { WatchEvent } from './wire.ts';

/** What the watches need of their socket. */
interface WatchSocket {
  nextId(): number;
  /** Sends a request if there is a connection, and connects if there is none. */
  send(request: { id: number; op: string; [field: string]: unknown }): void;
  /** Calls `again` after a pause. */
  later(again: () => void): void;
}

interface Watch {
  readonly spec: WatchSpec;
  readonly sink: WatchSink;
  /** The id of the request that began it on this connection; undefined while it is paused. */
  id: number | undefined;
  /** Everything up to here was sent. */
  since: number | undefined;
  /** The server has said that it has begun on this connection. */
  isRunning: boolean;
  hasBegun: boolean;
}

export class SocketWatches {
  readonly #socket: WatchSocket;
  readonly #watches = new Set<Watch>();
  readonly #byId = new Map<number, Watch>();

  constructor(socket: WatchSocket) {
    this.#socket = socket;
  }

  get size(): number {
    return this.#watches.size;
  }

  add(spec: WatchSpec, sink: WatchSink): LinkWatch {
    const watch: Watch = { spec, sink, id: undefined, since: spec.since, isRunning: false, hasBegun: false };
    this.#watches.add(watch);
    this.#begin(watch);
    return {
      pause: () => this.#stop(watch),
      resume: () => {
        if (this.#watches.has(watch) && watch.id === undefined) this.#begin(watch);
      },
      end: () => {
        this.#watches.delete(watch);
        this.#stop(watch);
      },
    };
  }

  /** There is a new connection. */
  connected(): void {
    this.#byId.clear();
    for (const watch of this.#watches) {
      if (watch.id === undefined) continue;
      watch.isRunning = false;
      this.#begin(watch);
    }
  }

  /** @returns whether the response is that to a watch request */
  answered({ id = -1, error, zxid = 0 }: SocketResponse): boolean {
    const watch = this.#byId.get(id);
    if (!watch) return false;
    if (error) {
      this.ended(id, errorOfProblem(error));
      return true;
    }
    watch.isRunning = true;
    watch.since ??= zxid;
    if (!watch.hasBegun) watch.sink.began(watch.since);
    watch.hasBegun = true;
    return true;
  }

  events(id: number, zxid: number, events: WatchEvent[]): void {
    const watch = this.#byId.get(id);
    if (!watch || zxid <= (watch.since ?? -1)) return;
    watch.since = zxid;
    watch.sink.events(zxid, events);
  }

  bookmark(zxid: number): void {
    for (const watch of this.#byId.values()) {
      if (!watch.isRunning || zxid <= (watch.since ?? 0)) continue;
      watch.since = zxid;
      watch.sink.reached(zxid);
    }
  }

  /** The server has ended a watch, or did not begin it. */
  ended(id: number, failure: ReturnType<typeof errorOfProblem>): void {
    const watch = this.#byId.get(id);
    if (!watch) return;
    if (failure.retryable) this.#socket.later(() => this.#watches.has(watch) && watch.id === id && this.#begin(watch));
    else this.#fail(watch, failure);
  }

  failAll(failure: ReturnType<typeof errorOfProblem>): void {
    for (const watch of [...this.#watches]) this.#fail(watch, failure);
  }

  /** Takes out all watches, for another link. */
  handOver(): { spec: WatchSpec; sink: WatchSink }[] {
    const all = [...this.#watches].map(({ spec, sink, since }) => ({ spec: { ...spec, since }, sink }));
    this.#watches.clear();
    this.#byId.clear();
    return all;
  }

  #begin(watch: Watch): void {
    if (watch.id !== undefined) this.#byId.delete(watch.id);
    watch.id = this.#socket.nextId();
    this.#byId.set(watch.id, watch);
    const { path, mode, data } = watch.spec;
    this.#socket.send({ id: watch.id, op: 'watch', path, mode, data, since: watch.since });
  }

  #stop(watch: Watch): void {
    const { id } = watch;
    if (id === undefined) return;
    watch.id = undefined;
    watch.isRunning = false;
    this.#byId.delete(id);
    this.#socket.send({ id: this.#socket.nextId(), op: 'unwatch', watch: id });
  }

  #fail(watch: Watch, failure: ReturnType<typeof errorOfProblem>): void {
    this.#watches.delete(watch);
    if (watch.id !== undefined) this.#byId.delete(watch.id);
    watch.sink.failed(failure);
  }
}

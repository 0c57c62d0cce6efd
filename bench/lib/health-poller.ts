// A separate thread that requests /health/live again and again, so that work of the main thread does not delay it. The time to the
// response shows how long the event loop of the server was blocked.
import { connect } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

const pauseMs = 4;

export class HealthPoller {
  readonly #worker: Worker;

  constructor(url: string) {
    this.#worker = new Worker(new URL(import.meta.url), { workerData: url });
  }

  /** The longest time to a response since the last call of this method, including the request in flight, ms. */
  worst(): Promise<number> {
    return new Promise((resolve) => {
      this.#worker.once('message', resolve);
      this.#worker.postMessage('worst');
    });
  }

  async stop(): Promise<void> {
    await this.#worker.terminate();
  }
}

async function poll(url: string): Promise<void> {
  const { hostname, port, host } = new URL(url);
  const socket = connect(Number(port), hostname).setNoDelay();
  const request = `GET /health/live HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
  let worst = 0;
  let askedAt: number | undefined;
  parentPort!.on('message', () => {
    const underWay = askedAt === undefined ? 0 : performance.now() - askedAt;
    parentPort!.postMessage(Math.max(worst, underWay));
    worst = 0;
  });
  for (;;) {
    askedAt = performance.now();
    const replied = new Promise((resolve) => socket.once('data', resolve));
    socket.write(request);
    await replied;
    worst = Math.max(worst, performance.now() - askedAt);
    askedAt = undefined;
    await setTimeout(pauseMs);
  }
}

if (!isMainThread) await poll(workerData as string);

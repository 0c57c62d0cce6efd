// Large steps take turns: the JSON of a large body or frame is parsed, validated and turned into operations in steps that each keep the
// event loop busy for some milliseconds. Were those of all connections done as they come, one client could hold up the others for
// seconds. So in one pass of the event loop only a few of them run, or a single larger one, clients in turn (wait-queue.ts); between two
// passes the loop serves what else has arrived. While nobody waits, a step runs at once.
import type { Metrics } from '../broker/metrics.ts';
import { type AdmissionLimits, bodyBytesUsual } from './limits.ts';
import { type Permit, WaitQueue, type WaitQueueReason } from './wait-queue.ts';

/** The bytes of JSON that are worked at in one pass, unless a single step has more: some 5 ms. */
const passBytes = 256 * 1024;

/** How many turns things that have begun get for each of those that have not: they are few, and hold permits that others wait for. */
const begunShare = 8;

/** A step that waits. One of its functions is called, unless it leaves the queue before. */
interface FirstStep {
  run(): void;
  /** Nothing was done: too many wait, or it has waited for too long. */
  refused(reason: WaitQueueReason): void;
}

export class LargeSteps {
  readonly #queue: WaitQueue;

  constructor({ requestsWaitingMax, requestWaitMsMax }: AdmissionLimits, metrics: Metrics) {
    this.#queue = new WaitQueue({
      capacity: passBytes,
      // By its bytes, whatever they are: the next one has to wait for the longer.
      weightMax: Number.POSITIVE_INFINITY,
      waitingMax: requestsWaitingMax,
      waitMsMax: requestWaitMsMax,
    });
    metrics.gauge(
      'large_steps_waiting',
      'Steps of requests with large bodies, and large frames, that wait for their turn on the event loop.',
      () => this.#queue.waiting,
    );
  }

  /** Whether JSON of so many bytes has to take turns. */
  isLarge(bytes: number): boolean {
    return bytes > bodyBytesUsual;
  }

  get waiting(): number {
    return this.#queue.waiting;
  }

  /**
   * Runs the first step of a request, when it is the turn of its client; perhaps at once.
   * @returns a function that leaves the queue; undefined if the step does not wait
   */
  begin(client: string, bytes: number, { run, refused }: FirstStep): (() => void) | undefined {
    return this.#queue.enter(client, bytes, { admitted: (permit) => inTurn(permit, run), refused });
  }

  /**
   * Has a frame of a socket read when it is the turn of its client; at once if it is not large. It waits without a limit of time, as the
   * socket is not read meanwhile.
   * @returns as begin()
   */
  readFrame(client: string, bytes: number, run: () => void): (() => void) | undefined {
    if (this.isLarge(bytes)) return this.#wait(client, bytes, run, 1);
    run();
    return undefined;
  }

  /**
   * Runs a step of something that cannot be refused any more. It waits without a limit of time, and goes before most first
   * steps. Each request or socket must have one such step at a time.
   * @returns as begin(); a step that is not large does not wait
   */
  goOn(client: string, bytes: number, run: () => void): (() => void) | undefined {
    if (this.isLarge(bytes)) return this.#wait(`${client} begun`, bytes, run, begunShare);
    run();
    return undefined;
  }

  #wait(key: string, bytes: number, run: () => void, share: number): (() => void) | undefined {
    const waiter = { admitted: (permit: Permit) => inTurn(permit, run), refused: () => undefined };
    return this.#queue.enter(key, bytes, waiter, { isPatient: true, share });
  }
}

function inTurn(permit: Permit, run: () => void): void {
  // An immediate that is set while the loop reads from connections runs before it reads again; the second one runs after that.
  setImmediate(() => setImmediate(() => permit.release()));
  run();
}

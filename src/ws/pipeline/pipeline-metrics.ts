// Metrics and log lines of the pipelined sockets.
import type { Logger } from 'pino';
import type { Metrics } from '../../broker/metrics.ts';
import type { SharedLimit } from '../../core/shared-limit.ts';
import type { PendingRequest } from './pending-request.ts';

type Outcome = 'ok' | 'refused' | 'failed' | 'unknown';

interface Member {
  readonly requestsInFlight: number;
  readonly responsesHeld: number;
}

export class PipelineMetrics {
  readonly #log: Logger;
  readonly #requests;
  /** The counters by their labels: the look-up of the library costs several times more. */
  readonly #children = new Map<string, { inc(): void }>();
  readonly #open = new Set<Member>();
  readonly #paused = new Set<Member>();
  /** Counts the frames that were read. */
  readonly frames: { inc(): void };

  constructor(metrics: Metrics, log: Logger, frameBytes: SharedLimit) {
    this.#log = log;
    this.#requests = metrics.counter(
      'socket_requests_total',
      'Requests on pipelined sockets, by operation and outcome. unknown: the store was lost, and the socket closed.',
      ['op', 'outcome'],
    );
    this.frames = metrics.counter('socket_request_frames_total', 'Frames with requests on pipelined sockets.');
    const sum = (value: (member: Member) => number) => () =>
      [...this.#open].reduce((total, member) => total + value(member), 0);
    metrics.gauge(
      'socket_requests_in_flight',
      'Requests on pipelined sockets that have no response yet.',
      sum((member) => member.requestsInFlight),
    );
    metrics.gauge(
      'socket_responses_held',
      'Responses on pipelined sockets that wait for the events before them.',
      sum((member) => member.responsesHeld),
    );
    metrics.gauge(
      'socket_frame_bytes_in_flight',
      'Bytes of requests in flight on pipelined sockets.',
      () => frameBytes.used,
    );
    metrics.gauge(
      'sockets_paused',
      'Pipelined sockets that are not read, as too much is in flight or not taken.',
      () => this.#paused.size,
    );
  }

  add(member: Member): void {
    this.#open.add(member);
  }

  remove(member: Member): void {
    this.#open.delete(member);
    this.#paused.delete(member);
  }

  paused(member: Member, isPaused: boolean): void {
    if (isPaused) this.#paused.add(member);
    else this.#paused.delete(member);
  }

  arrived(request: PendingRequest): void {
    if (this.#log.isLevelEnabled('debug')) request.arrivedAt = performance.now();
  }

  settled({ op, arrivedAt }: PendingRequest, outcome: Outcome): void {
    this.#counterOf(op, outcome).inc();
    if (arrivedAt === 0) return;
    const ms = Math.round((performance.now() - arrivedAt) * 10) / 10;
    this.#log.debug({ op, outcome, ms }, 'Request on a socket');
  }

  /** The store was lost during a request. */
  lost({ op }: PendingRequest): void {
    this.#counterOf(op, 'unknown').inc();
    this.#log.debug({ op }, 'A socket was closed, as the fate of its request is unknown');
  }

  #counterOf(op: string, outcome: Outcome): { inc(): void } {
    const key = `${op} ${outcome}`;
    let counter = this.#children.get(key);
    if (!counter) {
      counter = this.#requests.labels(op, outcome);
      this.#children.set(key, counter);
    }
    return counter;
  }
}

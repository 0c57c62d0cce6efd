// Keeps the order of the produce requests of one origin (store/origin.ts) for one topic. A request has steps that take different
// times: it reads the node of a fence, goes to its home partition first, registers a producer, or is tried again with newer
// metadata. So each waits until the one before it has sent its batches; it does not wait for their results.

import { hasCode } from '../../core/service-error.ts';
import type { DeduplicationKey } from '../../store/log/logs.ts';
import { droppedError, type Origin } from '../../store/origin.ts';
import type { TopicInfo } from '../metadata/topic-cache.ts';

/** The requests of one origin for one topic that are not over. */
interface Requests {
  /** How many there are. */
  open: number;
  /** Where the newest that has sent its batches sent them. */
  topicId: string | undefined;
  /** The number of the newest. */
  newest: number;
  /** Resolves when the newest has sent its batches. */
  sent: Promise<void>;
  /** Resolves when all are over. */
  over: Promise<void>;
  /** Those that have failed once and may be tried again: later ones that have sent nothing yet wait until they are over. */
  readonly failed: Set<Turn>;
  /** Whether the fate of one is unknown, so that nothing behind it may be sent. */
  isBroken: boolean;
  /** By log, the producer that it has known a moment ago, and until when that counts. */
  readonly producers: Map<string, { id: string; epoch: number; untilMs: number }>;
}

/** How long a log is taken to know a producer that it knew: much less than the time after which idle ones expire. */
const knownMs = 1000;

export class AppendOrder {
  readonly #origins = new WeakMap<Origin, Map<string, Requests>>();

  /** Gives a request its turn, behind all earlier ones of its origin for the same topic. The caller ends it with leave(). */
  enter(origin: Origin, topic: string): Turn {
    let topics = this.#origins.get(origin);
    if (!topics) {
      topics = new Map();
      this.#origins.set(origin, topics);
    }
    let requests = topics.get(topic);
    if (!requests) {
      const none = Promise.resolve();
      requests = {
        open: 0,
        topicId: undefined,
        newest: 0,
        sent: none,
        over: none,
        failed: new Set(),
        isBroken: false,
        producers: new Map(),
      };
      topics.set(topic, requests);
    }
    return new Turn(requests, () => topics.delete(topic));
  }
}

/** The turn of one request. Its steps wait for earlier requests only, so no two wait for each other. */
export class Turn {
  readonly #requests: Requests;
  readonly #whenLast: () => void;
  readonly #number: number;
  readonly #earlierSent: Promise<void>;
  readonly #earlierOver: Promise<void>;
  readonly #over: Promise<void>;
  #markSent!: () => void;
  #markOver!: () => void;
  #hasFailed = false;
  #work: Promise<unknown> = Promise.resolve();

  /** @param whenLast called when no request is left */
  constructor(requests: Requests, whenLast: () => void) {
    this.#requests = requests;
    this.#whenLast = whenLast;
    requests.open += 1;
    requests.newest += 1;
    this.#number = requests.newest;
    this.#earlierSent = requests.sent;
    this.#earlierOver = requests.over;
    const sent = new Promise<void>((resolve) => {
      this.#markSent = resolve;
    });
    this.#over = new Promise<void>((resolve) => {
      this.#markOver = resolve;
    });
    requests.sent = this.#earlierSent.then(() => sent);
    requests.over = this.#earlierOver.then(() => this.#over);
  }

  /**
   * Makes one try of the request. If it fails, nothing behind it is sent until the request is over, as it may be tried again; and
   * nothing at all if its fate is unknown.
   */
  async try<T>(attempt: () => Promise<T>): Promise<T> {
    try {
      return await attempt();
    } catch (error) {
      this.#hasFailed = true;
      this.#requests.failed.add(this);
      this.#requests.isBroken ||= hasCode(error, 'STORE_UNAVAILABLE');
      this.#markSent();
      throw error;
    }
  }

  /**
   * Waits until it may send its batches.
   * @param topicId to which it sends them
   * @throws ServiceError STORE_UNAVAILABLE if the fate of an earlier request is unknown
   */
  async wait({ topicId }: TopicInfo): Promise<void> {
    if (this.#hasFailed) await this.#earlierOver;
    else {
      await this.#earlierSent;
      // What was sent to an earlier topic of the same name is tried again.
      if (this.#requests.topicId !== topicId) await this.#earlierOver;
      for (let failed = this.#earlierFailed(); failed; failed = this.#earlierFailed()) await failed.#over;
    }
    if (this.#requests.isBroken) throw droppedError();
    this.#requests.topicId = topicId;
  }

  /**
   * Lets the next request send, as all batches of this one are in the queues of their partitions. If one of the logs may not know the
   * producer, its batch may be sent again, so the next request waits for the results.
   */
  sent({ topicId }: TopicInfo, partitions: readonly number[], key: DeduplicationKey | undefined): void {
    const isKnown = (partition: number) => {
      const known = this.#requests.producers.get(`${topicId}:${partition}`);
      return (
        key?.kind !== 'producer' ||
        (known?.id === key.id && known.epoch === key.epoch && known.untilMs > performance.now())
      );
    };
    if (partitions.every(isKnown)) this.#markSent();
  }

  /** All batches have results, so the logs know the producer. */
  settled({ topicId }: TopicInfo, partitions: readonly number[], key: DeduplicationKey | undefined): void {
    if (key?.kind === 'producer') {
      const { id, epoch } = key;
      const untilMs = performance.now() + knownMs;
      for (const partition of partitions)
        this.#requests.producers.set(`${topicId}:${partition}`, { id, epoch, untilMs });
    }
    this.#markSent();
  }

  /** The request goes on until `work` has ended, though it has its result. */
  keepUntil(work: Promise<unknown>): void {
    this.#work = work;
  }

  /** The request is over. */
  leave(): void {
    void this.#work.finally(() => {
      this.#requests.failed.delete(this);
      this.#markSent();
      this.#markOver();
      this.#requests.open -= 1;
      if (this.#requests.open === 0) this.#whenLast();
    });
  }

  #earlierFailed(): Turn | undefined {
    for (const turn of this.#requests.failed) if (turn.#number < this.#number) return turn;
    return undefined;
  }
}

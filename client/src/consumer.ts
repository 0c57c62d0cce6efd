// A consumer of a group: batches of records, each partition in order, commits, and a hand-over that loses nothing.

import type { MemberOwner } from './connected-member.ts';
import type { WeirError } from './errors.ts';
import type { Http } from './http.ts';
import { Listeners } from './listeners.ts';
import type { Member } from './member.ts';
import { backoffMs, type Settings } from './options.ts';
import { type Duration, deferred, now, sleep } from './time.ts';
import type { Group, JoinGroup, LogRecord, TopicPartitions } from './wire.ts';

export interface ConsumerOptions {
  group: string;
  /** The topics, or `pattern`: a regular expression (RE2) that matches the whole name of a topic. */
  topics?: readonly string[];
  pattern?: string;
  /** A member that comes back under its id keeps its partitions. Default: a new one; in browsers one for each tab. */
  memberId?: string;
  instanceId?: string;
  /** auto (default): a batch is committed when it was processed. manual: by `batch.commit()`. */
  commit?: 'auto' | 'manual';
  /** How many partitions `run` processes at the same time; default 1. */
  concurrency?: number;
  /** Where to begin without a committed offset; default latest. */
  reset?: 'earliest' | 'latest' | 'none';
  /** Records that are kept for processing; default 1000. */
  maxBuffered?: number;
  sessionTimeout?: Duration;
  rebalanceTimeout?: Duration;
}

/** Records of one partition, in order. */
export interface RecordBatch {
  topic: string;
  partition: number;
  records: LogRecord[];
  /** The offset behind all of them. */
  nextOffset: number;
  /**
   * Commits everything of the partition up to the end of this batch, or before the offset `next` within it.
   * @throws WeirError STALE_MEMBER_EPOCH if it was taken away
   */
  commit(next?: number): Promise<void>;
}

export interface ConsumerEvents {
  assigned: TopicPartitions[];
  /** Another member gets them, once what is being processed is done. */
  revoking: TopicPartitions[];
  /** Another member has them, or they are gone: what is being processed of them will be processed elsewhere, too. */
  lost: TopicPartitions[];
}

/** What is to happen when a handler throws. */
export type OnError = 'stop' | 'retry' | { deadLetter: string };

export interface RunOptions {
  eachRecord?: (record: LogRecord & { topic: string; partition: number }) => unknown;
  eachBatch?: (batch: RecordBatch) => unknown;
  /** stop (default): `run` rejects. retry: the same again after a pause. deadLetter: the records go to that topic. */
  onError?: OnError;
}

const bufferedMaxDefault = 1000;
/** How long `close` waits for what is being processed and committed; no longer than an operation is tried. */
const finishMsMax = 10_000;

export class Consumer implements AsyncDisposable {
  readonly #http: Http;
  readonly #settings: Settings;
  readonly #options: ConsumerOptions;
  /** Loaded when it is needed: few programs of a page have a consumer. */
  readonly #member: Promise<Member>;
  readonly #listeners = new Listeners<ConsumerEvents>();
  readonly #onClose: () => void;
  readonly #sendTo: (topic: string, batch: RecordBatch, error: unknown) => Promise<void>;
  #buffer: Work[] = [];
  /** By partition: the batch that is being processed. */
  readonly #busy = new Map<string, Work>();
  /** By partition: behind what was handed out. Records before it come again after a reconnect, and are dropped. */
  readonly #positions = new Map<string, number>();
  /** Partitions that are released once nothing of them is processed. */
  #revoking: TopicPartitions[] = [];
  /** Counts the joins: credit belongs to one connection. */
  #joins = 0;
  /** Commits without a result. */
  readonly #committing = new Set<Promise<void>>();
  #isPaused = false;
  #isClosing = false;
  #closing: Promise<void> | undefined;
  #failure: WeirError | undefined;
  readonly #waiters = new Set<() => void>();

  constructor(
    http: Http,
    settings: Settings,
    options: ConsumerOptions,
    sendTo: (topic: string, batch: RecordBatch, error: unknown) => Promise<void>,
    onClose: (part: Consumer) => void,
  ) {
    this.#http = http;
    this.#settings = settings;
    this.#options = options;
    this.#sendTo = sendTo;
    this.#onClose = () => onClose(this);
    const { group, topics, pattern, instanceId, reset, sessionTimeout, rebalanceTimeout, memberId } = options;
    const join: JoinGroup = {
      ...(memberId !== undefined && { memberId }),
      ...(topics && { topics: [...topics] }),
      ...(pattern !== undefined && { pattern }),
      ...(instanceId !== undefined && { instanceId }),
      ...(reset && { reset }),
      ...(sessionTimeout !== undefined && { sessionTimeout }),
      ...(rebalanceTimeout !== undefined && { rebalanceTimeout }),
    };
    const owner: MemberOwner = {
      joined: (assignment, isSame) => this.#joined(assignment, isSame),
      assigned: (partitions) => this.#listeners.emit('assigned', partitions),
      revoking: (partitions) => this.#revoke(partitions),
      lost: (partitions) => this.#lost(partitions),
      records: (batch) => this.#received(batch),
      failed: (error) => {
        this.#failure = error;
        this.#wake();
      },
    };
    const credit = options.maxBuffered ?? bufferedMaxDefault;
    this.#member = import('./member.ts').then(
      ({ Member }) => new Member(http, settings, { group, join, credit }, owner),
    );
  }

  /** Calls `listener` when partitions come or go. @returns ends it */
  on<Name extends keyof ConsumerEvents>(name: Name, listener: (partitions: ConsumerEvents[Name]) => void): () => void {
    return this.#listeners.on(name, listener);
  }

  /**
   * Batch after batch; asking for the next one says that the last one was processed. Leaving the loop closes the consumer, and the batch
   * at which it was left is not committed.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<RecordBatch, void, undefined> {
    let current: Work | undefined;
    try {
      for (current = await this.#next(); current; current = await this.#next()) {
        yield current.batch;
        this.#done(current, true);
        current = undefined;
      }
    } finally {
      if (current) this.#done(current, false);
      await this.close();
    }
  }

  /** Processes records until the consumer is closed. Rejects if a handler throws, or the member is refused. */
  async run(options: RunOptions): Promise<void> {
    const { concurrency = 1 } = this.#options;
    const work = async () => {
      for (let next = await this.#next(); next; next = await this.#next()) {
        let isProcessed = false;
        try {
          isProcessed = await this.#process(next.batch, options);
        } finally {
          this.#done(next, isProcessed);
        }
      }
    };
    try {
      await Promise.all(Array.from({ length: concurrency }, work));
    } finally {
      await this.close();
    }
  }

  /** Hands out nothing until `resume`. The partitions stay with the member. */
  pause(): void {
    this.#isPaused = true;
  }

  /** Hands out batches again. */
  resume(): void {
    this.#isPaused = false;
    this.#wake();
  }

  /** Commits another offset for a partition, and goes on from there. */
  async seek(topic: string, partition: number, offset: number): Promise<void> {
    const member = await this.#member;
    await member.commit(topic, partition, offset);
    this.#positions.clear();
    member.rejoin();
  }

  /** How many records the group has yet to read. */
  async lag(): Promise<number> {
    const { partitions } = await this.#http.json<Group>({
      path: `/v1/groups/${encodeURIComponent(this.#options.group)}`,
    });
    return partitions.reduce((sum, { lag }) => sum + (lag ?? 0), 0);
  }

  /**
   * Finishes what is being processed, commits it, and then leaves the group. Within a loop over the consumer use `break`: the loop closes
   * it.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#isClosing = true;
    this.#buffer = [];
    this.#wake();
    const until = now() + Math.min(finishMsMax, this.#settings.retryForMs);
    while (this.#busy.size > 0 && now() < until && !this.#failure) await this.#change(until - now());
    // Without a server nothing can be committed: the records come again.
    while (this.#committing.size > 0 && now() < until && !this.#failure) await this.#change(until - now());
    await (await this.#member).leave();
    this.#wake();
    this.#onClose();
  }

  /** The next batch of a partition of which nothing is processed; undefined once the consumer is closed. @throws why it was refused */
  async #next(): Promise<Work | undefined> {
    for (;;) {
      if (this.#failure) throw this.#failure;
      if (this.#isClosing) return undefined;
      const at = this.#isPaused ? -1 : this.#buffer.findIndex(({ key }) => !this.#busy.has(key));
      const [work] = at < 0 ? [] : this.#buffer.splice(at, 1);
      if (work) {
        this.#busy.set(work.key, work);
        this.#positions.set(work.key, work.batch.nextOffset);
        return work;
      }
      await this.#change();
    }
  }

  #done(work: Work, isProcessed: boolean): void {
    const { batch, key, join } = work;
    this.#busy.delete(key);
    if (isProcessed && this.#options.commit !== 'manual') void batch.commit().catch(() => {});
    // After the commit: over HTTP a member without records to process and without commits says that it is done with all.
    if (join === this.#joins) this.#give(batch.records.length);
    this.#release();
    this.#wake();
  }

  #give(records: number): void {
    void this.#member.then((member) => member.give(records));
  }

  #commit(topic: string, partition: number, nextOffset: number): Promise<void> {
    const result = this.#member.then((member) => member.commit(topic, partition, nextOffset));
    result.catch(() => {});
    this.#committing.add(result);
    const settled = () => {
      this.#committing.delete(result);
      this.#wake();
    };
    result.then(settled, settled);
    return result;
  }

  /** @returns whether the batch was processed; not if the consumer is closed meanwhile */
  async #process(batch: RecordBatch, { eachRecord, eachBatch, onError = 'stop' }: RunOptions): Promise<boolean> {
    const { topic, partition, records } = batch;
    let at = 0;
    for (let attempt = 0; ; attempt += 1) {
      try {
        if (eachBatch) await eachBatch(batch);
        for (; eachRecord && at < records.length; at += 1)
          await eachRecord({ topic, partition, ...records[at] } as LogRecord & typeof batch);
        return true;
      } catch (error) {
        if (onError === 'stop') throw error;
        if (onError === 'retry') {
          await sleep(backoffMs(this.#settings, attempt));
          if (this.#isClosing) return false;
          continue;
        }
        const failed = eachBatch ? records : records.slice(at, at + 1);
        await this.#sendTo(onError.deadLetter, { ...batch, records: failed }, error);
        if (eachBatch) return true;
        at += 1;
      }
    }
  }

  #joined(assignment: TopicPartitions[], isSame: boolean): void {
    this.#joins += 1;
    // What was not handed out comes again.
    this.#buffer = [];
    this.#revoking = [];
    if (!isSame) this.#positions.clear();
    this.#listeners.emit('assigned', assignment);
  }

  #received({ topic, partition, records, nextOffset }: Omit<RecordBatch, 'commit'>): void {
    const key = keyOf(topic, partition);
    const from = this.#positions.get(key) ?? 0;
    const wanted = records.filter(({ offset }) => offset >= from);
    if (wanted.length < records.length) this.#give(records.length - wanted.length);
    if (wanted.length === 0 || this.#isClosing) return;
    const commit = (next = nextOffset) => this.#commit(topic, partition, next);
    this.#buffer.push({ batch: { topic, partition, records: wanted, nextOffset, commit }, key, join: this.#joins });
    this.#wake();
  }

  #revoke(partitions: TopicPartitions[]): void {
    this.#drop(partitions);
    this.#listeners.emit('revoking', partitions);
    this.#revoking.push(...partitions);
    this.#release();
  }

  /** Releases what is being revoked, once nothing of it is processed and its commits have results. */
  #release(): void {
    const isBusy = ({ topic, partitions }: TopicPartitions) =>
      partitions.some((partition) => this.#busy.has(keyOf(topic, partition)));
    const free = this.#revoking.filter((each) => !isBusy(each));
    if (free.length === 0) return;
    this.#revoking = this.#revoking.filter(isBusy);
    const join = this.#joins;
    void Promise.allSettled([...this.#committing]).then(() => {
      if (join === this.#joins) void this.#member.then((member) => member.release(free));
    });
  }

  #lost(partitions: TopicPartitions[]): void {
    this.#drop(partitions);
    this.#listeners.emit('lost', partitions);
  }

  /** Forgets what was received of partitions and not handed out. */
  #drop(partitions: TopicPartitions[]): void {
    const keys = new Set(partitions.flatMap(({ topic, partitions: all }) => all.map((each) => keyOf(topic, each))));
    const dropped = this.#buffer.filter(({ key }) => keys.has(key));
    this.#buffer = this.#buffer.filter(({ key }) => !keys.has(key));
    for (const key of keys) this.#positions.delete(key);
    for (const { batch } of dropped) this.#give(batch.records.length);
  }

  #wake(): void {
    for (const wake of [...this.#waiters]) wake();
  }

  /** Resolves when something has changed, or after `ms`. */
  async #change(ms?: number): Promise<void> {
    const { promise, resolve } = deferred<void>();
    const wake = () => resolve();
    this.#waiters.add(wake);
    const timer = ms === undefined ? undefined : setTimeout(wake, ms);
    await promise;
    clearTimeout(timer);
    this.#waiters.delete(wake);
  }
}

/** A batch, its partition as a key, and the join since which its records count against the credit. */
interface Work {
  batch: RecordBatch;
  key: string;
  join: number;
}

function keyOf(topic: string, partition: number): string {
  return `${partition} ${topic}`;
}

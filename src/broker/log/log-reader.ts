// Reads records and waits for new ones. Equal reads that begin together share one call of the store. A waiting reader is woken by the
// notification of an append through any broker; as Pub/Sub may lose notifications, the awaited logs are also polled.
import type { Logger } from 'pino';
import { recentlyUsed } from '../../core/recently-used.ts';
import { BatchLines, isCompressed, type StoredBatch } from '../../core/records/batch-lines.ts';
import type { FetchedRecords } from '../../core/records/fetched-records.ts';
import type { LogNotice } from '../../store/log/log-notices.ts';
import type { LogBounds, Logs } from '../../store/log/logs.ts';
import { ConcurrencyLimiter } from '../../store/redis/concurrency-limiter.ts';
import { checkPartition, type TopicInfo } from '../metadata/topic-cache.ts';
import type { Metrics } from '../metrics.ts';
import { PeriodicTask } from '../periodic-task.ts';
import { decompressBatch, decompressCut } from './batch-compression.ts';
import { BatchSource, logKey } from './batch-source.ts';
import { asRecords, type FetchedContent, type ReadForm } from './read-forms.ts';
import type { TopicTraffic } from './topic-traffic.ts';

interface FetchRequest {
  topic: TopicInfo;
  partition: number;
  /** A number, or the start or end of the log at the time of the read. */
  offset: number | 'earliest' | 'latest';
  maxRecords: number;
  /** The first record is always returned, however large. */
  maxBytes: number;
  /** No record from this offset on is returned. */
  end?: number;
  /** When the reader asked, if that was before this request, as performance.now(): the result need not be newer than that. */
  askedAt?: number;
}

export interface FetchResult<C extends FetchedContent = FetchedRecords> extends LogBounds {
  /** Shared with other readers. */
  records: C;
  /** The offset of the next read: also behind records that compaction has removed. */
  nextOffset: number;
}

/** A log that a reader has read up to `endOffset`. */
interface AwaitedLog {
  topicId: string;
  partition: number;
  endOffset: number;
}

/** A read for one reader or several. */
interface SharedRead {
  /** When the last of its readers asked, as performance.now(): the result is not older. */
  askedAt: number;
  isSent: boolean;
  result: Promise<FetchResult<FetchedContent>>;
}

interface LogListener {
  /** @param log its `logKey` */
  onAppend(log: string, notice: LogNotice): void;
  /** Records of a log were removed. */
  onRemoval?(notice: LogNotice): void;
  /** Notifications may have been lost. */
  onGap(): void;
}

interface Waiter {
  logs: readonly AwaitedLog[];
  wake(grown: boolean): void;
}

/** How often awaited logs are polled: so soon an append is found whose notification was lost. */
const pollEveryMs = 1000;
/**
 * How long the end offset of a notification is used. No longer, as the end may also go back when the store has lost records: an
 * old notification would then wake the reader again and again.
 */
const knownEndMs = 1000;
/** The number of logs whose newest end offset is remembered. */
const knownEndsMax = 10_000;
/** Searches by time at once, each of which may read a whole batch, and how long one may wait for the others, ms. */
const searchesAtOnce = 32;
const searchWaitMsMax = 5000;
/** The number of logs whose compression ratio is remembered. */
const compressedSharesMax = 10_000;

export class LogReader {
  readonly #logs: Logs;
  readonly #traffic: TopicTraffic;
  readonly #source: BatchSource;
  /** The newest read in flight of each range and form. */
  readonly #reads = new Map<string, SharedRead>();
  /** By log, the readers that wait for an append. */
  readonly #waiters = new Map<string, Set<Waiter>>();
  /** The newest end offsets by notification, of a moment ago: for appends between a read and the wait that follows it. */
  readonly #knownEnds = recentlyUsed<number>(knownEndsMax, { ttl: knownEndMs, ttlResolution: 0 });
  /** By log, the stored bytes of compressed batches, divided by the bytes of their lines. */
  readonly #compressedShares = recentlyUsed<number>(compressedSharesMax);
  /** Searches by time, of which few may be in flight at once. */
  readonly searches = new ConcurrencyLimiter('searches of records by time', searchesAtOnce, searchWaitMsMax);
  readonly #listeners = new Set<LogListener>();
  readonly #abort = new AbortController();
  readonly #polling: PeriodicTask;
  readonly #fetchedRecords;
  readonly #fetchedBytes;

  /** @param cacheBytesMax of recent batches in memory */
  constructor(logs: Logs, cacheBytesMax: number, traffic: TopicTraffic, metrics: Metrics, log: Logger) {
    this.#logs = logs;
    this.#traffic = traffic;
    this.#source = new BatchSource(logs, cacheBytesMax, metrics, (topicId, partition, endOffset) =>
      this.#learn(logKey(topicId, partition), endOffset),
    );
    this.#polling = new PeriodicTask('poll of awaited logs', pollEveryMs, () => this.#poll(), log);
    this.#fetchedRecords = metrics.counter('records_fetched_total', 'Records read from logs by this broker.');
    this.#fetchedBytes = metrics.counter('fetched_bytes_total', 'Bytes of records read from logs by this broker.');
    metrics.gauge('log_waits', 'Logs that long polls and streams wait for, counted once for each.', () => {
      let count = 0;
      for (const waiters of this.#waiters.values()) count += waiters.size;
      return count;
    });
  }

  start(): void {
    this.#logs.subscribe(
      {
        onAppend: (notice) => {
          const key = logKey(notice.topicId, notice.partition);
          this.#learn(key, notice.endOffset);
          for (const { onAppend } of this.#listeners) onAppend(key, notice);
        },
        onRemoval: (notice) => {
          for (const { onRemoval } of this.#listeners) onRemoval?.(notice);
        },
        onGap: () => {
          this.#polling.trigger();
          for (const { onGap } of this.#listeners) onGap();
        },
      },
      this.#abort.signal,
    );
    this.#polling.start();
  }

  /** Passes every notification of a change of a log in the cluster to `listener`. */
  subscribe(listener: LogListener): void {
    this.#listeners.add(listener);
  }

  /** Ends all waits and the subscription to notifications. */
  async stop(): Promise<void> {
    this.#abort.abort();
    for (const waiters of [...this.#waiters.values()]) for (const waiter of [...waiters]) waiter.wake(false);
    await this.#polling.stop();
  }

  /**
   * Reads records from an offset on; none at the end of the log.
   * @param form whether they are returned one by one, or in their batches
   * @throws ServiceError UNKNOWN_TOPIC, UNKNOWN_PARTITION, OFFSET_OUT_OF_RANGE (fields `logStartOffset`, `endOffset`)
   */
  fetch(request: FetchRequest): Promise<FetchResult>;
  fetch<C extends FetchedContent>(request: FetchRequest, form: ReadForm<C>): Promise<FetchResult<C>>;
  async fetch(request: FetchRequest, form: ReadForm<FetchedContent> = asRecords): Promise<FetchResult<FetchedContent>> {
    const { topic, partition } = request;
    checkPartition(topic, partition);
    const fetched = await this.#share(request, form);
    this.#fetchedRecords.inc(fetched.records.count);
    this.#fetchedBytes.inc(fetched.records.bytes);
    this.#traffic.noteFetched(topic.name, fetched.records.count, fetched.records.bytes);
    return fetched;
  }

  /**
   * As fetch(), but waits until there are `minBytes` of records, for at most `waitMs` or until `signal` is aborted; then returns
   * what there is. `onWait` is called before each wait.
   */
  async fetchWhenReady<C extends FetchedContent>(
    request: FetchRequest,
    form: ReadForm<C>,
    { minBytes, waitMs, signal, onWait }: { minBytes: number; waitMs: number; signal: AbortSignal; onWait?(): void },
  ): Promise<FetchResult<C>> {
    const askedAt = performance.now();
    const deadline = askedAt + waitMs;
    let fetched = await this.fetch(request, form);
    const offset = fetched.records.firstOffset ?? fetched.nextOffset;
    // A read that does not reach the end was cut by its limits: waiting would not add to it.
    while (fetched.records.bytes < minBytes && fetched.nextOffset >= fetched.endOffset) {
      const { topicId } = request.topic;
      const log = { topicId, partition: request.partition, endOffset: fetched.endOffset };
      const leftMs = deadline - performance.now();
      onWait?.();
      if (leftMs <= 0 || !(await this.waitForAppend([log], leftMs, signal))) break;
      fetched = await this.fetch({ ...request, offset, askedAt }, form);
    }
    return fetched;
  }

  /**
   * Finds the first record with a timestamp of at least `momentMs`, in ms since 1970.
   * @returns its offset and timestamp; the end offset without a timestamp if there is none
   * @throws ServiceError UNKNOWN_TOPIC, UNKNOWN_PARTITION; TOO_MANY_REQUESTS if too many others search
   */
  offsetAt(
    topic: TopicInfo,
    partition: number,
    momentMs: number,
  ): Promise<{ offset: number; timestamp: number | undefined }> {
    return this.searches.run(() => this.#offsetAt(topic, partition, momentMs));
  }

  async #offsetAt(topic: TopicInfo, partition: number, momentMs: number) {
    checkPartition(topic, partition);
    const [bounds] = await this.#logs.bounds([{ topicId: topic.topicId, partition }]);
    let from = bounds?.logStartOffset ?? 0;
    for (;;) {
      const found = await this.#logs.findByTimestamp(topic.topicId, partition, from, momentMs);
      if ('endOffset' in found) return { offset: found.endOffset, timestamp: undefined };
      const batch = new BatchLines(await decompressBatch(found.batch));
      for (let index = Math.max(from - batch.baseOffset, 0); index < batch.count; index += 1) {
        if (batch.isRemoved(index)) continue;
        const timestamp = batch.timestampOf(index);
        if (timestamp >= momentMs) return { offset: batch.baseOffset + index, timestamp };
      }
      // The record that the store found lies before the start of the log; search behind its batch.
      from = batch.baseOffset + batch.count;
    }
  }

  /**
   * Waits until one of the logs has grown beyond the given end offset, ends before it, or is gone, for at most `timeoutMs`.
   * @returns whether that is so; false after the time, when `signal` is aborted, and when the broker stops
   */
  waitForAppend(logs: readonly AwaitedLog[], timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    if (signal?.aborted || this.#abort.signal.aborted) return Promise.resolve(false);
    const hasGrown = ({ topicId, partition, endOffset }: AwaitedLog) => {
      const knownEnd = this.#knownEnds.get(logKey(topicId, partition));
      return knownEnd !== undefined && knownEnd > endOffset;
    };
    if (logs.some(hasGrown)) return Promise.resolve(true);
    return new Promise((resolve) => {
      const waiter: Waiter = {
        logs,
        wake: (grown) => {
          clearTimeout(timer);
          signal?.removeEventListener('abort', onAbort);
          for (const { topicId, partition } of logs) this.#removeWaiter(logKey(topicId, partition), waiter);
          resolve(grown);
        },
      };
      const onAbort = () => waiter.wake(false);
      const timer = setTimeout(onAbort, timeoutMs);
      signal?.addEventListener('abort', onAbort, { once: true });
      for (const { topicId, partition } of logs) {
        const key = logKey(topicId, partition);
        const waiters = this.#waiters.get(key);
        if (waiters) waiters.add(waiter);
        else this.#waiters.set(key, new Set([waiter]));
      }
    });
  }

  /** Equal reads of one turn of the event loop are one. One that was sent is shared only with readers who asked before that. */
  #share(request: FetchRequest, form: ReadForm<FetchedContent>): Promise<FetchResult<FetchedContent>> {
    const { topic, partition, offset, maxRecords, maxBytes, end = '', askedAt = performance.now() } = request;
    const key = `${logKey(topic.topicId, partition)}:${offset}:${maxRecords}:${maxBytes}:${end}:${form.name}`;
    const other = this.#reads.get(key);
    if (other && (!other.isSent || other.askedAt >= askedAt)) {
      other.askedAt = Math.max(other.askedAt, askedAt);
      return other.result;
    }
    const read: SharedRead = {
      askedAt,
      isSent: false,
      result: new Promise((resolve) => setImmediate(resolve))
        .then(() => {
          read.isSent = true;
          return this.#read({ ...request, askedAt: read.askedAt }, form);
        })
        .finally(() => {
          if (this.#reads.get(key) === read) this.#reads.delete(key);
        }),
    };
    this.#reads.set(key, read);
    return read.result;
  }

  async #read(
    request: FetchRequest & { askedAt: number },
    form: ReadForm<FetchedContent>,
  ): Promise<FetchResult<FetchedContent>> {
    const { topic, partition, offset, maxRecords, maxBytes, end, askedAt } = request;
    const { topicId } = topic;
    const limits = { maxRecords, maxBytes, ...(end !== undefined && { end }) };
    const key = logKey(topicId, partition);
    const batches: BatchLines[] = [];
    let [from, recordsLeft, bytesLeft]: [FetchRequest['offset'], number, number] = [offset, maxRecords, maxBytes];
    let start: number | undefined;
    for (;;) {
      const share = form.takesCompressed ? 1 : (this.#compressedShares.get(key) ?? 1);
      const left = { maxRecords: recordsLeft, maxBytes: Math.ceil(bytesLeft * share) };
      const position = { topicId, partition, offset: from, askedAt };
      const read = await this.#source.read({ ...position, limits: left, withinLimits: form.takesWhole });
      start ??= read.offset;
      const isCompressedRead = !form.takesCompressed && read.batches.some(({ records }) => isCompressed(records));
      const lines = isCompressedRead
        ? await this.#decompress(key, read.batches)
        : read.batches.map((batch) => new BatchLines(batch));
      for (const { baseOffset, count, bytes } of lines) {
        recordsLeft -= baseOffset + count - Math.max(baseOffset, read.offset);
        bytesLeft -= bytes.length;
        from = baseOffset + count;
      }
      batches.push(...lines);
      // How many compressed batches make up maxBytes is known only after they are decompressed.
      const isEstimate = isCompressedRead || share !== 1;
      if (isEstimate && !read.isComplete && recordsLeft > 0 && bytesLeft > 0) continue;
      const { logStartOffset, endOffset } = read;
      const ready = form.takesCompressed ? await decompressCut(batches, start, limits) : batches;
      const records = form.take(ready, start, limits);
      const nextOffset = read.isComplete && !records.isCut ? endOffset : records.nextOffset;
      return { logStartOffset, endOffset, records, nextOffset };
    }
  }

  /** Decompresses batches, and notes their compression ratio for the next read of the log. */
  async #decompress(key: string, stored: readonly StoredBatch[]): Promise<BatchLines[]> {
    const batches = await Promise.all(stored.map(decompressBatch));
    const sizeOf = (all: readonly StoredBatch[]) => all.reduce((sum, { records }) => sum + records.length, 0);
    this.#compressedShares.set(key, sizeOf(stored) / sizeOf(batches));
    return batches.map((batch) => new BatchLines(batch));
  }

  #learn(key: string, endOffset: number): void {
    this.#knownEnds.set(key, endOffset);
    for (const waiter of [...(this.#waiters.get(key) ?? [])]) {
      if (waiter.logs.some((log) => logKey(log.topicId, log.partition) === key && log.endOffset < endOffset)) {
        waiter.wake(true);
      }
    }
  }

  /** Reads the end of every awaited log: a notification may have been lost, and a log may be gone or may have lost records. */
  async #poll(): Promise<void> {
    const awaited = new Map<string, AwaitedLog>();
    for (const [key, waiters] of this.#waiters) {
      for (const { logs } of waiters) {
        for (const log of logs) if (logKey(log.topicId, log.partition) === key) awaited.set(key, log);
      }
    }
    const logs = [...awaited.values()];
    const bounds = await this.#logs.bounds(logs);
    for (const [index, { topicId, partition }] of logs.entries()) {
      const key = logKey(topicId, partition);
      const end = bounds[index]?.endOffset;
      if (end !== undefined) this.#learn(key, end);
      // A log that ends before the awaited offset has lost records. Its readers are woken: their next read fails with
      // OFFSET_OUT_OF_RANGE, so that they do not take new records at these offsets for the ones that followed.
      const isBeyond = (waiter: Waiter) =>
        waiter.logs.some((log) => logKey(log.topicId, log.partition) === key && log.endOffset > (end ?? -1));
      for (const waiter of [...(this.#waiters.get(key) ?? [])]) if (isBeyond(waiter)) waiter.wake(true);
    }
  }

  #removeWaiter(key: string, waiter: Waiter): void {
    const waiters = this.#waiters.get(key);
    waiters?.delete(waiter);
    if (waiters?.size === 0) this.#waiters.delete(key);
  }
}

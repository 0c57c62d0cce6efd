// Appends batches to their logs, one append at a time for each partition: batches that arrive during an append are sent
// together in the next one, as one append batch.
import { required } from '../../core/required.ts';
import { hasCode, ServiceError } from '../../core/service-error.ts';
import type { AppendResult } from '../../store/log/log-replies.ts';
import type { BatchToAppend, Logs } from '../../store/log/logs.ts';
import { droppedError, type Origin } from '../../store/origin.ts';
import type { TopicInfo } from '../metadata/topic-cache.ts';
import type { Metrics } from '../metrics.ts';
import { compressRecords } from './batch-compression.ts';
import { logKey } from './batch-source.ts';
import type { TopicTraffic } from './topic-traffic.ts';

interface Pending {
  batch: BatchToAppend;
  /** The compressed batch, if its topic is compressed: that is done while earlier batches are appended. */
  compressed: Promise<BatchToAppend> | undefined;
  origin: Origin | undefined;
  resolve(appended: AppendResult): void;
  reject(error: unknown): void;
}

/** Limits of one append batch, so that it does not block Redis for long. A single batch is always sent. */
const appendBatchesMax = 256;
const appendBatchBytesMax = 4 * 1024 * 1024;

export class AppendBatcher {
  readonly #logs: Logs;
  readonly #traffic: TopicTraffic;
  /** By log, the batches that wait for the next append; a log has an entry while an append is in flight. */
  readonly #queues = new Map<string, Pending[]>();
  #bytesInFlight = 0;
  readonly #appendedRecords;
  readonly #appendedBytes;
  readonly #replays;
  readonly #duration;

  constructor(logs: Logs, traffic: TopicTraffic, metrics: Metrics) {
    this.#logs = logs;
    this.#traffic = traffic;
    this.#appendedRecords = metrics.counter('records_appended_total', 'Records appended to logs by this broker.');
    this.#appendedBytes = metrics.counter('appended_bytes_total', 'Bytes of records appended to logs by this broker.');
    this.#replays = metrics.counter(
      'appends_replayed_total',
      'Repeated batches that this broker did not append again.',
    );
    this.#duration = metrics.histogram(
      'append_duration_seconds',
      'Time of one append batch, from sending it to its reply.',
    );
  }

  /** Bytes of records that wait for an append or for its reply. */
  get bytesInFlight(): number {
    return this.#bytesInFlight;
  }

  /**
   * Appends a batch with the next append batch of its partition. It is in the queue when this returns.
   * @param origin the sender, whose batch is dropped if it is dead before the batch is sent
   * @returns where it was appended, or where its first try was
   * @throws ServiceError as Logs.append() (store/log/logs.ts)
   */
  append(topic: TopicInfo, partition: number, batch: BatchToAppend, origin?: Origin): Promise<AppendResult> {
    const isCompressed = topic.config['compression.type'] === 'gzip';
    const size = batch.records.length;
    this.#bytesInFlight += size;
    const appended = new Promise<AppendResult>((resolve, reject) => {
      const compressed = isCompressed ? compressedBatch(batch) : undefined;
      const pending = { batch, compressed, origin, resolve, reject };
      const key = logKey(topic.topicId, partition);
      const queue = this.#queues.get(key);
      if (queue) {
        queue.push(pending);
        return;
      }
      const newQueue = [pending];
      this.#queues.set(key, newQueue);
      void this.#flush(topic, partition, newQueue, () => this.#queues.delete(key));
    });
    return appended.finally(() => {
      this.#bytesInFlight -= size;
    });
  }

  /**
   * Sends one append batch after the other until the queue is empty, then calls `close`. That must be in the same tick as the last
   * check of the queue: a batch added in between would wait for ever.
   */
  async #flush(topic: TopicInfo, partition: number, queue: Pending[], close: () => void): Promise<void> {
    while (queue.length > 0) {
      const appendBatch = queue.splice(0, appendBatchSize(queue));
      try {
        await this.#send(topic, partition, appendBatch);
      } catch (error) {
        for (const { reject } of appendBatch) reject(error);
        // Batches that wait are refused, too: no request waits twice for a store that is away (guarantee E3), and none is appended
        // to a log that is missing now and may be created again before an earlier one is tried again.
        if (hasCode(error, 'STORE_UNAVAILABLE'))
          for (const { reject } of queue.splice(0)) reject(new AppendNotSentError());
        else if (hasCode(error, 'UNKNOWN_TOPIC')) for (const { reject } of queue.splice(0)) reject(error);
      }
    }
    close();
  }

  async #send({ name, topicId }: TopicInfo, partition: number, appendBatch: readonly Pending[]): Promise<void> {
    const batches = await readyBatches(appendBatch);
    const live = appendBatch.flatMap((pending, index) =>
      pending.origin?.isDead ? [] : [{ ...pending, batch: required(batches[index], 'batch of an append') }],
    );
    if (live.length < appendBatch.length)
      for (const { origin, reject } of appendBatch) if (origin?.isDead) reject(droppedError());
    if (live.length === 0) return;
    const end = this.#duration.startTimer();
    const results = await this.#logs
      .append(
        topicId,
        partition,
        live.map(({ batch }) => batch),
      )
      .finally(end);
    for (const [index, { batch, resolve, reject }] of live.entries()) {
      const result = required(results[index], 'result of an append');
      if (result instanceof ServiceError) {
        reject(result);
        continue;
      }
      if (result.replayed) this.#replays.inc();
      else {
        this.#appendedRecords.inc(batch.count);
        this.#appendedBytes.inc(batch.records.length);
        this.#traffic.noteAppended(name, batch.count, batch.records.length);
      }
      resolve(result);
    }
  }
}

async function compressedBatch(batch: BatchToAppend): Promise<BatchToAppend> {
  return { ...batch, records: await compressRecords(batch.records) };
}

/** The batches of an append batch as they are stored; without compression they are ready at once. */
function readyBatches(appendBatch: readonly Pending[]): BatchToAppend[] | Promise<BatchToAppend[]> {
  if (appendBatch.every(({ compressed }) => compressed === undefined)) return appendBatch.map(({ batch }) => batch);
  return Promise.all(appendBatch.map(({ batch, compressed }) => compressed ?? batch));
}

/** How many of the waiting batches fit into one append batch. */
function appendBatchSize(queue: readonly Pending[]): number {
  let bytes = 0;
  let count = 0;
  for (const { batch } of queue) {
    bytes += batch.records.length;
    if (count > 0 && (count === appendBatchesMax || bytes > appendBatchBytesMax)) break;
    count += 1;
  }
  return count;
}

/** The failure of an append that was not sent, because an earlier one had failed: nothing was written. */
export class AppendNotSentError extends ServiceError {
  constructor() {
    super(
      'STORE_UNAVAILABLE',
      'The store did not reply to earlier appends to this partition, so this one was not sent; nothing was written. Try again.',
    );
  }
}

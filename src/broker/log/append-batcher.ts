// How batches get to their logs: those for one partition that come while an append is under way share the next one.
import { hasCode, ServiceError } from '../../core/service-error.ts';
import type { AppendResult, BatchToAppend, Logs } from '../../store/log/logs.ts';
import type { TopicInfo } from '../metadata/topic-cache.ts';
import type { Metrics } from '../metrics.ts';
import { compressRecords } from './batch-compression.ts';
import { logKey } from './log-reader.ts';

interface Pending {
  batch: BatchToAppend;
  /** The batch as it is to be stored, where its topic is compressed: that goes on while others fly. */
  compressed: Promise<BatchToAppend> | undefined;
  resolve(appended: AppendResult): void;
  reject(error: unknown): void;
}

/** What one appendBatch to a partition carries at most: it must not hold up the store. One batch always fits. */
const appendBatchesMax = 256;
const appendBatchBytesMax = 4 * 1024 * 1024;

export class AppendBatcher {
  readonly #logs: Logs;
  /** By log, the batches that wait for its appendBatch to return; the log has an entry while one is under way. */
  readonly #queues = new Map<string, Pending[]>();
  #bytesInFlight = 0;
  readonly #appendedRecords;
  readonly #appendedBytes;
  readonly #replays;
  readonly #duration;

  constructor(logs: Logs, metrics: Metrics) {
    this.#logs = logs;
    this.#appendedRecords = metrics.counter('records_appended_total', 'Records appended to logs by this broker.');
    this.#appendedBytes = metrics.counter('appended_bytes_total', 'Bytes of records appended to logs by this broker.');
    this.#replays = metrics.counter(
      'appends_replayed_total',
      'Batches that this broker was sent again, and answered without appending.',
    );
    this.#duration = metrics.histogram('append_duration_seconds', 'Time of one append of the store, batches together.');
  }

  /** Bytes of records that wait for the store. */
  get bytesInFlight(): number {
    return this.#bytesInFlight;
  }

  /** Puts a batch on the next appendBatch to its partition. @throws ServiceError of the batch (store/log/logs.ts: append) */
  append({ topicId, config }: TopicInfo, partition: number, batch: BatchToAppend): Promise<AppendResult> {
    const isCompressed = config['compression.type'] === 'gzip';
    const size = batch.records.length;
    this.#bytesInFlight += size;
    const appended = new Promise<AppendResult>((resolve, reject) => {
      const compressed = isCompressed ? compressedBatch(batch) : undefined;
      const pending = { batch, compressed, resolve, reject };
      const key = logKey(topicId, partition);
      const queue = this.#queues.get(key);
      if (queue) {
        queue.push(pending);
        return;
      }
      const opened = [pending];
      this.#queues.set(key, opened);
      void this.#flush(topicId, partition, opened, () => this.#queues.delete(key));
    });
    return appended.finally(() => {
      this.#bytesInFlight -= size;
    });
  }

  /**
   * Makes one append batch after the other while there are batches in the queue, then closes it. That must be in one step with
   * the last look into it: a batch that came in between would wait for ever.
   */
  async #flush(topicId: string, partition: number, queue: Pending[], close: () => void): Promise<void> {
    while (queue.length > 0) {
      const appendBatch = queue.splice(0, appendBatchSize(queue));
      const end = this.#duration.startTimer();
      try {
        const batches = await readyBatches(appendBatch);
        const outcomes = await this.#logs.append(topicId, partition, batches);
        for (const [index, { resolve, reject }] of appendBatch.entries()) {
          const batch = batches[index]!;
          const outcome = outcomes[index]!;
          if (outcome instanceof ServiceError) {
            reject(outcome);
            continue;
          }
          if (outcome.replayed) this.#replays.inc();
          else {
            this.#appendedRecords.inc(batch.count);
            this.#appendedBytes.inc(batch.records.length);
          }
          resolve(outcome);
        }
      } catch (error) {
        for (const { reject } of appendBatch) reject(error);
        // Those that still wait have waited long enough: nobody is to wait twice for a store that is away (E3).
        if (hasCode(error, 'STORE_UNAVAILABLE')) for (const { reject } of queue.splice(0)) reject(notSent());
      } finally {
        end();
      }
    }
    close();
  }
}

async function compressedBatch(batch: BatchToAppend): Promise<BatchToAppend> {
  return { ...batch, records: await compressRecords(batch.records) };
}

/** The batches of an append batch as they are stored; those of a topic that is not compressed are ready at once. */
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

const notSentDetail = 'The store did not answer those before; nothing was written.';

function notSent(): ServiceError {
  return new ServiceError('STORE_UNAVAILABLE', notSentDetail);
}

/** Whether a batch failed without having been sent, because those before it had. */
export function wasNotSent(error: unknown): boolean {
  return hasCode(error, 'STORE_UNAVAILABLE') && (error as Error).message === notSentDetail;
}

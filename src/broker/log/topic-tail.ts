// Topic tails: an endless read of a topic's partitions for one reader. It finds the first offsets, reads the partitions in turn,
// and gives a position with each message, from which the reader can resume through any broker. The sink sends the records and
// limits how many.

import { setTimeout as pause } from 'node:timers/promises';
import { topicTailPartitionsMax } from '../../../schemas/topic-tail.ts';
import { findServiceError, hasCode, ServiceError } from '../../core/service-error.ts';
import type { LogBounds, Logs } from '../../store/log/logs.ts';
import type { Counter } from '../instruments.ts';
import { checkPartition, type TopicCache, type TopicInfo, unknownTopic } from '../metadata/topic-cache.ts';
import type { Metrics } from '../metrics.ts';
import type { FetchResult, LogReader } from './log-reader.ts';
import {
  appendWaitMs,
  RoomWait,
  recordsToRequest,
  type StreamPosition,
  type StreamSink,
  streamBytesMax,
  takeWithinCredit,
} from './stream-reads.ts';

export interface TopicTailRequest {
  topic: string;
  /** Undefined = all, also partitions that are added later. */
  partitions: readonly number[] | undefined;
  /** `earliest`, `latest`, a number if one partition is read, or a position; undefined = `latest`. */
  offset: string | undefined;
  /** Instead of an offset: start at the first records with this timestamp or a later one, in ms since 1970. */
  timestamp: number | undefined;
  /** The last position that the reader was given; it takes precedence over `offset` and `timestamp`. */
  resume: string | undefined;
}

/** What a topic tail sends its records to. */
export interface RecordSink extends StreamSink {
  /** For metrics. */
  kind: 'sse' | 'socket';
  /** Sends at least one record of a partition, as a JSON array, with the position behind them. */
  records(partition: number, records: string, count: number, position: string): void;
}

/** The read position in one partition. */
interface TailCursor extends StreamPosition {
  partition: number;
}

/** How soon a tail tries again when the store is away, in ms. */
const retryMs = 500;

/** Opens topic tails, and counts them. */
export class TopicTails {
  readonly #topics: TopicCache;
  readonly #reader: LogReader;
  readonly #logs: Logs;
  readonly #open = { sse: 0, socket: 0 };
  readonly #sent;

  constructor(topics: TopicCache, reader: LogReader, logs: Logs, metrics: Metrics) {
    this.#topics = topics;
    this.#reader = reader;
    this.#logs = logs;
    this.#sent = metrics.counter('records_streamed_total', 'Records sent by topic tails.', ['kind']);
    metrics.gauges('topic_tails_open', 'Open topic tails, by kind.', ['kind'], () =>
      (['sse', 'socket'] as const).map((kind) => ({ labels: { kind }, value: this.#open[kind] })),
    );
  }

  /**
   * Finds the first offset of each partition.
   * @throws ServiceError BAD_REQUEST, UNKNOWN_TOPIC (also for the position of an earlier topic of the name),
   *   UNKNOWN_PARTITION, OFFSET_OUT_OF_RANGE (fields `partition`, `offset`, `logStartOffset`, `endOffset`)
   */
  async open(request: TopicTailRequest): Promise<TopicTail> {
    const { resume, offset, timestamp, topic: name } = request;
    if (offset !== undefined && timestamp !== undefined) {
      throw new ServiceError('BAD_REQUEST', 'Give offset or timestamp, not both.');
    }
    const text = resume ?? offset;
    const position = text?.includes(':') ? parsePosition(text) : undefined;
    const topicId = position?.topicId;
    // The topic may have been deleted and created again, and this broker may not have received the event yet.
    if (topicId !== undefined && (await this.#topics.get(name)).topicId !== topicId) {
      const fresh = await this.#topics.refresh(name);
      if (fresh.topicId !== topicId) throw earlierTopic(name, topicId);
    }
    return this.#topics.withTopic(name, async (topic) => {
      if (topicId !== undefined && topic.topicId !== topicId) throw earlierTopic(name, topicId);
      const cursors = await this.#startCursors(topic, request, position?.offsets);
      return new TopicTail(topic, cursors, request.partitions === undefined, {
        topics: this.#topics,
        reader: this.#reader,
        open: this.#open,
        sent: this.#sent,
      });
    });
  }

  async #startCursors(
    topic: TopicInfo,
    request: TopicTailRequest,
    named?: ReadonlyMap<number, number>,
  ): Promise<TailCursor[]> {
    const partitions = request.partitions ?? Array.from({ length: topic.partitionCount }, (_, partition) => partition);
    for (const partition of [...partitions, ...(named?.keys() ?? [])]) checkPartition(topic, partition);
    checkCount(topic, partitions.length);
    const foreign = [...(named?.keys() ?? [])].find((partition) => !partitions.includes(partition));
    if (foreign !== undefined) {
      throw new ServiceError(
        'BAD_REQUEST',
        `The position names partition ${foreign}, which is not among the partitions to read.`,
      );
    }
    const { offset = 'latest', timestamp } = request;
    if (!named && /^\d/.test(offset) && partitions.length !== 1) {
      throw new ServiceError(
        'BAD_REQUEST',
        `offset=${offset} is for one partition, but ${partitions.length} are read. Name one with partition, or give a position such as 0:15,1:7.`,
      );
    }
    const found = await this.#logs.bounds(partitions.map((partition) => ({ topicId: topic.topicId, partition })));
    return Promise.all(
      partitions.map(async (partition, index) => {
        const bounds = found[index];
        if (!bounds) throw unknownTopic(topic.name);
        const start = async () => {
          // Partitions that a position does not name were added after it.
          if (named) return named.get(partition) ?? 0;
          if (timestamp !== undefined) return (await this.#reader.offsetAt(topic, partition, timestamp)).offset;
          if (offset === 'earliest') return bounds.logStartOffset;
          return offset === 'latest' ? bounds.endOffset : Number(offset);
        };
        const cursor = { partition, offset: await start(), isAtEnd: false };
        // An offset found by timestamp may be behind the end offset that was read before.
        if (timestamp === undefined || named) checkRange(topic, cursor, bounds);
        cursor.isAtEnd = cursor.offset >= bounds.endOffset;
        return cursor;
      }),
    );
  }
}

interface TailParts {
  topics: TopicCache;
  reader: LogReader;
  /** How many tails are open, by kind. */
  open: Record<RecordSink['kind'], number>;
  sent: Counter<'kind'>;
}

export class TopicTail {
  #topic: TopicInfo;
  /** In the order of their partitions. */
  readonly #cursors: TailCursor[];
  readonly #takesNewPartitions: boolean;
  readonly #parts: TailParts;
  /** Partitions that may have records to read, the next one first; after a read a partition goes to the end of the queue. */
  readonly #ready: TailCursor[] = [];
  /** True at first, as the topic may have changed before the tail runs. */
  #topicHasChanged = true;
  readonly #roomWait = new RoomWait();
  #wake = (): void => undefined;

  constructor(topic: TopicInfo, cursors: TailCursor[], takesNewPartitions: boolean, parts: TailParts) {
    this.#topic = topic;
    this.#cursors = cursors.sort((a, b) => a.partition - b.partition);
    this.#takesNewPartitions = takesNewPartitions;
    this.#parts = parts;
  }

  /** Where to resume, as `resume` or `offset` of another request: all records before it were given to the sink. */
  get position(): string {
    return `${this.#topic.topicId}@${this.#cursors.map(({ partition, offset }) => `${partition}:${offset}`).join(',')}`;
  }

  /**
   * Sends records to `sink`, those of each partition in order, until `signal` is aborted; to be called once. Nothing is read while
   * the sink has no room. While the store is away it tries again.
   * @throws ServiceError UNKNOWN_TOPIC when the topic is deleted; OFFSET_OUT_OF_RANGE when the next records are deleted
   *   (fields `partition`, `offset`, `logStartOffset`, `endOffset`), BAD_REQUEST when there are too many partitions
   */
  async run(sink: RecordSink, signal: AbortSignal): Promise<void> {
    const wake = () => this.#wake();
    const { topics, open } = this.#parts;
    const ending = new AbortController();
    const end = () => ending.abort();
    const ended = ending.signal;
    if (signal.aborted) end();
    signal.addEventListener('abort', end, { once: true });
    const stopListening = topics.onChange((name) => {
      if (name !== this.#topic.name) return;
      this.#topicHasChanged = true;
      wake();
    });
    ended.addEventListener('abort', wake, { once: true });
    open[sink.kind] += 1;
    try {
      for (const cursor of this.#cursors) this.#enqueue(cursor, cursor.offset, ended);
      while (!ended.aborted) await this.#step(sink, ended);
    } finally {
      open[sink.kind] -= 1;
      stopListening();
      signal.removeEventListener('abort', end);
      // Ends the waits for appends.
      end();
    }
  }

  /** Does one step: follows a change of the topic, or reads the next partition, or waits until there is something to do. */
  async #step(sink: RecordSink, signal: AbortSignal): Promise<void> {
    try {
      if (this.#topicHasChanged) return await this.#followTopic(signal);
      // The step does not simply wait for room: a reader without room must still learn that the topic was deleted.
      const cursor = this.#roomWait.hasRoom(sink, () => this.#wake()) ? this.#ready[0] : undefined;
      if (cursor) return await this.#read(cursor, sink, signal);
    } catch (error) {
      if (!hasCode(error, 'STORE_UNAVAILABLE')) throw error;
      // The tail tries again itself, as it knows exactly what was sent; the reader could only reconnect.
      return pause(retryMs, undefined, { signal }).catch(() => undefined);
    }
    // No other code has run since the checks above, so no wake-up is missed.
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  async #read(cursor: TailCursor, sink: RecordSink, signal: AbortSignal): Promise<void> {
    const { topicId, name } = this.#topic;
    const { partition, offset } = cursor;
    const maxRecords = recordsToRequest(cursor, sink.credit());
    let fetched: FetchResult;
    try {
      const limits = { maxRecords, maxBytes: streamBytesMax };
      const askedAt = this.#roomWait.noteRead(cursor);
      fetched = await this.#parts.reader.fetch({ topic: this.#topic, partition, offset, ...limits, askedAt });
    } catch (error) {
      if (hasCode(error, 'UNKNOWN_TOPIC')) throw deleted(name, topicId);
      const { logStartOffset, endOffset } = findServiceError(error)?.fields ?? {};
      if (!hasCode(error, 'OFFSET_OUT_OF_RANGE')) throw error;
      throw outOfRange(this.#topic, cursor, { logStartOffset, endOffset } as LogBounds);
    }
    if (signal.aborted) return;
    this.#ready.shift();
    const records = takeWithinCredit(cursor, fetched, sink.credit());
    const { count } = records;
    this.#enqueue(cursor, fetched.endOffset, signal);
    if (count === 0) return;
    this.#parts.sent.inc({ kind: sink.kind }, count);
    sink.records(partition, records.array(), count, this.position);
  }

  /** Queues a partition for its next read: at once, or at the end of the log when more is appended. */
  #enqueue(cursor: TailCursor, endOffset: number, signal: AbortSignal): void {
    if (!cursor.isAtEnd) {
      this.#ready.push(cursor);
      return;
    }
    const log = { topicId: this.#topic.topicId, partition: cursor.partition, endOffset };
    void this.#parts.reader.waitForAppend([log], appendWaitMs, signal).then(() => {
      this.#ready.push(cursor);
      this.#wake();
    });
  }

  /** Checks that the topic was not deleted, and adds new partitions. */
  async #followTopic(signal: AbortSignal): Promise<void> {
    const { name, topicId } = this.#topic;
    // Before the read, as the topic may change again meanwhile.
    this.#topicHasChanged = false;
    try {
      const topic = await this.#parts.topics.get(name);
      if (topic.topicId !== topicId) throw deleted(name, topicId);
      this.#addPartitions(topic, signal);
    } catch (error) {
      if (hasCode(error, 'STORE_UNAVAILABLE')) this.#topicHasChanged = true;
      throw hasCode(error, 'UNKNOWN_TOPIC') ? deleted(name, topicId) : error;
    }
  }

  #addPartitions(topic: TopicInfo, signal: AbortSignal): void {
    if (!this.#takesNewPartitions || topic.partitionCount <= this.#cursors.length) return;
    checkCount(topic, topic.partitionCount);
    this.#topic = topic;
    for (let partition = this.#cursors.length; partition < topic.partitionCount; partition++) {
      const cursor = { partition, offset: 0, isAtEnd: false };
      this.#cursors.push(cursor);
      this.#enqueue(cursor, 0, signal);
    }
  }
}

/** Reads a position: `<topicId>@0:15,1:7`, or without the topic. @throws ServiceError BAD_REQUEST if it names a partition twice */
export function parsePosition(text: string): { topicId: string | undefined; offsets: Map<number, number> } {
  const at = text.indexOf('@');
  const pairs = text
    .slice(at + 1)
    .split(',')
    .map((pair) => pair.split(':').map(Number) as [partition: number, offset: number]);
  const offsets = new Map(pairs);
  if (offsets.size < pairs.length) throw new ServiceError('BAD_REQUEST', 'The position names a partition twice.');
  return { topicId: at < 0 ? undefined : text.slice(0, at), offsets };
}

function checkCount(topic: TopicInfo, count: number): void {
  if (count <= topicTailPartitionsMax) return;
  throw new ServiceError(
    'BAD_REQUEST',
    `Topic ${topic.name} has ${count} partitions to read; one stream reads at most ${topicTailPartitionsMax} partitions. Name some with partition, and open several streams.`,
  );
}

function checkRange(topic: TopicInfo, cursor: TailCursor, bounds: LogBounds): void {
  if (cursor.offset < bounds.logStartOffset || cursor.offset > bounds.endOffset)
    throw outOfRange(topic, cursor, bounds);
}

function outOfRange(topic: TopicInfo, { partition, offset }: TailCursor, bounds: LogBounds): ServiceError {
  const { logStartOffset, endOffset } = bounds;
  return new ServiceError(
    'OFFSET_OUT_OF_RANGE',
    `Offset ${offset} is out of range for partition ${partition} of topic ${topic.name}, whose log has offsets ${logStartOffset} to ${endOffset}. Start again with another offset.`,
    { topic: topic.name, partition, offset, logStartOffset, endOffset },
  );
}

/** The error of a position in a topic that was deleted. */
export function earlierTopic(name: string, topicId: string): ServiceError {
  return new ServiceError(
    'UNKNOWN_TOPIC',
    `The position is of an earlier topic ${name} with id ${topicId}, which was deleted. Start again without it.`,
    { topic: name, topicId },
  );
}

function deleted(name: string, topicId: string): ServiceError {
  return new ServiceError('UNKNOWN_TOPIC', `Topic ${name} with id ${topicId} was deleted.`, { topic: name, topicId });
}

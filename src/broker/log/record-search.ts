// Searches the logs of a topic: the newest records that match, or those from a moment on. A search reads the partitions in steps, and
// merges what it finds by time. It looks at a bounded number of bytes; its result tells where the next search goes on.
import type { SearchProgress } from '../../../schemas/record-search.ts';
import { hasCode } from '../../core/service-error.ts';
import type { TopicInfo } from '../metadata/topic-cache.ts';
import type { LogReader } from './log-reader.ts';

/** Where a search begins in one partition: it looks at offsets from `start` on, before `end`. */
export interface SearchRange {
  partition: number;
  start: number;
  end: number;
}

interface SearchRequest {
  topic: TopicInfo;
  ranges: readonly SearchRange[];
  /** Whether the newest are found first. */
  backwards: boolean;
  /** The most records to find. */
  count: number;
  /** How many bytes of records the search may look at; the last step may exceed it. */
  maxBytes: number;
  /** @param json the JSON of a record after its offset, with the opening brace */
  matches(json: string): boolean;
  /** Does the work of one step, of so many bytes at most, when it may. */
  step<T>(bytes: number, work: () => Promise<T>): Promise<T>;
  /** Whether the search is to end after the step that it is in. */
  isStopped(): boolean;
}

export type SearchEvent =
  | { kind: 'record'; json: string }
  | { kind: 'progress'; progress: SearchProgress }
  /** `next` = the rest, for another search; undefined if everything was looked at. */
  | { kind: 'end'; progress: SearchProgress; next: SearchRange[] | undefined };

/** What is read of one partition at a time. */
const stepBytes = 256 * 1024;
const stepRecordsMax = 4096;
/** Without knowledge of the size of records, so few are read. */
const firstStepRecords = 4;
/** Partitions that are read at the same time. */
const partitionsAtOnce = 4;
/** When so many bytes of records wait for their turn, the order by time is given up in their favour. */
const waitingBytesMax = 1024 * 1024;

interface Match {
  offset: number;
  timestamp: number;
  json: string;
}

/** One partition of a search. */
class Cursor {
  readonly partition: number;
  /** What was not looked at yet. */
  start: number;
  end: number;
  /** Found, and not passed on yet; the first one is at the end. */
  readonly waiting: Match[] = [];
  stepRecords = firstStepRecords;

  constructor({ partition, start, end }: SearchRange) {
    this.partition = partition;
    this.start = start;
    this.end = end;
  }

  get isRead(): boolean {
    return this.start >= this.end;
  }

  /** What is left for another search; undefined if nothing is. */
  rest(backwards: boolean): SearchRange | undefined {
    const { partition } = this;
    const first = this.waiting.at(-1)?.offset;
    const range = backwards
      ? { partition, start: this.start, end: first === undefined ? this.end : first + 1 }
      : { partition, start: first ?? this.start, end: this.end };
    return range.start < range.end ? range : undefined;
  }
}

/** @throws ServiceError UNKNOWN_TOPIC if the topic was deleted; STORE_UNAVAILABLE */
export async function* searchRecords(reader: LogReader, request: SearchRequest): AsyncGenerator<SearchEvent> {
  const { backwards, count, maxBytes } = request;
  const cursors = request.ranges.map((range) => new Cursor(range));
  const progress: SearchProgress = { records: 0, bytes: 0, found: 0 };
  const waitingBytes = () =>
    cursors.reduce((sum, { waiting }) => sum + waiting.reduce((n, { json }) => n + json.length, 0), 0);
  let isEnding = false;
  while (progress.found < count) {
    const unread = cursors.filter((cursor) => cursor.waiting.length === 0 && !cursor.isRead);
    if (!isEnding && unread.length > 0 && waitingBytes() < waitingBytesMax) {
      // What waits is passed on all the same, as another search would have to find it again.
      isEnding = progress.bytes >= maxBytes || request.isStopped();
      if (isEnding) continue;
      const toRead = unread.slice(0, partitionsAtOnce);
      await request.step(toRead.length * stepBytes, () =>
        Promise.all(toRead.map((cursor) => readStep(reader, request, cursor, progress))),
      );
      yield { kind: 'progress', progress: { ...progress } };
      continue;
    }
    const next = firstOf(cursors, backwards);
    if (next === undefined) break;
    progress.found += 1;
    yield { kind: 'record', json: next.match.json };
  }
  const rest = cursors.flatMap((cursor) => cursor.rest(backwards) ?? []);
  yield { kind: 'end', progress: { ...progress }, next: rest.length > 0 ? rest : undefined };
}

/** Takes the record that comes first by time among those that wait. */
function firstOf(cursors: readonly Cursor[], backwards: boolean): { cursor: Cursor; match: Match } | undefined {
  let first: { cursor: Cursor; match: Match } | undefined;
  for (const cursor of cursors) {
    const match = cursor.waiting.at(-1);
    if (match === undefined) continue;
    const isBefore =
      first === undefined ||
      (backwards ? match.timestamp > first.match.timestamp : match.timestamp < first.match.timestamp);
    if (isBefore) first = { cursor, match };
  }
  first?.cursor.waiting.pop();
  return first;
}

/** Looks at the next records of a partition. */
async function readStep(
  reader: LogReader,
  { topic, backwards, count, matches }: SearchRequest,
  cursor: Cursor,
  progress: SearchProgress,
): Promise<void> {
  const { partition, stepRecords } = cursor;
  const from = backwards ? Math.max(cursor.start, cursor.end - stepRecords) : cursor.start;
  const end = backwards ? cursor.end : Math.min(cursor.end, cursor.start + stepRecords);
  const found: Match[] = [];
  let [bytes, offset] = [0, from];
  while (offset < end) {
    const read = await fetchStep(reader, { topic, partition, offset, end });
    if (read === undefined) break;
    offset = read.nextOffset;
    bytes += read.bytes;
    for (const record of read.records) {
      progress.records += 1;
      const json = `{${record.line}`;
      if (!matches(json)) continue;
      const written = `{"partition":${partition},"offset":${record.offset},${record.line}`;
      found.push({ offset: record.offset, timestamp: timestampIn(record.line), json: written });
    }
  }
  progress.bytes += bytes;
  const bytesEach = Math.max(1, bytes / (end - from));
  cursor.stepRecords = Math.max(1, Math.min(stepRecordsMax, stepRecords * 4, Math.floor(stepBytes / bytesEach)));
  if (backwards) cursor.end = from;
  else cursor.start = end;
  // What cannot be passed on any more is not kept: another search finds it again.
  const last = backwards ? found.at(-count) : found[count - 1];
  if (found.length > count && last !== undefined) {
    found.splice(backwards ? 0 : count, found.length - count);
    if (backwards) cursor.end = last.offset;
    else cursor.start = last.offset + 1;
  }
  // The first to be passed on is at the end.
  cursor.waiting.push(...(backwards ? found : found.reverse()));
}

/** Reads some records; undefined if they were deleted meanwhile. */
async function fetchStep(
  reader: LogReader,
  { topic, partition, offset, end }: { topic: TopicInfo; partition: number; offset: number; end: number },
) {
  const request = { topic, partition, offset, end, maxRecords: end - offset, maxBytes: stepBytes };
  try {
    const { records, nextOffset } = await reader.fetch(request);
    // At the end of the log the next offset is that of the log, whatever was asked for.
    return {
      records: records.records,
      bytes: records.bytes,
      nextOffset: Math.min(Math.max(nextOffset, offset + 1), end),
    };
  } catch (error) {
    if (!hasCode(error, 'OFFSET_OUT_OF_RANGE')) throw error;
    const { logStartOffset } = (error as { fields: { logStartOffset?: number } }).fields;
    if (logStartOffset === undefined || logStartOffset >= end || logStartOffset <= offset) return undefined;
    return { records: [], bytes: 0, nextOffset: logStartOffset };
  }
}

/** Each stored line begins with the timestamp of its record. */
function timestampIn(line: string): number {
  return Number(/^"timestamp":(\d+)/.exec(line)?.[1]);
}

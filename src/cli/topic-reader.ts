// Reads a topic without a group: to the end that it had at the beginning, or without an end.
import type { LogRecord, TailOptions } from '@weirkeeper/client';
import type { Fetched, TopicOffsets } from './api.ts';
import type { Cli } from './cli.ts';
import { CliError, exitCodes, usageError } from './errors.ts';
import type { Start } from './moments.ts';
import type { PlacedRecord } from './record-text.ts';
import { queryText, resourcePath } from './requests.ts';

/** Records of one fetch. */
const fetchRecords = 1000;
/** The search takes no more at a time. */
const searchMax = 1000;

interface Reading {
  topic: string;
  start: Start;
  partitions?: readonly number[];
  /** End where the partitions ended at the beginning. */
  untilEnd: boolean;
}

/** The records of a topic from `start` on, those of a partition in order. */
export async function* readTopic(cli: Cli, reading: Reading): AsyncGenerator<PlacedRecord, void, undefined> {
  const { topic, start, partitions, untilEnd } = reading;
  if ('last' in start) {
    yield* readLast(cli, reading, start.last);
    return;
  }
  if (untilEnd) {
    const ends = await offsetsAt(cli, topic, 'latest', partitions);
    const begins = await beginsOf(cli, topic, start, ends);
    yield* fetchAll(cli, topic, begins, ends);
    return;
  }
  if ('offset' in start) {
    if (partitions?.length !== 1) throw usageError('An offset is one of a partition: say which with -p.');
    yield* tail(cli, topic, { position: `${partitions[0]}:${start.offset}` }, partitions);
  } else if ('timestamp' in start) yield* tail(cli, topic, { timestamp: start.timestamp }, partitions);
  else yield* tail(cli, topic, start.at, partitions);
}

/** The last records of all partitions, and then, unless it shall end, what is appended after them. */
async function* readLast(
  cli: Cli,
  { topic, partitions, untilEnd }: Reading,
  count: number,
): AsyncGenerator<PlacedRecord, void, undefined> {
  const ends = await offsetsAt(cli, topic, 'latest', partitions);
  const found: PlacedRecord[] = [];
  let position: string | undefined;
  do {
    const page = await search(cli, topic, {
      last: Math.min(searchMax, count - found.length),
      partition: partitions?.join(','),
      position,
    });
    // What was appended meanwhile comes with the tail.
    found.push(...page.records.filter((record) => record.offset < (ends.get(record.partition) ?? 0)));
    position = page.next;
  } while (position !== undefined && found.length < count);
  yield* found.reverse();
  if (untilEnd) return;
  const at = [...ends].map(([partition, offset]) => `${partition}:${offset}`).join(',');
  yield* tail(cli, topic, { position: at }, partitions);
}

async function search(
  cli: Cli,
  topic: string,
  query: { [name: string]: string | number | undefined },
): Promise<{ records: PlacedRecord[]; next: string | undefined }> {
  const response = await cli.send({ path: resourcePath('topics', topic, `/records${queryText(query)}`) });
  const lines = (await response.text()).split('\n').filter((line) => line !== '');
  const frames = lines.map(
    (line) => JSON.parse(line) as (LogRecord & { partition: number }) | { end: { next?: string } },
  );
  const records = frames.flatMap((frame) => ('offset' in frame ? [{ topic, ...frame }] : []));
  const end = frames.find((frame) => 'end' in frame);
  return { records, next: end && 'end' in end ? end.end.next : undefined };
}

async function* tail(
  cli: Cli,
  topic: string,
  from: NonNullable<TailOptions['from']>,
  partitions: readonly number[] | undefined,
): AsyncGenerator<PlacedRecord, void, undefined> {
  const weir = await cli.weir();
  const options = { from, signal: cli.signal, ...(partitions && { partitions }) };
  for await (const { position: _, partition, ...record } of weir.tail(topic, options))
    yield { topic, partition, ...record };
}

/** By partition: the offset at an end of its log, or at a moment. */
async function offsetsAt(
  cli: Cli,
  topic: string,
  at: 'earliest' | 'latest' | number,
  wanted: readonly number[] | undefined,
): Promise<Map<number, number>> {
  const { partitions } = await cli.json<TopicOffsets>({
    path: resourcePath('topics', topic, `/offsets${queryText({ at })}`),
  });
  const missing = wanted?.find((partition) => !partitions.some((each) => each.partition === partition));
  if (missing !== undefined) throw new CliError(`Topic ${topic} has no partition ${missing}.`, exitCodes.notFound);
  return new Map(
    partitions
      .filter(({ partition }) => !wanted || wanted.includes(partition))
      .map(({ partition, offset }) => [partition, offset]),
  );
}

async function beginsOf(
  cli: Cli,
  topic: string,
  start: Exclude<Start, { last: number }>,
  ends: ReadonlyMap<number, number>,
): Promise<Map<number, number>> {
  const wanted = [...ends.keys()];
  if ('at' in start) return offsetsAt(cli, topic, start.at, wanted);
  if ('timestamp' in start) return offsetsAt(cli, topic, start.timestamp, wanted);
  return new Map(wanted.map((partition) => [partition, start.offset]));
}

/** Fetches from each partition in turn, until each has come to its end. */
async function* fetchAll(
  cli: Cli,
  topic: string,
  begins: ReadonlyMap<number, number>,
  ends: ReadonlyMap<number, number>,
): AsyncGenerator<PlacedRecord, void, undefined> {
  const left = new Map([...begins].filter(([partition, offset]) => offset < (ends.get(partition) ?? 0)));
  while (left.size > 0) {
    for (const [partition, offset] of [...left]) {
      const end = ends.get(partition) ?? 0;
      const query = queryText({ offset, maxRecords: fetchRecords });
      const page = await cli.json<Fetched>({
        path: resourcePath('topics', topic, `/partitions/${partition}/records${query}`),
      });
      for (const record of page.records) {
        if (record.offset < end) yield { topic, partition, ...(record as LogRecord) };
      }
      // Without progress there is nothing more to come.
      if (page.nextOffset >= end || page.nextOffset <= offset) left.delete(partition);
      else left.set(partition, page.nextOffset);
    }
  }
}

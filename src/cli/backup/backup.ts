// Reads what a server stores, and writes it as a backup: the user's tree, the committed offsets of groups, topics with their settings and
// records. It holds a page of records, or a line, at a time.
import { randomUUID } from 'node:crypto';
import type { Weir } from '@weirkeeper/client';
import { CliError } from '../errors.ts';
import type { BackupWriter } from './backup-file.ts';
import type { EndCounts, TopicLine } from './backup-lines.ts';

/** Bytes of records in one request. */
const pageBytes = 4 * 1024 * 1024;

interface BackupOptions {
  /** The subtree; undefined: no nodes. */
  path: string | undefined;
  /** Whether a topic belongs to the backup. */
  includes(topic: string): boolean;
  signal: AbortSignal;
  /** Told of what was written. */
  progress(done: Progress): void;
}

export interface Progress {
  records: number;
  /** An estimate: those that compaction has removed are counted. */
  recordsInAll: number;
  nodes: number;
  bytes: number;
}

type Http = Weir['http'];

/** @throws CliError if a log cannot be read; WeirError */
export async function backUp(weir: Weir, writer: BackupWriter, options: BackupOptions): Promise<EndCounts> {
  const { http } = weir;
  const { signal, path } = options;
  const counts: EndCounts = { nodes: 0, offsets: 0, topics: 0, records: 0, ephemerals: 0, unreadable: 0 };
  const { clusterId } = await http.json<{ clusterId: string }>({ path: '/v1/cluster', signal });
  const id = randomUUID();
  await writer.line({ type: 'backup', version: 1, id, clusterId, createdAt: new Date().toISOString() });
  let recordsInAll = 0;
  const tell = () => {
    const { records, nodes } = counts;
    options.progress({ records, recordsInAll, nodes, bytes: writer.bytes });
  };
  if (path !== undefined) await writeNodes(weir, writer, path, counts, signal, tell);
  // Before the ends of the logs are read, so that no committed offset is behind them.
  for await (const group of pagesOf<{ groupId: string }>(http, '/v1/groups', 'groups', signal)) {
    counts.offsets += await writeOffsets(http, writer, group.groupId, options);
  }
  const topics: TopicLine[] = [];
  for await (const { name } of pagesOf<{ name: string }>(http, '/v1/topics', 'topics', signal)) {
    const topic = options.includes(name) ? await describe(http, name, signal) : undefined;
    if (!topic) continue;
    topics.push(topic);
    await writer.line(topic);
    recordsInAll += topic.partitions.reduce((sum, { start, end }) => sum + end - start, 0);
  }
  counts.topics = topics.length;
  for (const { name, partitions } of topics) {
    for (const [partition, range] of partitions.entries()) {
      for await (const { text, count } of pagesOfLog(http, name, partition, range, signal)) {
        await writer.text(text, count);
        counts.records += count;
        tell();
      }
    }
  }
  await writer.finish(counts);
  tell();
  return counts;
}

async function writeNodes(
  weir: Weir,
  writer: BackupWriter,
  path: string,
  counts: EndCounts,
  signal: AbortSignal,
  tell: () => void,
): Promise<void> {
  const nodes = weir.tree.export(path, { signal });
  for (;;) {
    const { done, value } = await nodes.next();
    if (done) {
      counts.ephemerals = value.ephemerals;
      counts.unreadable = value.unreadable;
      return;
    }
    await writer.line({ type: 'node', node: value });
    counts.nodes += 1;
    if (counts.nodes % 1000 === 0) tell();
  }
}

async function writeOffsets(
  http: Http,
  writer: BackupWriter,
  group: string,
  { includes, signal }: BackupOptions,
): Promise<number> {
  const path = `/v1/groups/${encodeURIComponent(group)}/offsets`;
  const { offsets } = await http.json<{
    offsets: { topic: string; partition: number; offset: number; metadata?: string }[];
  }>({ path, signal });
  const kept = offsets.filter(({ topic }) => includes(topic));
  for (const { topic, partition, offset, metadata } of kept) {
    await writer.line({
      type: 'offset',
      group,
      topic,
      partition,
      offset,
      ...(metadata !== undefined && metadata !== '' && { metadata }),
    });
  }
  return kept.length;
}

/** @returns undefined if it was deleted meanwhile @throws CliError if a log cannot be read: a backup without it would look complete */
async function describe(http: Http, name: string, signal: AbortSignal): Promise<TopicLine | undefined> {
  const { isWeirError } = await import('@weirkeeper/client');
  try {
    const { config, partitions } = await http.json<{
      config: TopicLine['config'];
      partitions: { partition: number; logStartOffset: number | null; endOffset: number | null; replicas: number[] }[];
    }>({ path: `/v1/topics/${name}`, signal });
    const ranges = partitions.map(({ partition, logStartOffset: start, endOffset: end }) => {
      if (start !== null && end !== null) return { start, end };
      const detail = `Partition ${partition} of topic ${name} cannot be read now, so the backup would not be complete.`;
      throw new CliError(`${detail} Wait until its Redis server is back, or leave the topic out with --topics.`);
    });
    const replicationFactor = Math.max(...partitions.map(({ replicas }) => replicas.length));
    return { type: 'topic', name, config, replicationFactor, partitions: ranges };
  } catch (error) {
    if (isWeirError(error, 'UNKNOWN_TOPIC')) return undefined;
    throw error;
  }
}

/** The records of a partition, in texts of whole lines. The next page is read while the caller writes one. */
async function* pagesOfLog(
  http: Http,
  topic: string,
  partition: number,
  { start, end }: { start: number; end: number },
  signal: AbortSignal,
): AsyncGenerator<{ text: string; count: number }, void, undefined> {
  if (start >= end) return;
  const head = `{"type":"record","topic":"${topic}","partition":${partition},"record":`;
  let at = start;
  let next: Promise<Page> | undefined = readPage(http, topic, partition, at, signal);
  while (next !== undefined) {
    const { lines, nextOffset } = await next;
    next = undefined;
    // A log that ends before its end has lost its last records with its Redis server.
    const goesOn = nextOffset > at && nextOffset < end;
    at = nextOffset;
    if (goesOn) {
      next = readPage(http, topic, partition, at, signal);
      // Its failure is seen when it is awaited; the caller may end before that.
      next.catch(() => {});
    }
    // What was appended since the backup began is not part of it.
    const kept = nextOffset <= end ? lines : lines.filter((line) => Number(/^\{"offset":(\d+)/.exec(line)?.[1]) < end);
    if (kept.length > 0) yield { text: kept.map((line) => `${head}${line}}\n`).join(''), count: kept.length };
  }
}

interface Page {
  lines: string[];
  nextOffset: number;
}

async function readPage(
  http: Http,
  topic: string,
  partition: number,
  from: number,
  signal: AbortSignal,
): Promise<Page> {
  const { isWeirError } = await import('@weirkeeper/client');
  const path = `/v1/topics/${topic}/partitions/${partition}/records?maxRecords=100000&maxBytes=${pageBytes}&offset=`;
  const headers = { accept: 'application/x-ndjson' };
  try {
    const response = await http.send({ path: path + from, headers, signal });
    const lines = (await response.text()).split('\n').filter((line) => line !== '');
    return { lines, nextOffset: Number(response.headers.get('weir-next-offset')) };
  } catch (error) {
    if (!isWeirError(error, 'OFFSET_OUT_OF_RANGE')) throw error;
    // Retention has removed them since the topic was described.
    const { logStartOffset } = error.fields as { logStartOffset: number };
    if (logStartOffset <= from) throw error;
    return { lines: [], nextOffset: logStartOffset };
  }
}

/** All items of a list that comes in pages. */
async function* pagesOf<T>(
  http: Http,
  path: string,
  name: string,
  signal: AbortSignal,
): AsyncGenerator<T, void, undefined> {
  for (let after: string | undefined = ''; after !== undefined; ) {
    const query: string = after === '' ? '' : `?after=${encodeURIComponent(after)}`;
    const page: { [field: string]: unknown; next?: string } = await http.json({ path: path + query, signal });
    yield* page[name] as T[];
    after = page.next;
  }
}

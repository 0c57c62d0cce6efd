// The first pass over a backup: checks that it is complete, and finds what the restore needs to know before it writes anything.
import { usageError } from '../errors.ts';
import { readBackup } from './backup-file.ts';
import type { HeaderLine, OffsetLine, RecordLine, TopicLine } from './backup-lines.ts';

/** A committed offset, as it is in the restored log. */
export interface MappedOffset {
  group: string;
  topic: string;
  partition: number;
  offset: number;
  metadata?: string;
}

export interface RestorePlan {
  header: HeaderLine;
  topics: (TopicLine & { records: number; expired: number })[];
  offsets: MappedOffset[];
  nodes: number;
  records: number;
  /** The path at the top of the nodes. */
  top: string | undefined;
}

interface Commit extends OffsetLine {
  /** In the restored log; known when the records before it are. */
  mapped: number | undefined;
}

/**
 * Reads a backup from its first line to its last.
 * @param prefix stands before the names of restored topics and groups
 * @throws CliError if it is no complete backup, or a name becomes too long
 */
export async function planRestore(path: string, prefix: string, now = Date.now()): Promise<RestorePlan> {
  let header: HeaderLine | undefined;
  const topics = new Map<string, TopicLine & { records: number; expired: number }>();
  const commits: Commit[] = [];
  /** By topic and partition: the commits, in the order of their offsets, and the number of records so far. */
  const logs = new Map<string, LogCommits>();
  let nodes = 0;
  let records = 0;
  let top: string | undefined;
  const logOf = (topic: string, partition: number) => {
    const key = `${topic}/${partition}`;
    const log = logs.get(key) ?? new LogCommits();
    logs.set(key, log);
    return log;
  };
  for await (const line of readBackup(path)) {
    switch (line.type) {
      case 'backup':
        header = line;
        break;
      case 'node':
        top ??= line.node.path;
        nodes += 1;
        break;
      case 'offset': {
        const commit = { ...line, mapped: undefined };
        commits.push(commit);
        logOf(line.topic, line.partition).add(commit);
        break;
      }
      case 'topic':
        checkLength('topic', prefix + line.name);
        topics.set(line.name, { ...line, records: 0, expired: 0 });
        break;
      case 'record': {
        const topic = topics.get(line.topic);
        if (!topic) throw usageError(`${path} has a record of ${line.topic}, which is no topic of it.`);
        topic.records += 1;
        records += 1;
        if (isExpired(topic, line, now)) topic.expired += 1;
        logOf(line.topic, line.partition).passed(line.offset);
      }
    }
  }
  if (!header) throw usageError(`${path} is empty.`);
  for (const log of logs.values()) log.ended();
  for (const { group } of commits) checkLength('group', prefix + group);
  return {
    header,
    topics: [...topics.values()],
    offsets: commits.map(({ group, topic, partition, mapped = 0, metadata }) => ({
      group,
      topic,
      partition,
      offset: mapped,
      ...(metadata !== undefined && { metadata }),
    })),
    nodes,
    records,
    top,
  };
}

/**
 * Finds where committed offsets are in the restored log. That begins at 0 and has no gaps, while retention has removed the beginning of
 * the log that was read, and compaction records in its middle: so an offset becomes the number of records before it.
 */
class LogCommits {
  #commits: Commit[] = [];
  #isSorted = true;
  #next = 0;
  #records = 0;

  add(commit: Commit): void {
    this.#commits.push(commit);
    this.#isSorted = false;
  }

  /** The next record of the log. */
  passed(offset: number): void {
    if (!this.#isSorted) {
      this.#commits.sort((a, b) => a.offset - b.offset);
      this.#isSorted = true;
    }
    for (
      let commit = this.#commits[this.#next];
      commit && commit.offset <= offset;
      commit = this.#commits[this.#next]
    ) {
      commit.mapped = this.#records;
      this.#next += 1;
    }
    this.#records += 1;
  }

  ended(): void {
    for (const commit of this.#commits) commit.mapped ??= this.#records;
  }
}

/** Whether retention will remove a record as soon as its topic has its settings again. */
function isExpired({ config }: TopicLine, { text }: RecordLine, now: number): boolean {
  const retentionMs = Number(config['retention.ms'] ?? -1);
  if (retentionMs < 0 || !String(config['cleanup.policy']).includes('delete')) return false;
  const timestamp = /^\{"timestamp":(\d+)/.exec(text)?.[1];
  return timestamp !== undefined && Number(timestamp) < now - retentionMs;
}

const nameLengthMax = 249;

function checkLength(what: string, name: string): void {
  if (name.length <= nameLengthMax) return;
  throw usageError(
    `The ${what} ${name} would have ${name.length} characters; a name has at most ${nameLengthMax}. Use a shorter --topic-prefix.`,
  );
}

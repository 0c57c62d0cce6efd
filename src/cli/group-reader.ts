// Consumes topics as a member of a group: each record is handled, then committed; the member commits before it leaves.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Consumer, RecordBatch, Weir } from '@weirkeeper/client';
import type { Group } from './api.ts';
import type { Cli } from './cli.ts';
import { CliError, usageError } from './errors.ts';
import { keyBytes, type PlacedRecord, valueBytes } from './record-text.ts';
import { resourcePath } from './requests.ts';

interface MemberOptions {
  group: string;
  from?: string;
  count?: number;
  /** End once the group has read everything. */
  exit?: boolean;
  commit: 'auto' | 'none';
  /** A shell command for each record, in place of printing it. */
  exec?: string;
  member?: string;
}

type Handle = (record: PlacedRecord) => Promise<void>;

/** How often a member that shall end with the topic looks whether it has read everything. */
const lagCheckMs = 300;

/** Consumes until the user ends it, so many records are handled, or everything was read. @throws CliError if the command of --exec fails */
export async function consumeAsMember(
  cli: Cli,
  topics: readonly string[],
  options: MemberOptions,
  print: Handle,
): Promise<void> {
  const { group, from = 'latest', exec, member, commit } = options;
  if (from !== 'earliest' && from !== 'latest') {
    throw usageError(
      `--from is "${from}"; for a group it is earliest or latest. weir group reset moves a group elsewhere.`,
    );
  }
  const weir = await cli.follow();
  const consumer = weir.consumer({
    group,
    topics,
    reset: from,
    commit: 'manual',
    ...(member !== undefined && { memberId: member }),
  });
  consumer.on('assigned', (partitions) => {
    const names = partitions.map(({ topic, partitions: all }) => `${topic}:${all.join(',')}`);
    cli.out.note(`Assigned: ${names.length === 0 ? 'no partitions' : names.join(' ')}`);
    if (names.length === 0) void noteWhy(cli, weir, group, topics);
  });
  consumer.on('lost', () =>
    cli.out.note('Partitions were taken away before they were released: others read the same records.'),
  );
  const run = new MemberRun(
    cli,
    consumer,
    commit === 'auto',
    exec === undefined ? print : (record) => runFor(cli, exec, record),
  );
  await run.until(options.count ?? Number.POSITIVE_INFINITY, options.exit ? group : undefined);
}

/** Says why a member has no partitions: a topic does not exist, for which it waits as in Kafka, or other members have all partitions. */
async function noteWhy(cli: Cli, weir: Weir, group: string, topics: readonly string[]): Promise<void> {
  const { isWeirError } = await import('@weirkeeper/client');
  let isMissing = false;
  for (const topic of topics) {
    try {
      await weir.admin.topics.describe(topic);
    } catch (error) {
      // Whatever else is wrong, the member itself fails of it, and says so.
      if (!isWeirError(error, 'UNKNOWN_TOPIC')) return;
      cli.out.note(`Topic ${topic} does not exist yet; this member waits for it.`);
      isMissing = true;
    }
  }
  if (isMissing) return;
  cli.out.note(
    `Other members of group ${group} have all partitions; this one gets its share when they release them, or when their sessions end.`,
  );
}

/** One run of a member. */
class MemberRun {
  readonly #cli: Cli;
  readonly #consumer: Consumer;
  readonly #isCommitting: boolean;
  readonly #handle: Handle;
  /** By partition: behind what was handled. */
  readonly #positions = new Map<string, number>();
  #isBusy = false;

  constructor(cli: Cli, consumer: Consumer, isCommitting: boolean, handle: Handle) {
    this.#cli = cli;
    this.#consumer = consumer;
    this.#isCommitting = isCommitting;
    this.#handle = handle;
  }

  /** @param untilEnd the group, if the run ends once that has read everything */
  async until(count: number, untilEnd: string | undefined): Promise<void> {
    const { signal } = this.#cli;
    // A member that waits for records is woken by its end; one that handles some finishes them first.
    const end = () => {
      if (!this.#isBusy) void this.#consumer.close();
    };
    signal.addEventListener('abort', end, { once: true });
    const watcher = untilEnd === undefined ? undefined : this.#endWithTheTopic(untilEnd);
    let left = count;
    try {
      for await (const batch of this.#consumer) {
        this.#isBusy = true;
        left -= await this.#work(batch, left);
        this.#isBusy = false;
        if (left <= 0 || signal.aborted) break;
      }
    } finally {
      watcher?.stop();
      signal.removeEventListener('abort', end);
      await this.#consumer.close();
    }
    this.#cli.throwUnlessEnded();
  }

  /** Handles the records of a batch, and commits those that were handled. @returns how many */
  async #work(batch: RecordBatch, max: number): Promise<number> {
    let done = 0;
    try {
      for (const record of batch.records) {
        if (done >= max || this.#cli.signal.aborted) break;
        await this.#handle({ topic: batch.topic, partition: batch.partition, ...record });
        done += 1;
      }
    } finally {
      const last = batch.records[done - 1];
      if (last) {
        const next = done === batch.records.length ? batch.nextOffset : last.offset + 1;
        this.#positions.set(`${batch.topic}:${batch.partition}`, next);
        if (this.#isCommitting) await batch.commit(next);
      }
    }
    return done;
  }

  /** Whether the group has committed everything, or this member has handled it. */
  async #hasReadAll(group: string): Promise<boolean> {
    const { state, partitions } = await this.#cli.json<Group>({ path: resourcePath('groups', group) });
    if (state !== 'stable') return false;
    return partitions.every(({ topic, partition, lag, endOffset }) => {
      const position = this.#positions.get(`${topic}:${partition}`) ?? 0;
      return lag === 0 || (endOffset !== null && position >= endOffset);
    });
  }

  /** Closes the consumer once everything was read, and nothing is being handled. */
  #endWithTheTopic(group: string): { stop(): void } {
    let isOver = false;
    const look = async () => {
      while (!isOver) {
        await this.#cli.sleep(lagCheckMs);
        if (this.#isBusy || isOver) continue;
        if (await this.#hasReadAll(group)) {
          await this.#consumer.close();
          return;
        }
      }
    };
    look().catch(() => {});
    return {
      stop: () => {
        isOver = true;
      },
    };
  }
}

/** Runs a shell command with a value on its stdin. @throws CliError if it fails */
async function runFor(cli: Cli, command: string, record: PlacedRecord): Promise<void> {
  const child = spawn('/bin/sh', ['-c', command], {
    stdio: ['pipe', 'inherit', 'inherit'],
    env: {
      ...cli.io.env,
      WEIR_RECORD_TOPIC: record.topic,
      WEIR_RECORD_PARTITION: String(record.partition),
      WEIR_RECORD_OFFSET: String(record.offset),
      WEIR_RECORD_KEY: String(keyBytes(record)),
      WEIR_RECORD_TIMESTAMP: String(record.timestamp),
    },
  });
  // A command that does not read its stdin has still succeeded.
  child.stdin.on('error', () => {});
  child.stdin.end(valueBytes(record));
  const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
  if (code === 0) return;
  throw new CliError(
    `The command ended with ${signal ?? code} for ${record.topic}:${record.partition}:${record.offset}; the record is not committed.`,
  );
}

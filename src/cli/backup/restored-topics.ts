// Topics while they are restored. A node for each tells a restore that is repeated which of them are its own; how many records a log has
// tells which are still to come.
import type { Weir } from '@weirkeeper/client';
import { CliError, exitCodes } from '../errors.ts';
import type { TopicLine } from './backup-lines.ts';

type Http = Weir['http'];

/** Settings that would change, refuse or remove records while they are appended; the topic gets its own ones in the end. */
const settingsMeanwhile = {
  'cleanup.policy': 'delete',
  'message.timestamp.type': 'CreateTime',
  'message.timestamp.before.max.ms': Number.MAX_SAFE_INTEGER,
  'message.timestamp.after.max.ms': -1,
  'retention.ms': -1,
  'retention.bytes': -1,
};

/** Room for what a record had from its batch, and has by itself now. */
const messageBytesMin = 2 * 1024 * 1024;

export class RestoredTopics {
  readonly #weir: Weir;
  readonly #http: Http;
  readonly #root: string;
  readonly #signal: AbortSignal;
  #brokers: Promise<number> | undefined;

  /** @param backupId names the backup @param signal ends requests */
  constructor(weir: Weir, backupId: string, signal: AbortSignal) {
    this.#weir = weir;
    this.#http = weir.http;
    this.#root = `/weir-restore-${backupId}`;
    this.#signal = signal;
  }

  /** Whether a topic is there that was not made by an earlier, interrupted run of this restore. */
  async isForeign(name: string): Promise<boolean> {
    const topic = await this.#find(name);
    if (!topic) return false;
    const note = await this.#weir.tree.get(`${this.#root}/${name}`, { signal: this.#signal });
    return note === undefined || (note.text !== '' && note.text !== topic.topicId);
  }

  /**
   * Creates a topic, unless an earlier run has.
   * @returns how many records each partition has already
   * @throws CliError if it belongs to somebody else
   */
  async open(line: TopicLine, name: string): Promise<number[]> {
    if (await this.isForeign(name))
      throw new CliError(`The topic ${name} has been created meanwhile by somebody else.`, exitCodes.conflict);
    const topic = (await this.#find(name)) ?? (await this.#create(name, line));
    return topic.partitions.map(({ partition, endOffset }) => {
      if (endOffset !== null) return endOffset;
      throw new CliError(
        `Partition ${partition} of topic ${name} cannot be read now. Run the same command again later.`,
        exitCodes.unreachable,
      );
    });
  }

  /** How many replicas the partitions of a topic get: as many as they had, as far as there are brokers. */
  async replicationFactorOf({ replicationFactor = 1 }: TopicLine): Promise<number> {
    this.#brokers ??= this.#http
      .json<{ brokers: unknown[] }>({ path: '/v1/brokers', signal: this.#signal })
      .then(({ brokers }) => brokers.length);
    return Math.max(1, Math.min(replicationFactor, await this.#brokers));
  }

  async #create(name: string, line: TopicLine): Promise<TopicFound> {
    const { config, partitions } = line;
    // Noted before it is made: a run that is interrupted in between finds its topic.
    const options = { create: true, signal: this.#signal };
    await this.#weir.tree.set(`${this.#root}/${name}`, '', options);
    const bytes = Math.max(Number(config['max.message.bytes']), messageBytesMin);
    const body = {
      name,
      partitions: partitions.length,
      replicationFactor: await this.replicationFactorOf(line),
      config: { ...config, ...settingsMeanwhile, 'max.message.bytes': bytes },
    };
    const topic = await this.#http.json<TopicFound>({ method: 'POST', path: '/v1/topics', body, signal: this.#signal });
    await this.#weir.tree.set(`${this.#root}/${name}`, topic.topicId, options);
    return topic;
  }

  /** Gives a topic its own settings. */
  async close({ config }: TopicLine, name: string, keepsAll: boolean): Promise<void> {
    const settings = { ...config, ...(keepsAll && { 'retention.ms': -1, 'retention.bytes': -1 }) };
    await this.#http.json({
      method: 'PATCH',
      path: `/v1/topics/${name}`,
      body: { config: settings },
      signal: this.#signal,
    });
  }

  /** Deletes the notes, when all topics are complete. */
  async forget(names: readonly string[]): Promise<void> {
    const { isWeirError } = await import('@weirkeeper/client');
    for (const path of [...names.map((name) => `${this.#root}/${name}`), this.#root]) {
      await this.#weir.tree.remove(path, { signal: this.#signal }).catch((error: unknown) => {
        // Another restore of the same backup, under other names, is in progress.
        if (!isWeirError(error, 'NO_NODE', 'NOT_EMPTY')) throw error;
      });
    }
  }

  async #find(name: string): Promise<TopicFound | undefined> {
    const { isWeirError } = await import('@weirkeeper/client');
    try {
      return await this.#http.json<TopicFound>({ path: `/v1/topics/${name}`, signal: this.#signal });
    } catch (error) {
      if (isWeirError(error, 'UNKNOWN_TOPIC')) return undefined;
      throw error;
    }
  }
}

interface TopicFound {
  topicId: string;
  partitions: { partition: number; endOffset: number | null }[];
}

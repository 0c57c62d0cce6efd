// Lists and deletes the fences of partitions, for operators: typed calls of scripts of lua/logs. Appends check fences in
// lua/lib/log-fence.lua.
import { type IdempotencyKey, logIdempotencyArguments, storedResponseLimits } from '../idempotency.ts';
import { partitionKeys } from '../keys.ts';
import type { StoreConnection } from '../redis/connection.ts';
import { integer, text } from '../scripts.ts';
import type { StoredLimits } from '../stored-limits.ts';

/** A fence: a name, and the highest token that the partition has seen under it. */
interface FenceState {
  name: string;
  token: number;
  /** When it was last used, rounded to the minute, ms; undefined if an older version wrote it and it was not used since. */
  usedAt: number | undefined;
}

export class Fences {
  readonly #connection: StoreConnection;
  readonly #prefix: string;
  readonly #responseLimits: string;

  constructor(connection: StoreConnection, prefix: string, limits: StoredLimits) {
    this.#connection = connection;
    this.#prefix = prefix;
    this.#responseLimits = storedResponseLimits(limits.appendsMax, limits.appendBytesMax);
  }

  /** The fences of a partition, sorted by name. @throws ServiceError UNKNOWN_TOPIC */
  async list(topicId: string, partition: number): Promise<FenceState[]> {
    const reply = await this.#connection.call('logs/fences', this.#key(topicId, partition), []);
    const fences: FenceState[] = [];
    for (let i = 0; i + 2 < reply.length; i += 3) {
      fences.push({
        name: text(reply[i]),
        token: integer(reply[i + 1]),
        usedAt: integer(reply[i + 2]) || undefined,
      });
    }
    return fences.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /**
   * Deletes a fence, so that the next token under its name is accepted, whatever its value.
   * @throws ServiceError UNKNOWN_TOPIC, NOT_FOUND, IDEMPOTENCY_KEY_REUSED, TOO_MANY_REQUESTS
   */
  async delete(
    topicId: string,
    partition: number,
    name: string,
    idempotency?: IdempotencyKey,
  ): Promise<{ replayed: boolean }> {
    const args = [name, ...logIdempotencyArguments(idempotency, this.#responseLimits)];
    const [replayed] = await this.#connection.call('logs/delete-fence', this.#key(topicId, partition), args);
    return { replayed: integer(replayed) === 1 };
  }

  #key(topicId: string, partition: number): string {
    return partitionKeys(this.#prefix, topicId, partition).partition;
  }
}

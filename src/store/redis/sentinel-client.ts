// Asks the Sentinels where their primary is.
import type { ConnectionOptions } from 'node:tls';
import type { RedisOptions } from 'ioredis';
import type { RedisAddress } from '../../config/redis-url.ts';
import { createClient } from './client.ts';
import { locateTimeoutMs, sentinelFreshMs, slowSentinelWaitMs } from './time-limits.ts';

export interface SentinelOptions {
  sentinels: RedisAddress[];
  /** The name that the Sentinels have for it. */
  primary: string;
  username?: string | undefined;
  password?: string | undefined;
  tls?: ConnectionOptions | undefined;
}

interface ReportedPrimary {
  address: RedisAddress;
  /** Of the configuration that it knows: higher after each failover. */
  epoch: number;
}

export class SentinelClient {
  readonly #options: SentinelOptions;
  #primary: Promise<RedisAddress> | undefined;

  constructor(options: SentinelOptions) {
    this.#options = options;
  }

  /** The primary's address; who asks within a moment is told the same. @throws Error if no Sentinel can tell */
  findPrimary(): Promise<RedisAddress> {
    if (!this.#primary) {
      this.#primary = this.#queryAll();
      const forget = () => {
        this.#primary = undefined;
      };
      this.#primary.then(() => setTimeout(forget, sentinelFreshMs), forget);
    }
    return this.#primary;
  }

  /**
   * Asks all at once, as some may be gone. One that was cut off from the others names the old primary for as long as it is, and
   * after a failover all but the one that led it do so for a second: so the newest configuration counts that any of them
   * tells. Once more than half have answered the others are waited for a moment only.
   */
  #queryAll(): Promise<RedisAddress> {
    const { sentinels, primary } = this.#options;
    return new Promise((resolve, reject) => {
      const told: ReportedPrimary[] = [];
      const reasons: string[] = [];
      const decide = () => {
        const [newest] = told.toSorted((a, b) => b.epoch - a.epoch);
        if (newest) resolve(newest.address);
        else reject(new Error(`no Sentinel says where the primary ${primary} is (${reasons.join('; ')})`));
      };
      let late: NodeJS.Timeout | undefined;
      const look = () => {
        if (told.length + reasons.length === sentinels.length) {
          clearTimeout(late);
          decide();
        } else if (told.length > sentinels.length / 2) late ??= setTimeout(decide, slowSentinelWaitMs);
      };
      for (const sentinel of sentinels) {
        this.#query(sentinel)
          .then(
            (answer) => told.push(answer),
            (error: unknown) => {
              const reason = error instanceof Error ? error.message : String(error);
              reasons.push(`${sentinel.host}:${sentinel.port}: ${reason}`);
            },
          )
          .finally(look);
      }
    });
  }

  async #query(sentinel: RedisAddress): Promise<ReportedPrimary> {
    const { primary, username, password, tls } = this.#options;
    const client = createClient({
      ...sentinel,
      ...(username !== undefined && { username }),
      ...(password !== undefined && { password }),
      ...(tls && { tls }),
      connectTimeout: locateTimeoutMs,
      commandTimeout: locateTimeoutMs,
      enableReadyCheck: false,
      retryStrategy: null,
    } satisfies RedisOptions);
    let reason: Error | undefined;
    client.on('error', (error: Error) => {
      reason = error;
    });
    try {
      await client.connect();
      const [found, known] = await Promise.all([
        client.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', primary) as Promise<[string, string] | null>,
        // Its user may be allowed no more than the first; then all have the same epoch, as far as can be told.
        client.call('SENTINEL', 'MASTER', primary).catch(() => []) as Promise<string[]>,
      ]);
      if (!found) throw new Error(`it watches no primary of the name ${primary}`);
      const epoch = Number(known[known.indexOf('config-epoch') + 1] ?? 0);
      return { address: { host: found[0], port: Number(found[1]) }, epoch };
    } catch (error) {
      throw reason ?? error;
    } finally {
      client.disconnect();
    }
  }
}

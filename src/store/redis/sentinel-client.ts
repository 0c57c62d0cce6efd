// Asks the Redis Sentinels for the address of the primary.
import type { ConnectionOptions } from 'node:tls';
import type { RedisOptions } from 'ioredis';
import type { RedisAddress } from '../../config/redis-url.ts';
import { createClient } from './client.ts';
import { locateTimeoutMs, sentinelFreshMs, slowSentinelWaitMs } from './time-limits.ts';

interface SentinelOptions {
  sentinels: RedisAddress[];
  /** The name of the primary in the configuration of the Sentinels. */
  primary: string;
  username?: string | undefined;
  password?: string | undefined;
  tls?: ConnectionOptions | undefined;
}

interface ReportedPrimary {
  address: RedisAddress;
  /** The Sentinel's `config-epoch`, which rises with each failover. */
  epoch: number;
}

export class SentinelClient {
  readonly #options: SentinelOptions;
  #primary: Promise<RedisAddress> | undefined;

  constructor(options: SentinelOptions) {
    this.#options = options;
  }

  /** The address of the primary; calls within sentinelFreshMs share one result. @throws Error if no Sentinel reports one */
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
   * Asks all Sentinels at once, as some may be dead, and takes the primary with the highest epoch: a Sentinel that is cut off
   * reports the old primary for as long as it is, and after a failover all but its leader do so for a second. Once more than
   * half have replied, the others get slowSentinelWaitMs.
   */
  #queryAll(): Promise<RedisAddress> {
    const { sentinels, primary } = this.#options;
    return new Promise((resolve, reject) => {
      const reported: ReportedPrimary[] = [];
      const reasons: string[] = [];
      const decide = () => {
        const [newest] = reported.toSorted((a, b) => b.epoch - a.epoch);
        if (newest) resolve(newest.address);
        else reject(new Error(`no Sentinel reports the address of the primary ${primary} (${reasons.join('; ')})`));
      };
      let timer: NodeJS.Timeout | undefined;
      const decideWhenEnough = () => {
        if (reported.length + reasons.length === sentinels.length) {
          clearTimeout(timer);
          decide();
        } else if (reported.length > sentinels.length / 2) timer ??= setTimeout(decide, slowSentinelWaitMs);
      };
      for (const sentinel of sentinels) {
        void this.#query(sentinel)
          .then(
            (found) => reported.push(found),
            (error: unknown) => {
              const reason = error instanceof Error ? error.message : String(error);
              reasons.push(`${sentinel.host}:${sentinel.port}: ${reason}`);
            },
          )
          .finally(decideWhenEnough);
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
      const [found, fields] = await Promise.all([
        client.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', primary) as Promise<[string, string] | null>,
        // The user may be permitted only the first command. Then all Sentinels count as having the same epoch.
        client.call('SENTINEL', 'MASTER', primary).catch(() => []) as Promise<string[]>,
      ]);
      if (!found) throw new Error(`it watches no primary of the name ${primary}`);
      const epoch = Number(fields[fields.indexOf('config-epoch') + 1] ?? 0);
      return { address: { host: found[0], port: Number(found[1]) }, epoch };
    } catch (error) {
      throw reason ?? error;
    } finally {
      client.disconnect();
    }
  }
}

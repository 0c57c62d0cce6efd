// Asks the Sentinels where their primary is.
import type { ConnectionOptions } from 'node:tls';
import type { RedisOptions } from 'ioredis';
import type { RedisPlace } from '../config-redis-url.ts';
import { createClient } from './client.ts';
import { askTimeoutMs } from './time-limits.ts';

export interface SentinelOptions {
  sentinels: RedisPlace[];
  /** The name that the Sentinels have for it. */
  primary: string;
  username?: string | undefined;
  password?: string | undefined;
  tls?: ConnectionOptions | undefined;
}

export class Sentinels {
  readonly #options: SentinelOptions;
  /** The one that answered last is asked first. */
  #sentinels: RedisPlace[];

  constructor(options: SentinelOptions) {
    this.#options = options;
    this.#sentinels = [...options.sentinels];
  }

  /** The primary's address. @throws Error if no Sentinel can tell */
  async locate(): Promise<RedisPlace> {
    const reasons: string[] = [];
    for (const sentinel of this.#sentinels) {
      try {
        const place = await this.#ask(sentinel);
        this.#sentinels = [sentinel, ...this.#sentinels.filter((other) => other !== sentinel)];
        return place;
      } catch (error) {
        reasons.push(`${sentinel.host}:${sentinel.port}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    throw new Error(`no Sentinel says where the primary ${this.#options.primary} is (${reasons.join('; ')})`);
  }

  async #ask(sentinel: RedisPlace): Promise<RedisPlace> {
    const { primary, username, password, tls } = this.#options;
    const client = createClient({
      ...sentinel,
      ...(username !== undefined && { username }),
      ...(password !== undefined && { password }),
      ...(tls && { tls }),
      connectTimeout: askTimeoutMs,
      commandTimeout: askTimeoutMs,
      enableReadyCheck: false,
      retryStrategy: null,
    } satisfies RedisOptions);
    let reason: Error | undefined;
    client.on('error', (error: Error) => {
      reason = error;
    });
    try {
      await client.connect();
      const found = (await client.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', primary)) as [string, string] | null;
      if (!found) throw new Error(`it watches no primary of the name ${primary}`);
      return { host: found[0], port: Number(found[1]) };
    } catch (error) {
      throw reason ?? error;
    } finally {
      client.disconnect();
    }
  }
}

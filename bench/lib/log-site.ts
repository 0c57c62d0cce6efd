// The site for all measurements of the log: a server with its private Redis, the bare route, and a Redis client that calls the
// scripts of the server. Topics are created over HTTP, as a user would.
import { pino } from 'pino';
import { partitionKeys } from '../../src/store/keys.ts';
import { Logs } from '../../src/store/log/logs.ts';
import type { StoreConnection } from '../../src/store/redis/connection.ts';
import { openBareServer, type ServerProcess, WeirServer } from './processes.ts';
import { RedisLoad, type ScriptCall } from './redis-load.ts';

/** The size of a run. */
export interface LogScale {
  /** How often alternating rounds are repeated. */
  rounds: number;
  roundMs: number;
  /** Whether this is the short run: long parts then measure less. */
  quick: boolean;
  /** The folder for CPU profiles of the server; undefined = no profiles. */
  profiles: string | undefined;
}

export interface Topic {
  name: string;
  topicId: string;
  partitions: number;
}

/** The prefix of keys that a server has by default (src/config/config.ts). */
const prefix = 'weir';

export class LogSite {
  readonly server: WeirServer;
  /** Has `POST /discard`, which reads any body and discards it. */
  readonly bare: ServerProcess;
  readonly redis: RedisLoad;
  readonly scale: LogScale;

  private constructor(parts: { server: WeirServer; bare: ServerProcess; redis: RedisLoad; scale: LogScale }) {
    this.server = parts.server;
    this.bare = parts.bare;
    this.redis = parts.redis;
    this.scale = parts.scale;
  }

  static async open(scale: LogScale): Promise<LogSite> {
    const [server, bare] = await Promise.all([WeirServer.open(), openBareServer()]);
    const redis = await RedisLoad.open(server.socketPath);
    const site = new LogSite({ server, bare, redis, scale });
    await site.sync('everysec');
    return site;
  }

  /** CPU time of the server and its Redis so far, µs; not a number if the system does not report it. */
  readonly cpuUs = (): number => (this.server.cpuUs ?? Number.NaN) + (this.server.redisCpuUs ?? Number.NaN);

  /** Sets the `appendfsync` of the private Redis. */
  async sync(appendfsync: 'always' | 'everysec'): Promise<void> {
    await this.redis.client.config('SET', 'appendfsync', appendfsync);
  }

  async createTopic(name: string, partitions: number, config: Record<string, unknown> = {}): Promise<Topic> {
    const response = await fetch(`${this.server.url}/v1/topics`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name, partitions, config }),
    });
    const created = (await response.json()) as { topicId: string };
    if (response.status !== 201) throw new Error(`Topic ${name} was not created: ${JSON.stringify(created)}`);
    return { name, topicId: created.topicId, partitions };
  }

  /** Deletes all records of a topic, so that their memory is free for the next round. */
  async clear({ name, partitions }: Topic): Promise<void> {
    for (let partition = 0; partition < partitions; partition++) {
      const url = `${this.server.url}/v1/topics/${name}/partitions/${partition}/records?before=latest`;
      const response = await fetch(url, { method: 'DELETE' });
      if (!response.ok) throw new Error(`Topic ${name} was not cleared: ${await response.text()}`);
    }
    await this.redis.settled();
  }

  /** The key of a partition with which the scripts of its log are called. */
  partitionKey({ topicId }: Topic, partition: number): string {
    return partitionKeys(prefix, topicId, partition).partition;
  }

  async close(): Promise<void> {
    this.redis.close();
    await Promise.all([this.server.stop(), this.bare.stop()]);
  }
}

/** The script calls that the server would make for an operation on logs. They are recorded from its own code, and not sent. */
export async function logCallsOf(operation: (logs: Logs) => Promise<unknown>): Promise<ScriptCall[]> {
  const made: ScriptCall[] = [];
  const recorder = {
    serverRunOf: () => '',
    call: async (script: string, key: string, args: ScriptCall['arguments']) => {
      made.push({ script, key, arguments: args });
      throw new Error('Recorded');
    },
  };
  const logs = new Logs(recorder as unknown as StoreConnection, prefix, pino({ level: 'silent' }));
  await operation(logs).catch(() => undefined);
  if (made.length === 0) throw new Error('The operation calls no script');
  return made;
}

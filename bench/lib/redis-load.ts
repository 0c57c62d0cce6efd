// The reference for operations on the store: a Redis client that calls the scripts of the server directly, in pipelines.
import { createHash } from 'node:crypto';
import { createHistogram } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { coordinationKeys } from '../../src/store/keys.ts';
import type { StoreConnection } from '../../src/store/redis/connection.ts';
import { loadScripts } from '../../src/store/scripts.ts';
import { Namespace } from '../../src/store/tree/namespace.ts';
import { encodeRequest, type Op } from '../../src/store/tree/op-codec.ts';
import type { Round } from './http-load.ts';

export interface ScriptCall {
  script: string;
  key: string;
  arguments: (string | number | Buffer)[];
}

/** Two pipelines, so that Redis works on one while the client prepares the other. */
const pipelines = 2;

const keys = coordinationKeys('weir');

/** The defaults of the server (src/config/config.ts). */
const limits = { maxNodeBytes: 1024 * 1024, eventRetention: 100_000, responseLimits: '600000:1000000:268435456' };

/** The tree in Redis, accessed over a connection without a server. */
export function namespaceOn(connection: StoreConnection): Namespace {
  return new Namespace(connection, keys, limits);
}

/** The script call that the server would make for an operation. It is recorded from its own code, and not sent. */
export async function scriptCallOf(operation: (namespace: Namespace) => Promise<unknown>): Promise<ScriptCall> {
  let made: ScriptCall | undefined;
  const recorder = {
    call: async (script: string, key: string, args: ScriptCall['arguments']) => {
      made = { script, key, arguments: args };
      throw new Error('Recorded');
    },
  };
  await operation(namespaceOn(recorder as unknown as StoreConnection)).catch(() => undefined);
  if (!made) throw new Error('The operation calls no script');
  return made;
}

/** The same call of nodes/write with another operation. */
export function callWith(call: ScriptCall, operation: Op): ScriptCall {
  return { ...call, arguments: [...call.arguments.slice(0, -1), encodeRequest([operation], {})] };
}

export class RedisLoad {
  readonly client: Redis;
  readonly #shas = new Map<string, string>();

  private constructor(client: Redis) {
    this.client = client;
  }

  static async open(socketPath: string): Promise<RedisLoad> {
    const load = new RedisLoad(new Redis({ path: socketPath, replyMapping: 'legacy', lazyConnect: true }));
    await load.client.connect();
    for (const { name, lua } of loadScripts().values()) {
      await load.client.script('LOAD', lua);
      load.#shas.set(name, createHash('sha1').update(lua).digest('hex'));
    }
    return load;
  }

  close(): void {
    this.client.disconnect();
  }

  /**
   * Keeps `inFlight` script calls in flight, in pipelines, for `ms` or until `callsMax` calls were made.
   * @returns the result of the round; its latencies are those of whole pipelines
   */
  async run(next: () => ScriptCall, inFlight: number, ms: number, callsMax = Number.POSITIVE_INFINITY): Promise<Round> {
    const size = Math.max(1, Math.floor(inFlight / pipelines));
    const latencyUs = createHistogram();
    const startedAt = performance.now();
    let requests = 0;
    let sent = 0;
    const loop = async () => {
      while (performance.now() - startedAt < ms && sent < callsMax) {
        const sentAt = performance.now();
        const pipeline = this.client.pipeline();
        for (let i = 0; i < size; i++) {
          const { script, key, arguments: args } = next();
          pipeline.callBuffer('EVALSHA', this.#shas.get(script)!, 1, key, ...args);
        }
        sent += size;
        const replies = await pipeline.exec();
        for (const [error, reply] of replies ?? []) {
          if (error) throw error;
          check(reply as unknown[]);
        }
        requests += size;
        latencyUs.record(Math.max(1, Math.round((performance.now() - sentAt) * 1000)));
      }
    };
    await Promise.all(Array.from({ length: Math.min(pipelines, inFlight) }, loop));
    return { perSecond: (requests * 1000) / (performance.now() - startedAt), requests, latencyUs };
  }

  /** Memory without the event history, which has a fixed limit and would hide the memory of nodes and sessions. */
  async usedMemoryBytes(): Promise<number> {
    const all = Number(/used_memory:(\d+)/.exec(await this.client.info('memory'))?.[1]);
    return all - Number(await this.client.memory('USAGE', keys.events, 'SAMPLES', 0));
  }

  /** Waits until no rewrite of the append-only file runs in the background, as it would use CPU time. */
  async settled(): Promise<void> {
    while (/aof_rewrite_(in_progress|scheduled):1/.test(await this.client.info('persistence'))) await sleep(50);
  }

  /** Script calls so far, and their time in Redis. */
  async scriptTime(): Promise<{ calls: number; us: number }> {
    const found = /cmdstat_evalsha:calls=(\d+),usec=(\d+)/.exec(await this.client.info('commandstats'));
    return { calls: Number(found?.[1] ?? 0), us: Number(found?.[2] ?? 0) };
  }
}

/** Checks a reply: OK, or a list with an element for each request or for each failed request of the call. */
function check(reply: unknown[]): void {
  const [tag, ...responses] = reply;
  const tags = [tag, ...responses.filter(Array.isArray).map((response) => response[0])];
  if (tags.some((each) => String(each) !== 'OK')) throw new Error(`A script call failed: ${reply}`);
}

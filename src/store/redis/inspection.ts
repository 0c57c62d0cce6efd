// Reads how the Redis servers of a store are set up and how they do, for an operator's check. It only reads, and needs no server.
import type { Redis, RedisOptions } from 'ioredis';
import { parseRedisUrl } from '../../config/redis-url.ts';
import { createClient } from './client.ts';
import { parseInfo, type ServerInfo } from './server-info.ts';
import type { StoreTarget } from './target.ts';

export interface RedisInspection {
  /** Where it listens. */
  address: string;
  info: ServerInfo;
  /** Settings by name; empty if CONFIG is not allowed. */
  settings: ReadonlyMap<string, string>;
  /** Slow commands since its start, the newest first. */
  slow: { command: string; ms: number; at: number }[];
  /** Its time less ours, ms. */
  clockAheadMs: number;
}

const settingsRead = ['appendonly', 'appendfsync', 'maxmemory', 'maxmemory-policy', 'save', 'busy-reply-threshold'];
const slowCommandsMax = 100;

/** Looks at each primary. @throws Error if one cannot be reached */
export async function inspectRedis(target: StoreTarget): Promise<RedisInspection[]> {
  const found: RedisInspection[] = [];
  for (const { address, options } of await primariesOf(target)) {
    found.push(await withClient(options, (client) => inspect(client, address)));
  }
  return found;
}

async function inspect(client: Redis, address: string): Promise<RedisInspection> {
  const askedAt = Date.now();
  const [seconds, micros] = (await client.time()).map(Number);
  const clockAheadMs = Number(seconds) * 1000 + Number(micros) / 1000 - (askedAt + Date.now()) / 2;
  const info = parseInfo(await client.info());
  const settings = new Map<string, string>();
  for (const name of settingsRead) {
    const reply = await client.config('GET', name).catch(() => []);
    const [, value] = reply as string[];
    if (value !== undefined) settings.set(name, value);
  }
  const entries = (await client.slowlog('GET', slowCommandsMax).catch(() => [])) as [
    number,
    number,
    number,
    string[],
  ][];
  const slow = entries.map(([, at, micros, words]) => ({
    command: words.slice(0, 2).join(' ').slice(0, 80),
    ms: micros / 1000,
    at: at * 1000,
  }));
  return { address, info, settings, slow, clockAheadMs };
}

interface Primary {
  address: string;
  options: RedisOptions;
}

async function primariesOf(target: StoreTarget): Promise<Primary[]> {
  if ('socketPath' in target) return [{ address: target.socketPath, options: { path: target.socketPath } }];
  const location = parseRedisUrl(target.url);
  const { username, password, db } = location;
  const access: RedisOptions = {
    db,
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(location.tls && { tls: { ...target.tls } }),
  };
  if (location.topology === 'sentinel') {
    const { sentinels, primary } = location;
    const sentinel = {
      ...(target.sentinelUsername !== undefined && { sentinelUsername: target.sentinelUsername }),
      ...(target.sentinelPassword !== undefined && { sentinelPassword: target.sentinelPassword }),
      ...(location.tls && { sentinelTLS: { ...target.tls }, enableTLSForSentinelMode: true }),
    };
    return [{ address: primary, options: { ...access, ...sentinel, sentinels: [...sentinels], name: primary } }];
  }
  if (location.topology === 'standalone') {
    const { address } = location;
    return [
      {
        address: 'path' in address ? address.path : `${address.host}:${address.port}`,
        options: { ...access, ...address },
      },
    ];
  }
  const [first] = location.nodes;
  const nodes = await withClient(
    { ...access, ...first },
    (client) => client.cluster('NODES' as never) as unknown as Promise<string>,
  );
  return nodes.split('\n').flatMap((line) => {
    const [, place = '', flags = '', , , , , , ...slots] = line.split(' ');
    if (!/\bmaster\b/.test(flags) || slots.length === 0) return [];
    const address = place.replace(/@.*$/, '');
    const colon = address.lastIndexOf(':');
    return [{ address, options: { ...access, host: address.slice(0, colon), port: Number(address.slice(colon + 1)) } }];
  });
}

async function withClient<T>(options: RedisOptions, work: (client: Redis) => Promise<T>): Promise<T> {
  const client = createClient({ ...options, retryStrategy: () => null, sentinelRetryStrategy: () => null });
  // The failure of a command says it.
  client.on('error', () => {});
  try {
    await client.connect();
    return await work(client);
  } finally {
    client.disconnect();
  }
}

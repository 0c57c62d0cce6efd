// The line that tells people what serves, where its data is, and how to stop it.
import { type Config, packageVersion } from '../config/config.ts';
import { describeRedisUrl } from '../config/redis-url.ts';

export interface Serving {
  /** The URL at which the server listens. */
  url: string;
  /** The version of Redis, such as `7.0.15`. */
  redisVersion: string;
}

/** One line such as `Weirkeeper 1.2.3 · http://localhost:7070 · API /docs · data ./data (Redis 7.0.15) · Ctrl-C stops`. */
export function headline(config: Config, { url, redisVersion }: Serving): string {
  const { dataDir, redisUrl, workers } = config;
  const store = redisUrl === undefined ? `data ${dataDir}` : `store ${describeRedisUrl(redisUrl)}`;
  return [
    `Weirkeeper ${packageVersion()}`,
    config.advertisedUrl ?? localUrl(url),
    ...(workers > 1 ? [`${workers} workers`] : []),
    'API /docs',
    `${store} (Redis ${redisVersion})`,
    'Ctrl-C stops',
  ].join(' · ');
}

/** The URL for somebody at this machine: an address of the loopback, or one that stands for all, has the name that people know. */
function localUrl(listening: string): string {
  const url = new URL(listening);
  if (['127.0.0.1', '0.0.0.0', '[::1]', '[::]'].includes(url.hostname)) url.hostname = 'localhost';
  return url.origin;
}

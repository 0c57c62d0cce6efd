// The line that tells people what serves, where its data is, and how to stop it.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config/config.ts';
import { consoleFolder, packageVersion } from '../config/package.ts';
import { describeRedisUrl } from '../config/redis-url.ts';

export interface Serving {
  /** The URL at which the server listens. */
  url: string;
  /** The version of Redis, such as `7.0.15`. */
  redisVersion: string;
}

/** One line such as `Weirkeeper 1.2.3 · http://localhost:7070 · console /console/ · API /docs · data ./data (Redis 7.0.15) · Ctrl-C stops`. */
export function headline(config: Config, { url, redisVersion }: Serving): string {
  const { dataDir, redisUrl, workers } = config;
  const store = redisUrl === undefined ? `data ${dataDir}` : `store ${describeRedisUrl(redisUrl)}`;
  const hasConsole = config.console !== 'off' && existsSync(join(consoleFolder, 'index.html'));
  return [
    `Weirkeeper ${packageVersion()}`,
    config.advertisedUrl ?? localUrl(url),
    ...(workers > 1 ? [`${workers} workers`] : []),
    ...(hasConsole ? ['console /console/'] : []),
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

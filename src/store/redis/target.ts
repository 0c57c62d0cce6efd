// Where the store is, as the process is told it.
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { Config } from '../../config/config.ts';

/** Files' contents, in PEM. */
export interface RedisTls {
  /** Who is trusted to sign the store's certificate; absent: whom Node trusts. */
  ca?: string;
  /** What this server shows of itself, if the store asks. */
  cert?: string;
  key?: string;
  /** The name in the store's certificate, if it is not the host's. */
  servername?: string;
}

/**
 * The socket of a private Redis, or the URL of a shared one (src/config/redis-url.ts) with what does not stand in it. `sole`:
 * no other server can be using it, because this one holds the lock of its data directory.
 */
export type StoreTarget =
  | { socketPath: string; sole?: boolean }
  | { url: string; tls?: RedisTls; sentinelUsername?: string; sentinelPassword?: string };

type SharedStoreConfig = Pick<
  Config,
  | 'redisTlsCa'
  | 'redisTlsCert'
  | 'redisTlsKey'
  | 'redisTlsServername'
  | 'redisSentinelUsername'
  | 'redisSentinelPassword'
>;

/** The shared store that is configured. @throws Error if a file of TLS cannot be read or used */
export function sharedStore(config: SharedStoreConfig, url: string): StoreTarget {
  const { redisTlsCa, redisTlsCert, redisTlsKey, redisTlsServername } = config;
  const tls = {
    ...(redisTlsCa !== undefined && { ca: readPem('WEIR_REDIS_TLS_CA', redisTlsCa) }),
    ...(redisTlsCert !== undefined && { cert: readPem('WEIR_REDIS_TLS_CERT', redisTlsCert) }),
    ...(redisTlsKey !== undefined && { key: readPem('WEIR_REDIS_TLS_KEY', redisTlsKey) }),
  };
  try {
    createSecureContext(tls);
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    throw new Error(`The files of WEIR_REDIS_TLS_CERT and WEIR_REDIS_TLS_KEY do not make a TLS identity: ${problem}`);
  }
  return {
    url,
    tls: { ...tls, ...(redisTlsServername !== undefined && { servername: redisTlsServername }) },
    ...(config.redisSentinelUsername !== undefined && { sentinelUsername: config.redisSentinelUsername }),
    ...(config.redisSentinelPassword !== undefined && { sentinelPassword: config.redisSentinelPassword }),
  };
}

function readPem(variable: string, file: string): string {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new Error(`${variable} is ${file}, which cannot be read: ${error instanceof Error ? error.message : error}`);
  }
  if (!text.includes('-----BEGIN ')) throw new Error(`${variable} is ${file}, which is no file in PEM`);
  return text;
}

// Which Redis the store uses: the private one, or a shared one as configured.
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { Config } from '../../config/config.ts';

/** Contents of files in PEM format. */
interface RedisTls {
  /** The certificate authorities that may sign the certificate of Redis; absent: those that Node trusts. */
  ca?: string;
  /** The client certificate of this server, if Redis asks for one, and its key. */
  cert?: string;
  key?: string;
  /** The name in the certificate of Redis, if it is not the host name. */
  servername?: string;
}

/**
 * The unix socket of a private Redis, or the URL of a shared one (config/redis-url.ts). `sole`: no other server can use this
 * Redis, as this server holds the lock of the data directory.
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

/** The target for a shared Redis. @throws Error if a TLS file cannot be read or used */
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
  if (!text.includes('-----BEGIN ')) throw new Error(`${variable} is ${file}, which is no file in PEM format`);
  return text;
}

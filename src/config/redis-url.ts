/**
 * Parses WEIR_REDIS_URL: one URL that names the topology of the shared Redis, its addresses and the credentials.
 *
 *   redis://[user:password@]host[:port][/db]                    one Redis
 *   unix://[user:password@]/path/of/redis.sock                  one Redis, through its unix socket
 *   redis+sentinel://[user:password@]host[:port],…/name[/db]    the primary called `name`, found through these Sentinels
 *   redis+cluster://[user:password@]host[:port],…               Redis Cluster, found through some of its nodes
 *
 * `rediss` instead of `redis` selects TLS.
 */

export interface RedisAddress {
  host: string;
  port: number;
}

interface RedisAccess {
  username?: string;
  password?: string;
  tls: boolean;
  /** Number of the Redis database. */
  db: number;
}

export type RedisLocation = RedisAccess &
  (
    | { topology: 'standalone'; address: RedisAddress | { path: string } }
    | { topology: 'sentinel'; sentinels: RedisAddress[]; primary: string }
    | { topology: 'cluster'; nodes: RedisAddress[] }
  );

const urlForms =
  'must be a URL such as redis://user:password@host:6379/0, redis+sentinel://host:26379,host:26379/name, ' +
  'redis+cluster://host:6379,host:6379 or unix:///run/redis.sock; rediss instead of redis selects TLS';

const urlPattern = /^(?:(rediss?)(?:\+(sentinel|cluster))?|(unix)):\/\/(?:([^/]*)@)?([^/?#@]*)(\/[^?#]*)?$/;
const hostPattern = /^(\[[0-9a-fA-F:.]+\]|[^:[\]\s]+)(?::(\d{1,5}))?$/;

/**
 * Parses a Redis URL.
 * @throws Error that says what is allowed, as the rest of a sentence after the option's name; it never contains the password
 */
export function parseRedisUrl(text: string): RedisLocation {
  const match = urlPattern.exec(text);
  if (!match) throw new Error(urlForms);
  const [, scheme, kind, unix, user, hosts = '', path = ''] = match;
  const access = { ...parseCredentials(user), tls: scheme === 'rediss' };
  if (unix) {
    if (hosts !== '' || path.length < 2) throw new Error(urlForms);
    return { topology: 'standalone', ...access, db: 0, address: { path: percentDecoded(path) } };
  }
  const parts = path.split('/').slice(1);
  if (kind === 'sentinel') {
    const [primary = '', ...rest] = parts;
    if (primary === '') throw new Error('must name the primary behind the Sentinels: redis+sentinel://host:26379/name');
    return {
      topology: 'sentinel',
      ...access,
      db: parseDatabase(rest),
      sentinels: addressesOf(hosts, 26_379),
      primary: percentDecoded(primary),
    };
  }
  if (kind === 'cluster') {
    if (parseDatabase(parts) !== 0) throw new Error('must name no database: Redis Cluster has only 0');
    return { topology: 'cluster', ...access, db: 0, nodes: addressesOf(hosts, 6379) };
  }
  const [address, ...others] = addressesOf(hosts, 6379);
  if (!address || others.length > 0) {
    throw new Error('must name one host; only redis+sentinel:// and redis+cluster:// take several');
  }
  return { topology: 'standalone', ...access, db: parseDatabase(parts), address };
}

/** The URL without credentials, for the log. */
export function describeRedisUrl(text: string): string {
  return text.replace(/^([^:]*:\/\/)[^/]*@/, '$1***@');
}

function addressesOf(hosts: string, defaultPort: number): RedisAddress[] {
  return hosts.split(',').map((text) => {
    const [, host, port = String(defaultPort)] = hostPattern.exec(text) ?? [];
    if (host === undefined || !(Number(port) >= 1 && Number(port) <= 65_535)) throw new Error(urlForms);
    return { host: host.replace(/^\[(.*)\]$/, '$1'), port: Number(port) };
  });
}

function parseDatabase(parts: readonly string[]): number {
  const [text = '', ...more] = parts;
  if (more.length > 0 || !/^\d{0,9}$/.test(text)) {
    throw new Error('must end with the number of a database, or without a path');
  }
  return Number(text);
}

function parseCredentials(user: string | undefined): { username?: string; password?: string } {
  if (user === undefined || user === '' || user === ':') return {};
  const colon = user.indexOf(':');
  if (colon < 0)
    throw new Error('must have a password after the user: user:password@, or :password@ for the default user');
  const [username, password] = [percentDecoded(user.slice(0, colon)), percentDecoded(user.slice(colon + 1))];
  return { ...(username !== '' && { username }), password };
}

function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new Error('must be percent-encoded: write % as %25, and other special characters likewise');
  }
}

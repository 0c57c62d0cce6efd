/**
 * Every option there is: its variable, its default, what it takes and what it means. How the table is applied to the
 * environment and the command line is the business of config/config.ts.
 */
import { z } from 'zod';
import {
  addressList,
  checkRedisUrl,
  duration,
  integer,
  matching,
  oneOf,
  parseCorsOrigin,
  parseOrigin,
  percentage,
  size,
} from './values.ts';

/** Values are in the units that their names end in. */
export interface Config {
  host: string;
  port: number;
  /** The address that clients reach this server by, if it is not the one it listens on. */
  advertisedUrl?: string;
  brokerId?: number;
  rack?: string;
  dataDir: string;
  /** A Redis that is running already; absent: the private one. May hold a password. */
  redisUrl?: string;
  /** Files in PEM for a Redis that speaks TLS: who signed its certificate; what this server shows of itself. */
  redisTlsCa?: string;
  redisTlsCert?: string;
  redisTlsKey?: string;
  /** The name in the certificate of Redis, if it is not its host's. */
  redisTlsServername?: string;
  redisSentinelUsername?: string;
  redisSentinelPassword?: string;
  /** How long a server that starts waits for a Redis that does not answer. */
  storeWaitMs: number;
  appendfsync: 'always' | 'everysec' | 'no';
  prefix: string;
  sessionMinTtlMs: number;
  sessionMaxTtlMs: number;
  brokerSessionTtlMs: number;
  /** How long a server that is told to stop serves on, though it is no longer ready. */
  drainDelayMs: number;
  /** How long a named producer lives that nobody uses. */
  producerIdExpirationMs: number;
  /** How many transactions are kept for replay. */
  eventRetention: number;
  /** How long committed offsets are kept in an empty group, or of topics that no member subscribes to. */
  offsetsRetentionMs: number;
  maxNodeBytes: number;
  maxBodyBytes: number;
  /** Of clients, to this broker. */
  maxConnections: number;
  /** The part of each limit on what is held for long that one address may have alone: above 0, up to 1. */
  addressShare: number;
  /** Addresses and networks of proxies that say in X-Forwarded-For whom they speak for. */
  trustProxy: string[];
  maxPartitions: number;
  autoCreateTopics: boolean;
  /** Limit of the private Redis; absent: half of the machine's memory. */
  redisMaxmemoryBytes?: number;
  /** Foreign origins whose pages may use this server; `*` is every one. */
  corsOrigins: string[];
  /** Names in Host that this server answers to besides its own; `*` is every one. */
  allowedHosts: string[];
  logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';
}

export interface Option<T> {
  variable: string;
  /** From the text of the variable or flag; its error says what is allowed. */
  schema: z.ZodType<T>;
  default?: string;
  /** What the value is, in one word; absent: a flag that may stand alone. */
  placeholder?: string;
  meaning: string;
  /** The value holds a password, and must not be shown. */
  isSecret?: true;
}

const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

/** Every option there is; a variable's flag is its name without the prefix: `WEIR_DATA_DIR` is `--data-dir`. */
export const options: { [Field in keyof Required<Config>]: Option<Required<Config>[Field]> } = {
  host: {
    variable: 'WEIR_HOST',
    schema: matching(/^\S+$/, 'must be an address or host name to listen on, such as 0.0.0.0'),
    default: '127.0.0.1',
    placeholder: 'address',
    meaning: 'Address to listen on; 0.0.0.0 is every one of this machine.',
  },
  port: {
    variable: 'WEIR_PORT',
    schema: integer(0, 65_535),
    default: '7070',
    placeholder: 'port',
    meaning: 'TCP port to listen on; 0 is any free one.',
  },
  advertisedUrl: {
    variable: 'WEIR_ADVERTISED_URL',
    schema: z.string().transform(parseOrigin('must be an http(s) URL without a path, such as http://weir-1:7070')),
    placeholder: 'url',
    meaning: 'Address that clients and other brokers reach this one by, if not the one it listens on.',
  },
  brokerId: {
    variable: 'WEIR_BROKER_ID',
    schema: integer(0, 2 ** 31 - 1),
    placeholder: 'id',
    meaning: 'Id of this broker in the cluster; generated if absent.',
  },
  rack: {
    variable: 'WEIR_RACK',
    schema: matching(/^.{1,255}$/, 'must have 1 to 255 characters'),
    placeholder: 'name',
    meaning: 'Rack or zone of this broker; replicas are spread over racks.',
  },
  dataDir: {
    variable: 'WEIR_DATA_DIR',
    schema: z.string(),
    default: './data',
    placeholder: 'folder',
    meaning: 'Where the private Redis keeps its data; one server at a time may use it.',
  },
  redisUrl: {
    variable: 'WEIR_REDIS_URL',
    schema: z.string().transform(checkRedisUrl),
    placeholder: 'url',
    meaning:
      'A Redis or Valkey 7.0+ that is running already: redis://[user:password@]host:port[/db]; by Sentinel ' +
      'redis+sentinel://[user:password@]host:port,host:port/name[/db]; a Redis Cluster redis+cluster://[user:password@]host:port,host:port; ' +
      'unix:///path. rediss in the place of redis is TLS. Absent: the server starts a private one.',
    isSecret: true,
  },
  redisTlsCa: {
    variable: 'WEIR_REDIS_TLS_CA',
    schema: z.string(),
    placeholder: 'file',
    meaning: 'Certificates, in PEM, of who may have signed that of the shared Redis. Absent: those that Node trusts.',
  },
  redisTlsCert: {
    variable: 'WEIR_REDIS_TLS_CERT',
    schema: z.string(),
    placeholder: 'file',
    meaning: 'Certificate, in PEM, that this server shows to the shared Redis.',
  },
  redisTlsKey: {
    variable: 'WEIR_REDIS_TLS_KEY',
    schema: z.string(),
    placeholder: 'file',
    meaning: 'Private key, in PEM, of that certificate.',
  },
  redisTlsServername: {
    variable: 'WEIR_REDIS_TLS_SERVERNAME',
    schema: matching(/^\S+$/, 'must be a host name'),
    placeholder: 'name',
    meaning: "Name in the certificate of the shared Redis, if it is not its host's.",
  },
  redisSentinelUsername: {
    variable: 'WEIR_REDIS_SENTINEL_USERNAME',
    schema: z.string(),
    placeholder: 'name',
    meaning: 'User for the Sentinels; the URL has that for Redis itself.',
  },
  redisSentinelPassword: {
    variable: 'WEIR_REDIS_SENTINEL_PASSWORD',
    schema: z.string(),
    placeholder: 'password',
    meaning: 'Password for the Sentinels, if they ask for one.',
    isSecret: true,
  },
  storeWaitMs: {
    variable: 'WEIR_STORE_WAIT',
    schema: duration(0),
    default: '60s',
    placeholder: 'duration',
    meaning:
      'How long a server that starts waits for a Redis that does not answer, as one that starts later; loading does not count.',
  },
  appendfsync: {
    variable: 'WEIR_APPENDFSYNC',
    schema: oneOf(['always', 'everysec', 'no']),
    default: 'always',
    placeholder: 'when',
    meaning: 'When the private Redis syncs to disk: always (before each answer), everysec, no.',
  },
  prefix: {
    variable: 'WEIR_PREFIX',
    schema: matching(/^[A-Za-z0-9._-]{1,64}$/, 'must have 1 to 64 characters of A-Z a-z 0-9 . _ -'),
    default: 'weir',
    placeholder: 'name',
    meaning: 'Start of every key, so that several clusters can share one Redis.',
  },
  sessionMinTtlMs: {
    variable: 'WEIR_SESSION_MIN_TTL',
    schema: duration(100),
    default: '1s',
    placeholder: 'duration',
    meaning: 'Shortest time-to-live that a session gets.',
  },
  sessionMaxTtlMs: {
    variable: 'WEIR_SESSION_MAX_TTL',
    schema: duration(100),
    default: '24h',
    placeholder: 'duration',
    meaning: 'Longest time-to-live that a session gets.',
  },
  brokerSessionTtlMs: {
    variable: 'WEIR_BROKER_SESSION_TTL',
    schema: duration(100),
    default: '6s',
    placeholder: 'duration',
    meaning: 'How long after its last sign of life a broker counts as dead.',
  },
  drainDelayMs: {
    variable: 'WEIR_DRAIN_DELAY',
    schema: duration(0),
    default: '3s',
    placeholder: 'duration',
    meaning:
      'How long a server of a shared Redis serves on after SIGTERM, while /health/ready says no, so that load balancers notice.',
  },
  producerIdExpirationMs: {
    variable: 'WEIR_PRODUCER_ID_EXPIRATION',
    schema: duration(1000),
    default: '24h',
    placeholder: 'duration',
    meaning: 'How long a named producer lives that nobody uses.',
  },
  offsetsRetentionMs: {
    variable: 'WEIR_OFFSETS_RETENTION',
    schema: duration(1000),
    default: '7d',
    placeholder: 'duration',
    meaning: 'How long committed offsets are kept that no member of their group can need.',
  },
  eventRetention: {
    variable: 'WEIR_EVENT_RETENTION',
    schema: integer(1, 2 ** 31 - 1),
    default: '100000',
    placeholder: 'number',
    meaning: 'How many transactions of the tree are kept for watches that resume.',
  },
  maxNodeBytes: {
    variable: 'WEIR_MAX_NODE_BYTES',
    schema: size('1', '256MiB'),
    default: '1MiB',
    placeholder: 'size',
    meaning: 'Largest data of a node.',
  },
  maxBodyBytes: {
    variable: 'WEIR_MAX_BODY_BYTES',
    schema: size('1', '256MiB'),
    default: '16MiB',
    placeholder: 'size',
    meaning: 'Largest body of a request; NDJSON streams are not bounded.',
  },
  maxPartitions: {
    variable: 'WEIR_MAX_PARTITIONS',
    schema: integer(1, 1_000_000),
    default: '20000',
    placeholder: 'number',
    meaning: 'Most partitions of all topics together.',
  },
  maxConnections: {
    variable: 'WEIR_MAX_CONNECTIONS',
    schema: integer(10, 1_000_000),
    default: '16000',
    placeholder: 'number',
    meaning: 'Most connections of clients at once; the system must allow as many open files and some more.',
  },
  addressShare: {
    variable: 'WEIR_ADDRESS_SHARE',
    schema: percentage(),
    default: '50%',
    placeholder: 'percent',
    meaning:
      'What one remote address may have of the connections, WebSockets, watches, long polls and NDJSON uploads while others have none; 100% is all.',
  },
  trustProxy: {
    variable: 'WEIR_TRUST_PROXY',
    schema: addressList(),
    default: '',
    placeholder: 'networks',
    meaning:
      'Proxies, separated by commas, whose X-Forwarded-For says which address a request is from: addresses, networks such as 10.0.0.0/8, or loopback, linklocal, uniquelocal. Absent: none.',
  },
  autoCreateTopics: {
    variable: 'WEIR_AUTO_CREATE_TOPICS',
    schema: oneOf(['true', 'false']).transform((text) => text === 'true'),
    default: 'false',
    meaning: 'Whether producing to an unknown topic creates it.',
  },
  redisMaxmemoryBytes: {
    variable: 'WEIR_REDIS_MAXMEMORY',
    schema: size('1MiB', '1048576GiB'),
    placeholder: 'size',
    meaning: "Memory limit of the private Redis; absent: half of the machine's.",
  },
  corsOrigins: {
    variable: 'WEIR_CORS_ORIGINS',
    schema: z
      .string()
      .transform((text, context) => text.split(',').map((part) => parseCorsOrigin(part.trim(), context))),
    default: '',
    placeholder: 'origins',
    meaning:
      'Origins, separated by commas, whose web pages may use this server; * is every one. Absent: none but its own.',
  },
  allowedHosts: {
    variable: 'WEIR_ALLOWED_HOSTS',
    schema: matching(
      /^\s*(\*|[\w.-]+)\s*(,\s*(\*|[\w.-]+)\s*)*$/,
      'must be host names without ports, separated by commas, or *',
    ).transform((text) => text.split(',').map((name) => name.trim().toLowerCase())),
    default: '',
    placeholder: 'names',
    meaning:
      'Names in Host, separated by commas, that this server answers to beside localhost, addresses, the name of its machine and that in WEIR_ADVERTISED_URL. .example.com is every name below it, * every one.',
  },
  logLevel: {
    variable: 'WEIR_LOG_LEVEL',
    schema: oneOf(logLevels),
    default: 'info',
    placeholder: 'level',
    meaning: `What is logged: ${logLevels.join(', ')}.`,
  },
};

/**
 * All options: variable, default, valid values and meaning. config/config.ts applies the table to the environment and the
 * command line.
 */
import { z } from 'zod';
import type { OptionTable } from './option.ts';
import { type SecurityConfig, securityOptions } from './security-options.ts';
import {
  addressList,
  checkRedisUrl,
  duration,
  integer,
  matching,
  oneOf,
  parseOrigin,
  percentage,
  size,
  workerCount,
} from './values.ts';

/** The names of numeric fields end in their unit. */
export interface Config extends SecurityConfig {
  host: string;
  port: number;
  /** URL at which clients reach this server, if it differs from the address it listens on. */
  advertisedUrl?: string;
  /** Processes that serve the port, each a broker of its own; 1 = this process alone. */
  workers: number;
  /** With several workers the id of the first one; the others have those after it. */
  brokerId?: number;
  rack?: string;
  dataDir: string;
  /** URL of a shared Redis; absent: the server starts a private one. May contain a password. */
  redisUrl?: string;
  /** PEM files for a Redis that uses TLS: the certificate authority, and this server's own certificate and key. */
  redisTlsCa?: string;
  redisTlsCert?: string;
  redisTlsKey?: string;
  /** The name in the certificate of Redis, if it differs from its host name. */
  redisTlsServername?: string;
  redisSentinelUsername?: string;
  redisSentinelPassword?: string;
  /** How long a starting server waits for a Redis that does not reply. */
  storeWaitMs: number;
  storeTimeoutMs: number;
  appendfsync: 'always' | 'everysec' | 'no';
  prefix: string;
  sessionMinTtlMs: number;
  sessionMaxTtlMs: number;
  brokerSessionTtlMs: number;
  /** How long a server continues to serve after SIGTERM, while it reports that it is not ready. */
  drainDelayMs: number;
  /** How long an unused named producer is kept. */
  producerIdExpirationMs: number;
  /** Number of transactions that are kept for replay. */
  eventRetention: number;
  /** How long committed offsets are kept in an empty group, or for topics to which no member subscribes. */
  offsetsRetentionMs: number;
  maxNodeBytes: number;
  /** Memory for nodes that are read with read=local; 0 = none. */
  nodeCacheBytes: number;
  maxBodyBytes: number;
  /** Memory for recent batches of logs. */
  batchCacheBytes: number;
  /** Connections of clients to this broker. */
  maxConnections: number;
  /** Share of each limit on long-lived things that one address may use alone: above 0, up to 1. */
  addressShare: number;
  /** Addresses and networks of proxies whose X-Forwarded-For is trusted. */
  trustProxy: string[];
  maxPartitions: number;
  autoCreateTopics: boolean;
  /** Whether the Kafka REST dialect is served at the root. */
  kafkaRest: boolean;
  /** Whether the console is served at /console/, and whether it offers to change anything. */
  console: 'on' | 'read-only' | 'off';
  /** How long a consumer instance of the Kafka REST dialect lives without a call. */
  kafkaRestIdleTimeoutMs: number;
  /** Memory limit of the private Redis; absent: half of the machine's memory. */
  redisMaxmemoryBytes?: number;
  logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';
  /** The form of the log: lines for people, lines of JSON, or that which suits the output. */
  logFormat: 'auto' | 'pretty' | 'json';
}

export const brokerIdMax = 2 ** 31 - 1;

const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

/** All options. The flag of a variable is its name without the prefix: `WEIR_DATA_DIR` is `--data-dir`. */
export const options: OptionTable<Config> = {
  host: {
    variable: 'WEIR_HOST',
    schema: matching(/^\S+$/, 'must be an address or host name to listen on, such as 0.0.0.0'),
    default: '127.0.0.1',
    placeholder: 'address',
    meaning: 'Address to listen on. 0.0.0.0 stands for all addresses of this machine.',
  },
  port: {
    variable: 'WEIR_PORT',
    schema: integer(0, 65_535),
    default: '7070',
    placeholder: 'port',
    meaning: 'TCP port to listen on. 0 selects a free port.',
  },
  advertisedUrl: {
    variable: 'WEIR_ADVERTISED_URL',
    schema: z.string().transform(parseOrigin('must be an http(s) URL without a path, such as http://weir-1:7070')),
    placeholder: 'url',
    meaning: 'URL at which clients reach this broker. Default: the address it listens on.',
  },
  workers: {
    variable: 'WEIR_WORKERS',
    schema: workerCount(256),
    default: '1',
    placeholder: 'number',
    meaning:
      'Number of processes that serve the port, each a broker of its own; auto = one for each core. More use more cores of this machine.',
  },
  brokerId: {
    variable: 'WEIR_BROKER_ID',
    schema: integer(0, brokerIdMax),
    placeholder: 'id',
    meaning:
      'Id of this broker in the cluster. With several workers the id of the first one; the others have those after it. Default: generated.',
  },
  rack: {
    variable: 'WEIR_RACK',
    schema: matching(/^.{1,255}$/, 'must have 1 to 255 characters'),
    placeholder: 'name',
    meaning: 'Rack or zone of this broker. The replicas of a partition are spread over racks.',
  },
  dataDir: {
    variable: 'WEIR_DATA_DIR',
    schema: z.string(),
    default: './data',
    placeholder: 'folder',
    meaning: 'Folder for the data of the private Redis. Only one server at a time can use it.',
  },
  redisUrl: {
    variable: 'WEIR_REDIS_URL',
    schema: z.string().transform(checkRedisUrl),
    placeholder: 'url',
    meaning:
      'URL of a shared Redis or Valkey, 7.0 or newer. One server: redis://[user:password@]host:port[/db] or unix:///path. ' +
      'Sentinel: redis+sentinel://[user:password@]host:port,host:port/name[/db]. ' +
      'Redis Cluster: redis+cluster://[user:password@]host:port,host:port. Use rediss instead of redis for TLS. ' +
      'Default: the server starts a private Redis.',
    isSecret: true,
  },
  redisTlsCa: {
    variable: 'WEIR_REDIS_TLS_CA',
    schema: z.string(),
    placeholder: 'file',
    meaning:
      'PEM file with the certificate authorities for the certificate of the shared Redis. Default: those that Node.js trusts.',
  },
  redisTlsCert: {
    variable: 'WEIR_REDIS_TLS_CERT',
    schema: z.string(),
    placeholder: 'file',
    meaning: 'PEM file with the client certificate of this server for the shared Redis.',
  },
  redisTlsKey: {
    variable: 'WEIR_REDIS_TLS_KEY',
    schema: z.string(),
    placeholder: 'file',
    meaning: 'PEM file with the private key of the client certificate.',
  },
  redisTlsServername: {
    variable: 'WEIR_REDIS_TLS_SERVERNAME',
    schema: matching(/^\S+$/, 'must be a host name'),
    placeholder: 'name',
    meaning: 'Name in the certificate of the shared Redis. Default: its host name.',
  },
  redisSentinelUsername: {
    variable: 'WEIR_REDIS_SENTINEL_USERNAME',
    schema: z.string(),
    placeholder: 'name',
    meaning: 'User for the Sentinels. The user for Redis itself is in the URL.',
  },
  redisSentinelPassword: {
    variable: 'WEIR_REDIS_SENTINEL_PASSWORD',
    schema: z.string(),
    placeholder: 'password',
    meaning: 'Password for the Sentinels, if they require one.',
    isSecret: true,
  },
  storeWaitMs: {
    variable: 'WEIR_STORE_WAIT',
    schema: duration(0),
    default: '60s',
    placeholder: 'duration',
    meaning:
      'How long a starting server waits for a Redis that does not reply, for example as it starts later. Time in which Redis loads its data does not count.',
  },
  storeTimeoutMs: {
    variable: 'WEIR_STORE_TIMEOUT',
    schema: duration(500),
    default: '2s',
    placeholder: 'duration',
    meaning:
      'How long a request waits for Redis before it fails with STORE_UNAVAILABLE. Longer where the disk of Redis needs seconds for a sync.',
  },
  appendfsync: {
    variable: 'WEIR_APPENDFSYNC',
    schema: oneOf(['always', 'everysec', 'no']),
    default: 'always',
    placeholder: 'when',
    meaning:
      'When the private Redis syncs writes to disk: always (before each reply), everysec (once a second), or no (left to the system).',
  },
  prefix: {
    variable: 'WEIR_PREFIX',
    schema: matching(/^[A-Za-z0-9._-]{1,64}$/, 'must have 1 to 64 characters of A-Z a-z 0-9 . _ -'),
    default: 'weir',
    placeholder: 'name',
    meaning: 'Prefix of all keys in Redis, so that several clusters can share one Redis.',
  },
  sessionMinTtlMs: {
    variable: 'WEIR_SESSION_MIN_TTL',
    schema: duration(100),
    default: '1s',
    placeholder: 'duration',
    meaning: 'Minimum time to live of a session. Shorter requests are raised to it.',
  },
  sessionMaxTtlMs: {
    variable: 'WEIR_SESSION_MAX_TTL',
    schema: duration(100),
    default: '24h',
    placeholder: 'duration',
    meaning: 'Maximum time to live of a session. Longer requests are reduced to it.',
  },
  brokerSessionTtlMs: {
    variable: 'WEIR_BROKER_SESSION_TTL',
    schema: duration(100),
    default: '6s',
    placeholder: 'duration',
    meaning: 'Time to live of the session of a broker: without a renewal for this time, the broker counts as dead.',
  },
  drainDelayMs: {
    variable: 'WEIR_DRAIN_DELAY',
    schema: duration(0),
    default: '3s',
    placeholder: 'duration',
    meaning:
      'With a shared Redis: how long the server continues to serve after SIGTERM while /health/ready reports 503, so that load balancers stop sending requests.',
  },
  producerIdExpirationMs: {
    variable: 'WEIR_PRODUCER_ID_EXPIRATION',
    schema: duration(1000),
    default: '24h',
    placeholder: 'duration',
    meaning: 'How long an unused named producer is kept.',
  },
  offsetsRetentionMs: {
    variable: 'WEIR_OFFSETS_RETENTION',
    schema: duration(1000),
    default: '7d',
    placeholder: 'duration',
    meaning: 'How long committed offsets are kept in an empty group, or for topics to which no member subscribes.',
  },
  eventRetention: {
    variable: 'WEIR_EVENT_RETENTION',
    schema: integer(1, 2 ** 31 - 1),
    default: '100000',
    placeholder: 'number',
    meaning: 'Number of transactions of the tree that are kept for watches that resume.',
  },
  maxNodeBytes: {
    variable: 'WEIR_MAX_NODE_BYTES',
    schema: size('1', '256MiB'),
    default: '1MiB',
    placeholder: 'size',
    meaning: 'Maximum size of the data of a node.',
  },
  nodeCacheBytes: {
    variable: 'WEIR_NODE_CACHE_BYTES',
    schema: size('0', '64GiB'),
    default: '32MiB',
    placeholder: 'size',
    meaning: 'Memory for nodes that are read with `read=local`; `0` = none, so that these reads go to the store, too.',
  },
  maxBodyBytes: {
    variable: 'WEIR_MAX_BODY_BYTES',
    schema: size('1', '256MiB'),
    default: '16MiB',
    placeholder: 'size',
    meaning: 'Maximum size of a request body. NDJSON streams have no limit.',
  },
  maxPartitions: {
    variable: 'WEIR_MAX_PARTITIONS',
    schema: integer(1, 1_000_000),
    default: '20000',
    placeholder: 'number',
    meaning: 'Maximum number of partitions of all topics together.',
  },
  batchCacheBytes: {
    variable: 'WEIR_BATCH_CACHE_BYTES',
    schema: size('0', '64GiB'),
    default: '16MiB',
    placeholder: 'size',
    meaning: 'Memory for recent batches of logs, from which readers near the end are served. 0 = none.',
  },
  maxConnections: {
    variable: 'WEIR_MAX_CONNECTIONS',
    schema: integer(10, 1_000_000),
    default: '16000',
    placeholder: 'number',
    meaning: 'Maximum number of client connections. The limit of open files of the system must be some hundred higher.',
  },
  addressShare: {
    variable: 'WEIR_ADDRESS_SHARE',
    schema: percentage(),
    default: '50%',
    placeholder: 'percent',
    meaning:
      'Share of the limits on connections, WebSockets, watches, long polls and NDJSON uploads that one remote address may use while others use none. 100% = no limit for one address.',
  },
  trustProxy: {
    variable: 'WEIR_TRUST_PROXY',
    schema: addressList(),
    default: '',
    placeholder: 'networks',
    meaning:
      'Proxies whose X-Forwarded-For header is trusted, separated by commas: addresses, networks such as 10.0.0.0/8, or loopback, linklocal, uniquelocal. Default: none.',
  },
  autoCreateTopics: {
    variable: 'WEIR_AUTO_CREATE_TOPICS',
    schema: oneOf(['true', 'false']).transform((text) => text === 'true'),
    default: 'false',
    meaning: 'Whether a produce request to an unknown topic creates the topic: true or false.',
  },
  kafkaRest: {
    variable: 'WEIR_KAFKA_REST',
    schema: oneOf(['true', 'false']).transform((text) => text === 'true'),
    default: 'true',
    meaning:
      'Whether the Kafka REST dialect is served: version 2 at /topics, /consumers and /brokers, version 3 at /v3 and /kafka/v3: true or false.',
  },
  kafkaRestIdleTimeoutMs: {
    variable: 'WEIR_KAFKA_REST_IDLE_TIMEOUT',
    schema: duration(500),
    default: '5m',
    placeholder: 'duration',
    meaning: 'How long a consumer instance of the Kafka REST dialect lives without a call, at most 30m.',
  },
  console: {
    variable: 'WEIR_CONSOLE',
    schema: oneOf(['on', 'read-only', 'off'] as const),
    default: 'on',
    placeholder: 'mode',
    meaning:
      'Whether the console is served at /console/: on, read-only (it offers no changes) or off. What its users may do is up to WEIR_ACCESS_FILE.',
  },
  redisMaxmemoryBytes: {
    variable: 'WEIR_REDIS_MAXMEMORY',
    schema: size('1MiB', '1048576GiB'),
    placeholder: 'size',
    meaning: 'Memory limit of the private Redis. Default: half of the memory of the machine or container.',
  },
  ...securityOptions,
  logLevel: {
    variable: 'WEIR_LOG_LEVEL',
    schema: oneOf(logLevels),
    default: 'info',
    placeholder: 'level',
    meaning: `Lowest level of log lines that are printed: ${logLevels.join(', ')}.`,
  },
  logFormat: {
    variable: 'WEIR_LOG_FORMAT',
    schema: oneOf(['auto', 'pretty', 'json']),
    default: 'auto',
    placeholder: 'form',
    meaning:
      'Form of the log: pretty = lines for people, json = a JSON object on each line; auto = pretty on a terminal, json elsewhere.',
  },
};

// Starts complete servers for tests: the production server over a private Redis, with shorter intervals where a test needs them.
import { pino } from 'pino';
import type { Test } from 'tap';
import type { Limits } from '../../src/app.ts';
import type { Config } from '../../src/config/config.ts';
import { type Server, startServer } from '../../src/server.ts';
import type { StoreTarget } from '../../src/store/redis/target.ts';
import { keepSecret, memberHeader } from '../../testbed/member-secrets.ts';
import { startTestRedis } from './redis.ts';

export { eventually } from '../../testbed/scope.ts';

export const testConfig: Config = {
  host: '127.0.0.1',
  port: 0,
  workers: 1,
  dataDir: 'unused',
  appendfsync: 'no',
  prefix: 'weir',
  sessionMinTtlMs: 500,
  sessionMaxTtlMs: 86_400_000,
  brokerSessionTtlMs: 6000,
  storeWaitMs: 10_000,
  // Tests of other things must not fail on a machine that is busy for seconds.
  storeTimeoutMs: 8000,
  drainDelayMs: 0,
  producerIdExpirationMs: 86_400_000,
  eventRetention: 100_000,
  offsetsRetentionMs: 604_800_000,
  maxNodeBytes: 1024 * 1024,
  nodeCacheBytes: 32 * 1024 * 1024,
  maxBodyBytes: 16 * 1024 * 1024,
  batchCacheBytes: 16 * 1024 * 1024,
  maxConnections: 16_000,
  addressShare: 0.5,
  trustProxy: [],
  maxPartitions: 20_000,
  autoCreateTopics: false,
  kafkaRest: true,
  kafkaRestIdleTimeoutMs: 300_000,
  console: 'on',
  insecure: false,
  auditWrites: false,
  corsOrigins: [],
  allowedHosts: [],
  logLevel: 'silent',
  logFormat: 'auto',
};

export interface TestServer extends Server {
  /** The store of the server, to start more brokers over it. */
  target: StoreTarget;
}

/**
 * Starts a server that stops with the test: over a new Redis, or over `target` as a further broker.
 * WEIR_TEST_LOG=debug shows its log.
 */
export async function startTestServer(
  t: Test,
  overrides: Partial<Config> = {},
  target?: StoreTarget,
  limits?: Partial<Limits>,
): Promise<TestServer> {
  const store = target ?? { socketPath: (await startTestRedis(t)).socketPath };
  const log = pino({ level: process.env.WEIR_TEST_LOG ?? 'silent' });
  const server = await startServer({ ...testConfig, ...overrides }, store, log, limits);
  t.teardown(() => server.close());
  const { metrics } = server.broker;
  // A server collects its metrics for at most a part of each second, and shows old ones else: on a busy machine that is often.
  metrics.text = () => metrics.registry.metrics();
  return { ...server, target: store };
}

export interface HttpResponse {
  status: number;
  headers: Headers;
  /** The body as JSON where it is JSON, else as text. */
  body: any;
}

/**
 * Sends one HTTP request. An object as `body` is sent as JSON; a member that joined by this function sends its secret. Rejects if
 * there is no response, or if `signal` is aborted.
 */
export async function http(
  url: string,
  method = 'GET',
  body?: unknown,
  headers: Record<string, string> = {},
  signal?: AbortSignal,
): Promise<HttpResponse> {
  const raw = body === undefined || typeof body === 'string' || body instanceof Uint8Array;
  const response = await fetch(url, {
    method,
    headers: { ...(!raw && { 'content-type': 'application/json' }), ...memberHeader(url, body), ...headers },
    ...(signal && { signal }),
    ...(body !== undefined && { body: raw ? (body as string) : JSON.stringify(body) }),
  });
  const text = await response.text();
  const isJson =
    /json/.test(response.headers.get('content-type') ?? '') &&
    !/ndjson/.test(response.headers.get('content-type') ?? '');
  const received = isJson && text !== '' ? JSON.parse(text) : text;
  keepSecret(url, received);
  return { status: response.status, headers: response.headers, body: received };
}

/**
 * The value of a metric; `name` includes its labels, if any, as printed. NaN if there is no such metric. Of a server of this process it
 * is read directly: to collect all metrics, again and again until one has a value, would be most of what a test does.
 */
export async function metric(server: Pick<TestServer, 'url'> & Partial<TestServer>, name: string): Promise<number> {
  const registry = server.broker?.metrics.registry;
  const instrument = /^\w+?(?=(_bucket|_sum|_count)?(\{|$))/.exec(name)?.[0] ?? name;
  const text = registry?.getSingleMetric(instrument)
    ? await registry.getSingleMetricAsString(instrument)
    : ((await http(`${server.url}/metrics`)).body as string);
  const line = text.split('\n').find((each) => each.startsWith(`${name} `));
  return Number(line?.split(' ')[1] ?? 'NaN');
}

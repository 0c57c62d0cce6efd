// Checks of a server by its URL alone: the public API and /metrics.
import type { Weir } from '@weirkeeper/client';
import type { Brokers, Cluster } from '../api.ts';
import { sizeText } from '../units.ts';
import { type Finding, fail, ok, warn } from './finding.ts';
import { Metrics } from './metrics.ts';

type Http = Weir['http'];

/** @param url of the server @param ownVersion of this program @param signal ends the requests */
export async function checkServer(
  http: Http,
  url: string,
  ownVersion: string,
  signal: AbortSignal,
): Promise<Finding[]> {
  const cluster = await http.json<Cluster>({ path: '/v1/cluster', signal });
  const { brokers } = await http.json<Brokers>({ path: '/v1/brokers', signal });
  return [
    await checkClock(http, signal),
    checkVersions(brokers, ownVersion),
    checkRedisVersion(cluster.store),
    checkController(cluster),
    checkReachability(cluster.store),
    checkMemory(cluster.store),
    checkAppendOnly(cluster.store),
    await checkAccess(http, url, signal),
    ...(await checkMetrics(http, signal)),
  ];
}

/** Both ends of a request, and the second that its response names, bound the difference. */
async function checkClock(http: Http, signal: AbortSignal): Promise<Finding> {
  const askedAt = Date.now();
  const response = await http.send({ path: '/health/live', signal });
  const receivedAt = Date.now();
  // The header has whole seconds, cut off.
  const from = Date.parse(response.headers.get('date') ?? '');
  if (Number.isNaN(from))
    return warn('clock', 'unknown', 'The response has no Date header.', 'Look at the proxy in between.');
  const aheadMs = from > receivedAt ? from - receivedAt : from + 1000 < askedAt ? from + 1000 - askedAt : 0;
  if (Math.abs(aheadMs) < 2000)
    return ok('clock', `within ${1 + Math.ceil(Math.abs(aheadMs) / 1000)} s of this machine`);
  return warn(
    'clock',
    `the server is ${Math.abs(aheadMs)} ms ${aheadMs > 0 ? 'ahead of' : 'behind'} this machine`,
    'Times of nodes and records, retention by age and certificates go by the clock of the server.',
    'Run NTP (chrony, systemd-timesyncd) on both machines.',
  );
}

function checkVersions(brokers: Brokers['brokers'], own: string): Finding {
  const versions = [...new Set(brokers.map(({ version }) => version ?? 'unknown'))];
  const found = `server ${versions.join(', ')}; this program ${own}`;
  if (versions.length > 1)
    return warn(
      'versions',
      found,
      'The brokers run different versions: an upgrade is in progress, or one was forgotten.',
      'Finish the upgrade: weir broker ls names them.',
    );
  const [version = own] = versions;
  const minor = (text: string) => text.split('.').slice(0, 2).join('.');
  if (minor(version) === minor(own) || version === 'unknown') return ok('versions', found);
  return warn(
    'versions',
    found,
    'A command may not know what the server has, or the other way round.',
    'Install the same version of both.',
  );
}

function checkRedisVersion({ version, engine }: Cluster['store']): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const found = `${version}, ${engine}`;
  if (major > 7 || (major === 7 && minor >= 2)) return ok('Redis', found);
  return warn(
    'Redis',
    found,
    'Before 7.2 acks=all cannot wait for the disks of the replicas (WAITAOF).',
    'Upgrade Redis when there is an occasion; everything else works.',
  );
}

function checkController({ controller }: Cluster): Finding {
  if (controller) return ok('controller', `broker ${controller.brokerId}`);
  return fail(
    'controller',
    'none',
    'Nobody elects leaders for the partitions of a broker that has died.',
    'Wait ten seconds and try again; then see "No controller" in docs/operations.md.',
  );
}

function checkReachability({ unreachable }: Cluster['store']): Finding {
  if (unreachable.length === 0) return ok('store', 'every Redis server responds');
  return fail(
    'store',
    `${unreachable.join(', ')} do not respond`,
    'Their data cannot be read or written.',
    'Look at these servers and the network to them.',
  );
}

function checkMemory({ usedMemoryBytes: used, maxMemoryBytes: max }: Cluster['store']): Finding {
  if (max === 0) {
    return warn(
      'memory',
      `${sizeText(used)}, no limit`,
      'Redis grows until the system ends it, and everything stops.',
      'Set maxmemory to two thirds of the memory of the machine.',
    );
  }
  const share = used / max;
  const found = `${sizeText(used)} of ${sizeText(max)} (${Math.round(share * 100)} %)`;
  if (share < 0.8) return ok('memory', found);
  const remedy =
    'Shorten retention.bytes or retention.ms of the largest topics (weir topic ls), delete what is not needed, or raise maxmemory.';
  if (share < 0.95) return warn('memory', found, 'The store will be full one day: then writes are refused.', remedy);
  return fail('memory', found, 'The store is full or nearly so: writes are refused with STORE_FULL.', remedy);
}

function checkAppendOnly({ appendOnly }: Cluster['store']): Finding {
  if (appendOnly) return ok('append-only file', 'on');
  return fail(
    'append-only file',
    'off',
    'When Redis stops, all changes since its last snapshot are lost.',
    'redis-cli CONFIG SET appendonly yes, and the same in redis.conf.',
  );
}

async function checkAccess(http: Http, url: string, signal: AbortSignal): Promise<Finding> {
  const { identity } = await http.json<{ identity: string | null }>({ path: '/v1/access/me', signal });
  const { hostname, protocol } = new URL(url);
  const isLocal = ['localhost', '127.0.0.1', '[::1]'].includes(hostname);
  if (identity === null) {
    if (isLocal) return ok('access', 'no policy; reached on this machine');
    return fail(
      'access',
      'no policy, and others can reach it',
      'Whoever reaches the server may do everything.',
      'Write a policy (docs/security.md), or listen on 127.0.0.1.',
    );
  }
  if (protocol === 'https:' || isLocal) return ok('access', `policy; this is ${identity}`);
  return warn(
    'access',
    `policy; this is ${identity}; no TLS`,
    'Tokens travel in the open.',
    'Set WEIR_TLS_CERT and WEIR_TLS_KEY, or use a proxy with https.',
  );
}

async function checkMetrics(http: Http, signal: AbortSignal): Promise<Finding[]> {
  const { isWeirError } = await import('@weirkeeper/client');
  try {
    const metrics = new Metrics(await (await http.send({ path: '/metrics', signal })).text());
    return [
      checkNode(metrics),
      checkFiles(metrics),
      checkSlowCalls(metrics),
      checkOffline(metrics),
      checkOutages(metrics),
      checkLoop(metrics),
    ];
  } catch (error) {
    if (!isWeirError(error, 'FORBIDDEN', 'AUTH_REQUIRED')) throw error;
    return [
      warn(
        'metrics',
        'not allowed',
        'The checks that need /metrics were left out.',
        'Use a token that may read metrics (docs/security.md).',
      ),
    ];
  }
}

function checkNode(metrics: Metrics): Finding {
  const [info] = metrics.all('nodejs_version_info');
  const version = info?.labels.version ?? 'unknown';
  const major = Number(info?.labels.major);
  const found = `${version} (server), ${process.version} (this program)`;
  if (major >= 20 || version === 'unknown') return ok('Node.js', found);
  return fail('Node.js', found, 'The server is made for Node.js 20 and newer.', 'Upgrade Node.js.');
}

/** What a server needs for its connections and files, with room to spare. */
const filesMin = 4096;

function checkFiles(metrics: Metrics): Finding {
  const limits = metrics.all('process_max_fds').map(({ value }) => value);
  if (limits.length === 0) return ok('open files', 'the server does not report its limit');
  const limit = Math.min(...limits);
  const open = Math.max(0, ...metrics.all('process_open_fds').map(({ value }) => value));
  const found = `${open} of ${limit}`;
  const remedy =
    'Raise it: ulimit -n 65536 before the start, LimitNOFILE=65536 in a systemd unit, or --ulimit nofile=65536 for a container.';
  if (open > 0.9 * limit) return fail('open files', found, 'New connections are refused soon.', remedy);
  if (limit < filesMin) return warn('open files', found, 'Each connection is an open file; the limit is low.', remedy);
  return ok('open files', found);
}

function checkSlowCalls(metrics: Metrics): Finding {
  const share = metrics.shareAbove('weir_store_call_duration_seconds', 0.1);
  const calls = metrics.sum('weir_store_call_duration_seconds_count');
  const found = `${(share * 100).toFixed(2)} % of ${calls} calls took more than 100 ms`;
  if (share < 0.01) return ok('slow scripts', found);
  return warn(
    'slow scripts',
    found,
    'Redis, its disk, or the network to it is slow; sessions may end late.',
    'See "Slow store" in docs/operations.md; weir doctor --redis-url or --data-dir shows the slow commands.',
  );
}

function checkOffline(metrics: Metrics): Finding {
  const offline = metrics.sum('weir_offline_partitions');
  if (offline === 0) return ok('partitions', 'all have a leader');
  return fail(
    'partitions',
    `${offline} without a leader`,
    'Their retention and compaction stand still.',
    'Start the brokers that are their replicas, or reassign them (weir broker reassign).',
  );
}

function checkOutages(metrics: Metrics): Finding {
  const outages = metrics.sum('weir_outage_extensions_total');
  if (outages === 0) return ok('outages', 'none since the start');
  return warn(
    'outages',
    `${outages} since the start`,
    'The service stood still for more than a second, and all sessions got their time again.',
    'See "Outages" in docs/operations.md: look at Redis, its disk, and pauses of the machine.',
  );
}

function checkLoop(metrics: Metrics): Finding {
  const p99 = Math.max(0, ...metrics.all('nodejs_eventloop_lag_p99_seconds').map(({ value }) => value));
  const found = `p99 ${(p99 * 1000).toFixed(0)} ms`;
  if (p99 < 0.2) return ok('event loop', found);
  return warn(
    'event loop',
    found,
    'The server has more to do than one core can, or the machine is busy.',
    'Start workers (--workers auto) or more brokers.',
  );
}

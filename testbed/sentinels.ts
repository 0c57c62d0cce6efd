// A primary with replicas and three Sentinels that watch it, each a process.
import type { Certificates } from './certificates.ts';
import { type RedisNode, startRedisNode } from './redis-node.ts';
import { eventually, type Scope } from './scope.ts';

export interface SentinelSetup {
  url: string;
  nodes: RedisNode[];
  sentinels: RedisNode[];
  /** How often Sentinels check each other and Redis: at their default rate, or several times as often. */
  setPace(pace: keyof typeof paces): Promise<void>;
  /** The node that the Sentinels name now. */
  primary(): Promise<RedisNode>;
  /** Waits until the Sentinels name another node than `old`, and that one writes. */
  failedOverFrom(old: RedisNode, withinMs?: number): Promise<RedisNode>;
}

/**
 * ms; the first are Sentinel's own, with which it takes 10 s to find replicas and other Sentinels, and with which it does nothing for half a
 * minute (TILT) after the machine has stood still for two seconds.
 */
const paces = {
  usual: { INFO: 10_000, PUBLISH: 2000, PING: 1000, TILT: 30_000 },
  hurried: { INFO: 500, PUBLISH: 200, PING: 200, TILT: 1000 },
};

/**
 * Starts a primary, replicas and Sentinels with short intervals.
 * @param settings further lines of the configuration of each Redis
 * @param secured with which all speak TLS, and further lines of the configuration of each Sentinel
 */
export async function startSentinels(
  scope: Scope,
  replicas: number,
  settings: string[] = [],
  { tls, sentinel: ofSentinel = [] }: { tls?: Certificates; sentinel?: string[] } = {},
): Promise<SentinelSetup> {
  const first = await startRedisNode(scope, settings, { tls });
  const others = await Promise.all(
    Array.from({ length: replicas }, () =>
      startRedisNode(scope, [...settings, `replicaof 127.0.0.1 ${first.port}`], { tls }),
    ),
  );
  const nodes = [first, ...others];
  await eventually(async () => (await first.info('connected_slaves')) === String(replicas), 'the replicas are there');
  const sentinels = await Promise.all(
    [1, 2, 3].map(() =>
      startRedisNode(
        scope,
        [
          `sentinel monitor main 127.0.0.1 ${first.port} 2`,
          'sentinel down-after-milliseconds main 1000',
          'sentinel failover-timeout main 3000',
          ...ofSentinel,
        ],
        { sentinel: true, tls },
      ),
    ),
  );
  const setPace = async (pace: keyof typeof paces) => {
    const periods = Object.entries(paces[pace]).flatMap(([what, ms]) => [`${what}-PERIOD`, String(ms)]);
    for (const sentinel of sentinels) await sentinel.ask('SENTINEL', 'DEBUG', ...periods);
  };
  await setPace('hurried');
  const knowsAll = async (sentinel: RedisNode) => {
    const fields = (await sentinel.ask('SENTINEL', 'MASTER', 'main')) as string[];
    const number = (name: string) => Number(fields[fields.indexOf(name) + 1]);
    return number('num-slaves') === replicas && number('num-other-sentinels') === 2;
  };
  for (const sentinel of sentinels) await eventually(() => knowsAll(sentinel), 'a Sentinel knows all others');

  const primary = async () => {
    const [, port] = (await sentinels[0]!.ask('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'main')) as string[];
    return nodes.find((node) => node.port === Number(port))!;
  };
  return {
    url: `redis+sentinel://${sentinels.map(({ host, port }) => `${host}:${port}`).join(',')}/main`,
    nodes,
    sentinels,
    setPace,
    primary,
    failedOverFrom: (old, withinMs = 30_000) =>
      eventually(
        async () => {
          const now = await primary();
          return now !== old && (await now.info('role').catch(() => '')) === 'master' ? now : undefined;
        },
        'another primary is there',
        withinMs,
      ),
  };
}

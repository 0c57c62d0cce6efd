// Measures how long a failover by Sentinels lasts: the primary is killed, or hangs. The table also has the times of the Sentinels
// themselves: when a replica is promoted, and when the first and the last Sentinel name it.
import type { RedisNode } from '../../testbed/redis-node.ts';
import type { Scope } from '../../testbed/scope.ts';
import { type SentinelSetup, startSentinels } from '../../testbed/sentinels.ts';
import { type ClusterScale, ClusterSite, json, until } from '../lib/cluster-site.ts';
import { both, table } from '../lib/measure.ts';
import { type Account, type Ask, accountCells, accountHead, SteadyLoad } from '../lib/steady-load.ts';

const replicas = 2;

/** Times in ms from the failure. */
interface Failure {
  promotedMs: number;
  namedMs: number;
  allNameMs: number;
  servedMs: number;
  one: Account;
  all: Account;
}

export const measureSentinelKilled = (scope: Scope, scale: ClusterScale) => measure(scope, scale, 'SIGKILL');
export const measureSentinelStopped = (scope: Scope, scale: ClusterScale) => measure(scope, scale, 'SIGSTOP');

async function measure(scope: Scope, scale: ClusterScale, signal: 'SIGKILL' | 'SIGSTOP'): Promise<string[]> {
  const setup = await startSentinels(scope, replicas, ['appendonly yes', 'appendfsync everysec']);
  const site = await ClusterSite.open(scope, setup.url, 2, scale);
  const config = { 'min.insync.replicas': 2 };
  await json(`${site.urls[0]}/v1/topics`, 'POST', { name: 'kept', partitions: 6, config });
  const produce = (name: string, query: string): Ask => ({
    name,
    method: 'POST',
    path: `/v1/topics/kept/records${query}`,
    body: { records: [{ value: 1 }] },
  });
  const node: Ask = { name: 'one', method: 'PUT', path: '/v1/nodes/bench', body: 1 };
  const asks = [produce('one', ''), produce('all', '?acks=all'), node];
  const load = SteadyLoad.start(scope, site.urls, [...asks, ...asks.toReversed()]);
  const failures: Failure[] = [];
  for (let n = 0; n < scale.failures; n += 1) failures.push(await failPrimary(setup, load, signal));
  const what = signal === 'SIGKILL' ? 'Sentinel, the primary killed' : 'Sentinel, the primary hangs (SIGSTOP)';

  const times = (of: (failure: Failure) => number) => both(failures.map(of));
  const rows = [
    ['Redis: a replica is promoted', times(({ promotedMs }) => promotedMs)],
    ['a Sentinel names it', times(({ namedMs }) => namedMs)],
    ['all Sentinels name it', times(({ allNameMs }) => allNameMs)],
    ['all clients are served again', times(({ servedMs }) => servedMs)],
    ['after a Sentinel named it', times(({ namedMs, servedMs }) => servedMs - namedMs)],
  ];
  return [
    table(`${what}: ms until (p50 / worst of ${failures.length})`, ['', 'ms'], rows),
    table(
      `${what}: clients`,
      ['', ...accountHead],
      [
        ['nodes, acks=1', ...accountCells(failures.map(({ one }) => one))],
        ['acks=all', ...accountCells(failures.map(({ all }) => all))],
      ],
    ),
  ];
}

async function failPrimary(setup: SentinelSetup, load: SteadyLoad, signal: 'SIGKILL' | 'SIGSTOP'): Promise<Failure> {
  const old = await setup.primary();
  await load.served(performance.now());
  await setup.setPace('usual');
  load.begin();
  const failedAt = performance.now();
  const served = load.served(failedAt);
  const killed = signal === 'SIGKILL' ? old.kill() : old.signal(signal);
  const others = setup.nodes.filter((node) => node !== old);
  const isPrimary = async (node: RedisNode) => (await node.info('role').catch(() => '')) === 'master';
  const namedPorts = async () => {
    const asked = setup.sentinels.map((each) => each.ask('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'main'));
    return (await Promise.all(asked)).map((place) => Number((place as string[])[1]));
  };
  const passed = async (condition: () => Promise<boolean>, what: string) => {
    await until(condition, what);
    return performance.now() - failedAt;
  };
  const [promotedMs, namedMs, allNameMs] = await Promise.all([
    passed(async () => (await Promise.all(others.map(isPrimary))).includes(true), 'a replica is the primary'),
    passed(async () => (await namedPorts()).some((port) => port !== old.port), 'a Sentinel names it'),
    passed(async () => (await namedPorts()).every((port) => port !== old.port), 'all Sentinels name it'),
  ]);
  const servedMs = (await served) - failedAt;
  const failure = { promotedMs, namedMs, allNameMs, servedMs, one: load.account(/one/), all: load.account(/all/) };

  await killed;
  await setup.setPace('hurried');
  await (signal === 'SIGKILL' ? old.start() : old.signal('SIGCONT'));
  const now = await setup.primary();
  // A Sentinel would reconfigure it as well, but later.
  await old.ask('REPLICAOF', now.host, String(now.port));
  await until(async () => (await knowAll(setup)) && (await now.info('connected_slaves')) === String(replicas), 'whole');
  return failure;
}

/** Whether each Sentinel reports all replicas as healthy. */
async function knowAll({ sentinels }: SentinelSetup): Promise<boolean> {
  const known = await Promise.all(sentinels.map((sentinel) => sentinel.ask('SENTINEL', 'REPLICAS', 'main')));
  const field = (fields: string[], name: string) => fields[fields.indexOf(name) + 1];
  const isFine = (fields: string[]) =>
    field(fields, 'flags') === 'slave' && field(fields, 'master-link-status') === 'ok';
  return (known as string[][][]).every((each) => each.length === replicas && each.every(isFine));
}

// Measures how long a failover in a Redis Cluster lasts, and which clients it affects: the primary of the tree is killed, or one
// that has only logs. The table also has the time at which the replica is promoted, for comparison.
import { coordinationKeys, partitionKeys } from '../../src/store/keys.ts';
import { type ClusterNode, type ClusterSetup, startRedisCluster } from '../../testbed/redis-cluster.ts';
import type { Scope } from '../../testbed/scope.ts';
import { type ClusterScale, ClusterSite, json, until } from '../lib/cluster-site.ts';
import { both, table } from '../lib/measure.ts';
import { type Account, type Ask, accountCells, accountHead, SteadyLoad } from '../lib/steady-load.ts';

const partitions = 12;
const prefix = 'weir';
const nodeTimeoutMs = 1500;

/** Times in ms from the kill. */
interface Failure {
  promotedMs: number;
  servedMs: number;
  /** The accounts of clients whose keys are on the killed primary, and of the other clients. */
  there: Account;
  elsewhere: Account;
}

export async function measureClusterFailover(scope: Scope, scale: ClusterScale): Promise<string[]> {
  const settings = [
    `cluster-node-timeout ${nodeTimeoutMs}`,
    'cluster-require-full-coverage no',
    'appendfsync everysec',
  ];
  const cluster = await startRedisCluster(scope, 3, true, settings);
  const site = await ClusterSite.open(scope, cluster.url, 2, scale);
  await json(`${site.urls[0]}/v1/topics`, 'POST', { name: 'kept', partitions });
  const { topicId } = await json(`${site.urls[0]}/v1/topics/kept`);
  const logs = Array.from({ length: partitions }, (_, partition) => partition);
  const keys = new Map(logs.map((log) => [`log-${log}.`, partitionKeys(prefix, topicId, log).partition]));
  const produce = (log: number): Ask => ({
    name: `log-${log}.`,
    method: 'POST',
    path: '/v1/topics/kept/records',
    body: { records: [{ value: 1, partition: log }] },
  });
  const nodes = [1, 2].map((n): Ask => ({ name: 'tree', method: 'PUT', path: `/v1/nodes/bench-${n}`, body: n }));
  const load = SteadyLoad.start(scope, site.urls, [...nodes, ...logs.map(produce)]);

  const times: string[][] = [];
  const accounts: string[][] = [];
  for (const what of ['tree', 'logs'] as const) {
    const failures: Failure[] = [];
    for (let n = 0; n < scale.failures; n += 1) failures.push(await killOwner(cluster, load, keys, what));
    const row = (of: (failure: Failure) => number) => both(failures.map(of));
    const name = what === 'tree' ? 'the primary of the tree' : 'a primary of logs only';
    times.push([
      name,
      row(({ promotedMs }) => promotedMs),
      row(({ servedMs }) => servedMs),
      row(({ promotedMs, servedMs }) => servedMs - promotedMs),
    ]);
    accounts.push([`${name}: of its keys`, ...accountCells(failures.map(({ there }) => there))]);
    accounts.push([`${name}: of others`, ...accountCells(failures.map(({ elsewhere }) => elsewhere))]);
  }
  const head = ['killed', 'its replica is promoted', 'all clients are served again', 'after the promotion'];
  const title = `Redis Cluster, ms (p50 / worst of ${scale.failures}); cluster-node-timeout ${nodeTimeoutMs} ms`;
  return [table(title, head, times), table('Redis Cluster: clients', ['', ...accountHead], accounts)];
}

async function killOwner(
  cluster: ClusterSetup,
  load: SteadyLoad,
  keys: Map<string, string>,
  what: 'tree' | 'logs',
): Promise<Failure> {
  const owners = new Map<string, ClusterNode>();
  owners.set('tree', await cluster.ownerOf(coordinationKeys(prefix).root));
  for (const [name, key] of keys) owners.set(name, await cluster.ownerOf(key));
  const tree = owners.get('tree')!;
  const killed = what === 'tree' ? tree : [...owners.values()].find((owner) => owner !== tree)!;
  const replica = await until(() => cluster.replicaOf(killed), 'it is known who its replica is');
  const there = [...owners].filter(([, owner]) => owner === killed).map(([name]) => name);
  const theirs = new RegExp(`^(${there.join('|').replaceAll('.', '\\.')})$`);
  const others = new RegExp(`^(?!(${there.join('|').replaceAll('.', '\\.')})$)`);
  await load.served(performance.now());
  load.begin();
  const failedAt = performance.now();
  const served = load.served(failedAt, theirs);
  const ended = killed.kill();
  await until(async () => (await replica.info('role')) === 'master', 'the replica is the primary');
  const promotedMs = performance.now() - failedAt;
  const servedMs = (await served) - failedAt;
  const failure = { promotedMs, servedMs, there: load.account(theirs), elsewhere: load.account(others) };
  await ended;
  await killed.start();
  await cluster.isWhole();
  return failure;
}

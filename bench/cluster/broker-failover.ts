// Measures how long the failure of a broker lasts, and which requests of clients fail. There are three failures: a broker that
// leads partitions is killed, the controller is killed, and the controller hangs. The times are those of the events at a watch
// through a broker that survives.
import { setTimeout as pause } from 'node:timers/promises';
import { startRedisNode } from '../../testbed/redis-node.ts';
import type { Scope } from '../../testbed/scope.ts';
import { type ClusterBroker, type ClusterScale, ClusterSite, json, until } from '../lib/cluster-site.ts';
import { RoamingMember, type SeenEvent, TreeWatch } from '../lib/cluster-sockets.ts';
import { both, table } from '../lib/measure.ts';
import { type Account, type Ask, accountCells, accountHead, SteadyLoad } from '../lib/steady-load.ts';

const partitions = 12;
const topic = 'kept';

/** Times in ms from the failure. */
interface Failure extends Account {
  noticedMs: number;
  electedMs?: number;
  ledMs: number;
  memberMs?: number;
}

export const measureBrokerFailover = (scope: Scope, scale: ClusterScale) =>
  measure(scope, scale, 'A broker killed', (cluster, n) => cluster.fail('broker', 'SIGKILL', n));
export const measureControllerKilled = (scope: Scope, scale: ClusterScale) =>
  measure(scope, scale, 'The controller killed', (cluster, n) => cluster.fail('controller', 'SIGKILL', n));
export const measureControllerStopped = (scope: Scope, scale: ClusterScale) =>
  measure(scope, scale, 'The controller hangs (SIGSTOP)', (cluster, n) => cluster.fail('controller', 'SIGSTOP', n));

async function measure(
  scope: Scope,
  scale: ClusterScale,
  what: string,
  fail: (cluster: Cluster, n: number) => Promise<Failure>,
): Promise<string[]> {
  const cluster = await Cluster.open(scope, scale);
  const failures: Failure[] = [];
  for (let n = 0; n < scale.failures; n += 1) failures.push(await fail(cluster, n));
  const times = (of: (failure: Failure) => number | undefined) =>
    both(failures.flatMap((failure) => of(failure) ?? []));
  const rows = [
    ['the session of the broker has expired', times(({ noticedMs }) => noticedMs)],
    ['there is a new controller', times(({ electedMs }) => electedMs)],
    ['all its partitions have a live leader', times(({ ledMs }) => ledMs)],
    ['a member on a socket of it gets records through another broker', times(({ memberMs }) => memberMs)],
  ].filter(([, shown]) => shown !== '');
  const title = `${what}: ms until (p50 / worst of ${failures.length})`;
  return [
    table(`${title}; a broker's session lasts ${scale.sessionTtlMs} ms`, ['', 'ms'], rows),
    table(
      `${what}: its clients`,
      ['', ...accountHead],
      [['all clients, over three brokers', ...accountCells(failures)]],
    ),
  ];
}

/** Three brokers over one Redis under load. Each leads some partitions of the topic. */
class Cluster {
  readonly #site: ClusterSite;
  readonly #scale: ClusterScale;
  readonly #load: SteadyLoad;

  static async open(scope: Scope, scale: ClusterScale): Promise<Cluster> {
    const redis = await startRedisNode(scope, ['appendonly yes', 'appendfsync everysec']);
    const site = await ClusterSite.open(scope, `redis://127.0.0.1:${redis.port}`, 3, scale);
    await json(`${site.urls[0]}/v1/topics`, 'POST', { name: topic, partitions, replicationFactor: 3 });
    const produce: Ask = {
      name: 'produce',
      method: 'POST',
      path: `/v1/topics/${topic}/records`,
      body: { records: [{ value: 1 }] },
    };
    const nodes = [1, 2, 3].map((n): Ask => ({ name: 'node', method: 'PUT', path: `/v1/nodes/bench-${n}`, body: n }));
    return new Cluster(site, scale, SteadyLoad.start(scope, site.urls, [produce, produce, produce, ...nodes]));
  }

  private constructor(site: ClusterSite, scale: ClusterScale, load: SteadyLoad) {
    this.#site = site;
    this.#scale = scale;
    this.#load = load;
  }

  /** Kills or stops the controller or another broker, waits until the cluster has recovered, and starts the broker again. */
  async fail(which: 'broker' | 'controller', signal: 'SIGKILL' | 'SIGSTOP', n: number): Promise<Failure> {
    const controller = await this.#whole();
    const other = (controller % 3) + 1;
    const id = which === 'controller' ? controller : other;
    const victim = this.#site.brokers[id - 1]!;
    const survivors = this.#site.brokers.filter((broker) => broker !== victim);
    const watch = await TreeWatch.open(survivors[0]!.url, ['/brokers', '/controller']);
    const noticed = watch.seen(({ type, path }) => type === 'deleted' && path === `/brokers/ids/${id}`);
    const elected =
      which === 'controller' && watch.seen(({ type, path }) => type === 'created' && path === '/controller');
    const led = this.#led(watch, id);
    const member = signal === 'SIGKILL' ? await this.#memberOf(victim, n) : undefined;
    this.#load.begin();
    // At a random time between two renewals of the broker's session.
    await pause((Math.random() * this.#scale.sessionTtlMs) / 3);

    const failedAt = performance.now();
    victim.process.kill(signal);
    const elsewhere = member?.records((url) => url !== victim.url);
    const failure: Omit<Failure, keyof Account> = {
      noticedMs: (await noticed) - failedAt,
      ledMs: (await led) - failedAt,
      ...(elected && { electedMs: (await elected) - failedAt }),
      ...(elsewhere && { memberMs: (await elsewhere) - failedAt }),
    };
    await this.#load.served(performance.now());
    const account = this.#load.account();

    watch.close();
    member?.close();
    if (signal === 'SIGSTOP') victim.process.kill('SIGCONT');
    else await this.#site.startBroker(id);
    return { ...failure, ...account };
  }

  /** Waits until all brokers are alive, in the ISR, and lead their preferred partitions. @returns the controller's id */
  async #whole(): Promise<number> {
    const url = this.#site.urls[0];
    return until(async () => {
      const cluster = await json(`${url}/v1/cluster`);
      const described = await json(`${url}/v1/topics/${topic}`);
      const isWhole = described?.partitions.every(
        ({ isr, leader, replicas }: { isr: number[]; leader: number; replicas: number[] }) =>
          isr.length === 3 && leader === replicas[0],
      );
      return isWhole && cluster?.brokers.length === 3 && cluster.controller?.brokerId;
    }, 'three brokers are in sync');
  }

  /** Resolves when each partition that the broker leads has another leader. Each broker leads a third of the partitions. */
  #led(watch: TreeWatch, id: number): Promise<number> {
    const left = new Set<string>();
    const state = new RegExp(`^/brokers/topics/${topic}/partitions/\\d+/state$`);
    const change = ({ type, path, data }: SeenEvent) => {
      if (type !== 'changed' || data === undefined || !state.test(path)) return false;
      if ((JSON.parse(data) as { leader: number }).leader !== id) left.add(path);
      return left.size === partitions;
    };
    // The broker's id is removed from the ISR of all partitions, so each state is written once, some with a new leader.
    return watch.seen(change);
  }

  /** The only member of a group, which reads its records through this broker. */
  async #memberOf(victim: ClusterBroker, n: number): Promise<RoamingMember> {
    const urls = [victim.url, ...this.#site.urls.filter((url) => url !== victim.url)];
    const member = new RoamingMember(urls, `${victim.id}-${n}`, topic);
    await member.records((url) => url === victim.url);
    return member;
  }
}

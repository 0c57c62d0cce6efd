// How long a failure lasts: brokers and the controller are killed, Redis is restarted; meanwhile two clients go on.
import { type ClusterBroker, type ClusterSite, json, until } from '../lib/cluster-site.ts';
import { median, shown, table } from '../lib/measure.ts';

/** Sends one request after the other through brokers that are alive, and counts. */
class Client {
  sent = 0;
  failed = 0;
  #stopped = false;
  readonly #done: Promise<void>;

  constructor(urls: string[]) {
    this.#done = this.#run(urls);
  }

  async #run(urls: string[]): Promise<void> {
    while (!this.#stopped) {
      const url = urls[this.sent % urls.length]!;
      this.sent += 1;
      if (!(await json(`${url}/v1/topics/kept/records`, 'POST', { records: [{ value: 1 }] }))) this.failed += 1;
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  stop(): Promise<void> {
    this.#stopped = true;
    return this.#done;
  }
}

interface Failure {
  ms: number;
  sent: number;
  failed: number;
}

export async function measureFailover(site: ClusterSite): Promise<string[]> {
  for (let id = site.brokers.length + 1; id <= 3; id += 1) await site.startBroker(id);
  const [{ url }] = site.brokers as [ClusterBroker];
  await json(`${url}/v1/topics`, 'POST', { name: 'kept', partitions: 12, replicationFactor: 3 });
  const kinds: [string, () => Promise<Failure>][] = [
    ['broker killed: its partitions have other leaders', () => killOne(site, false)],
    ['controller killed: there is another one', () => killOne(site, true)],
    ['Redis restarted: served again', () => restartRedis(site)],
  ];
  const rows: string[][] = [];
  for (const [what, fail] of kinds) {
    const failures: Failure[] = [];
    for (let n = 0; n < site.scale.failures; n += 1) failures.push(await fail());
    const ms = failures.map((failure) => failure.ms);
    const sum = (of: (failure: Failure) => number) => failures.reduce((total, failure) => total + of(failure), 0);
    rows.push([
      what,
      String(failures.length),
      shown(median(ms)),
      shown(Math.max(...ms)),
      shown(sum(({ failed }) => failed) / failures.length),
      shown(sum(({ sent }) => sent) / failures.length),
    ]);
  }
  const head = ['', 'runs', 'p50 ms', 'worst ms', 'requests failed each time', 'of requests sent'];
  return [table(`Failures, with a broker's session of ${site.scale.sessionTtlMs} ms`, head, rows)];
}

/** Kills the controller or another one, and waits until the cluster has got over it; then that broker comes back. */
async function killOne(site: ClusterSite, controller: boolean): Promise<Failure> {
  const any = site.brokers[0]!.url;
  const { answer: before } = await until(async () => {
    const cluster = await json(`${any}/v1/cluster`);
    const topic = await json(`${any}/v1/topics/kept`);
    const isWhole = topic?.partitions.every(({ isr }: { isr: number[] }) => isr.length === 3);
    return cluster?.controller && cluster.brokers.length === 3 && isWhole && cluster;
  });
  const holder: number = before.controller.brokerId;
  const leads = async (id: number) => {
    const topic = await json(`${any}/v1/topics/kept`);
    return topic?.partitions.some(({ leader }: { leader: number }) => leader === id);
  };
  const others: number[] = [1, 2, 3].filter((id) => id !== holder);
  const id = controller ? holder : others[Math.floor(Math.random() * others.length)]!;
  const survivors = site.brokers.filter((broker) => broker.id !== id);
  const asked = survivors[0]!.url;
  const client = new Client(survivors.map(({ url }) => url));
  const led = !controller && (await leads(id));
  await site.brokers[id - 1]!.kill();
  const { ms } = await until(async () => {
    if (controller) return (await json(`${asked}/v1/cluster`))?.controller?.epoch > before.controller.epoch;
    const topic = await json(`${asked}/v1/topics/kept`);
    return topic?.partitions.every(({ isr }: { isr: number[] }) => !isr.includes(id));
  });
  await client.stop();
  await site.startBroker(id);
  if (!controller && !led) return killOne(site, controller);
  return { ms, sent: client.sent, failed: client.failed };
}

async function restartRedis(site: ClusterSite): Promise<Failure> {
  const urls = site.brokers.map(({ url }) => url);
  const client = new Client(urls);
  process.kill(site.redis.pid, 'SIGTERM');
  // It still answers while it ends: it must have been away first.
  await until(async () => client.failed > 0);
  const { ms } = await until(async () => {
    const written = urls.map((url) => json(`${url}/v1/topics/kept/records`, 'POST', { records: [{ value: 2 }] }));
    return (await Promise.all(written)).every((answer) => answer !== undefined);
  });
  await client.stop();
  return { ms, sent: client.sent, failed: client.failed };
}

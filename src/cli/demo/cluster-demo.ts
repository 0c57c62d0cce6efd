// A guided walk through a cluster: what happens in the tree when a topic is created, members come and go, and a broker dies.
import { createInterface } from 'node:readline';
import type { Consumer, Weir } from '@weirkeeper/client';
import type { Cli } from '../cli.ts';
import { wordsOf } from './cluster-events.ts';
import { type DemoBroker, type PrivateCluster, startPrivateCluster } from './private-cluster.ts';

const topic = 'clicks';
const group = 'stats';
const partitions = 3;
/** How long a change may take to be seen. */
const waitMsMax = 60_000;
const pollMs = 50;

interface Step {
  title: string;
  /** What is to be seen, and why. */
  text: string;
  run(): Promise<void>;
}

/** @param isAuto goes on without a key */
export async function clusterDemo(cli: Cli, isAuto: boolean): Promise<void> {
  await cli.out.line('Three brokers over one private Redis are being started …');
  const cluster = await startPrivateCluster(cli.io.env);
  let weir: Weir | undefined;
  try {
    const brokers = await Promise.all([1, 2, 3].map((id) => cluster.start(id)));
    cli.signal.throwIfAborted();
    const { Weir } = await import('@weirkeeper/client');
    weir = new Weir({ url: brokers.map(({ url }) => url), signal: cli.signal });
    await new Walk(cli, cluster, brokers, weir, isAuto).run();
  } finally {
    await weir?.close();
    await cluster.stop();
  }
  await cli.out.line('\nEverything was stopped, and its data deleted.');
}

class Walk {
  readonly #cli: Cli;
  readonly #cluster: PrivateCluster;
  readonly #brokers: Map<number, DemoBroker>;
  readonly #weir: Weir;
  readonly #isAuto: boolean;
  readonly #members = new Map<string, Consumer>();

  constructor(cli: Cli, cluster: PrivateCluster, brokers: readonly DemoBroker[], weir: Weir, isAuto: boolean) {
    this.#cli = cli;
    this.#cluster = cluster;
    this.#brokers = new Map(brokers.map((broker) => [broker.id, broker]));
    this.#weir = weir;
    this.#isAuto = isAuto;
  }

  async run(): Promise<void> {
    const { out, signal } = this.#cli;
    for (const { id, url } of this.#brokers.values()) await out.line(`  broker ${id} at ${url}`);
    await out.line(
      `  in another terminal: export WEIR_URL=${[...this.#brokers.values()].map(({ url }) => url).join(',')}`,
    );
    void this.#tellChanges().catch(() => {});
    for (const [index, { title, text, run }] of this.#steps().entries()) {
      await out.line(`\n${out.style('bold', `${index + 1}. ${title}`)}\n${text}`);
      if (!this.#isAuto) await this.#key();
      signal.throwIfAborted();
      await run();
    }
  }

  #steps(): Step[] {
    return [
      {
        title: 'Who is there',
        text: 'Each broker has an ephemeral node in /brokers/ids. The first one that created /controller is the controller.',
        run: () => this.#show(),
      },
      {
        title: 'Create a topic',
        text: `The topic ${topic} has ${partitions} partitions with three replicas each. The controller writes who leads each into …/partitions/N/state.`,
        run: async () => {
          await this.#weir.admin.topics.create({ name: topic, partitions, replicationFactor: 3 });
          await this.#until(async () => (await this.#leaders()).every((leader) => leader > 0));
          await this.#weir
            .producer({ topic })
            .sendBatch(Array.from({ length: 30 }, (_, n) => ({ key: `k${n}`, value: n })));
        },
      },
      {
        title: 'Two members join a group',
        text: `ann and bob share the partitions: /consumers/${group}/owners/${topic} says who reads which.`,
        run: async () => {
          this.#join('ann');
          await this.#until(async () => (await this.#owners()).length === partitions);
          this.#join('bob');
          await this.#until(async () => new Set(await this.#owners()).size === 2);
        },
      },
      {
        title: 'One member leaves',
        text: 'bob stops. What he read goes to ann, behind what he has committed.',
        run: async () => {
          await this.#members.get('bob')?.close();
          await this.#until(async () => (await this.#owners()).join() === 'ann,ann,ann');
        },
      },
      {
        title: 'The controller is killed',
        text: 'As by kill -9: it says good-bye to nobody. When its session ends, after three seconds, its node is deleted. Another broker becomes the controller, and gives its partitions new leaders.',
        run: () => this.#killController(),
      },
      {
        title: 'It comes back',
        text: 'The broker registers again, and follows. Preferred leaders are restored when somebody asks for it (weir broker elect).',
        run: async () => {
          const [id = 1] = [1, 2, 3].filter((each) => !this.#brokers.has(each));
          this.#brokers.set(id, await this.#cluster.start(id));
          await this.#until(async () => (await this.#ids()).length === 3);
          await this.#show();
          for (const member of this.#members.values()) await member.close();
        },
      },
    ];
  }

  async #killController(): Promise<void> {
    const before = (await this.#weir.admin.cluster()).controller?.brokerId ?? 0;
    await this.#brokers.get(before)?.kill();
    this.#brokers.delete(before);
    await this.#cli.out.line(`  broker ${before} was killed`);
    await this.#until(async () => {
      const { controller } = await this.#weir.admin.cluster();
      return controller !== null && controller.brokerId !== before;
    });
    await this.#until(async () => (await this.#leaders()).every((leader) => leader > 0 && leader !== before));
    await this.#show();
  }

  /** Prints the changes of the tree as they come. */
  async #tellChanges(): Promise<void> {
    const { out } = this.#cli;
    for await (const { zxid, events } of this.#weir.watch('/', {
      mode: 'recursive',
      data: true,
      onCompacted: 'resync',
    })) {
      for (const event of events) {
        const words = wordsOf(event);
        if (words !== undefined)
          await out.line(`  ${out.style('dim', `${zxid} ${event.type} ${event.path}`)}\n    ${words}`);
      }
    }
  }

  async #show(): Promise<void> {
    const { out } = this.#cli;
    const { controller } = await this.#weir.admin.cluster();
    const leaders = (await this.#weir.tree.exists(`/brokers/topics/${topic}`)) ? await this.#leaders() : [];
    await out.line(`  brokers ${(await this.#ids()).join(', ')}; controller ${controller?.brokerId ?? 'none'}`);
    for (const [partition, leader] of leaders.entries()) await out.line(`  ${topic}-${partition}: leader ${leader}`);
  }

  async #ids(): Promise<string[]> {
    return (await this.#weir.tree.children('/brokers/ids')).names;
  }

  async #leaders(): Promise<number[]> {
    return (await this.#weir.admin.topics.describe(topic)).partitions.map(({ leader }) => leader);
  }

  async #owners(): Promise<string[]> {
    const { partitions: all } = await this.#weir.admin.groups.describe(group);
    return all.flatMap(({ owner }) => (owner ? [owner] : [])).sort();
  }

  #join(memberId: string): void {
    const consumer = this.#weir.consumer({ group, topics: [topic], memberId, reset: 'earliest' });
    this.#members.set(memberId, consumer);
    // A batch is committed when the next one is asked for.
    const read = async () => {
      for await (const _ of consumer);
    };
    read().catch(() => {});
  }

  async #until(condition: () => Promise<boolean>): Promise<void> {
    for (const deadline = performance.now() + waitMsMax; ; ) {
      // A broker may just have gone: the next attempt asks another one.
      if (await condition().catch(() => false)) return;
      if (performance.now() > deadline) throw new Error(`Nothing changed within ${waitMsMax} ms.`);
      await this.#cli.sleep(pollMs);
    }
  }

  /** Waits for the return key. */
  async #key(): Promise<void> {
    const { io, out, signal } = this.#cli;
    // Ctrl-C may have come while the step before was shown.
    signal.throwIfAborted();
    await out.write('  (return goes on, Ctrl-C ends) ');
    const lines = createInterface({ input: io.stdin });
    const end = () => lines.close();
    signal.addEventListener('abort', end, { once: true });
    for await (const _ of lines) break;
    signal.removeEventListener('abort', end);
    lines.close();
  }
}

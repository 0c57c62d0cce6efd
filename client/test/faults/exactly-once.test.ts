// Each record counts at least once, and with the example exactly once, though members, brokers and connections are lost.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { projectRoot } from '../../../src/config/config.ts';
import { startServerProcess } from '../../../test/helpers/process.ts';
import { chooseSeed, randomOf } from '../../../test/helpers/random.ts';
import { eventually, startTestServer } from '../../../test/helpers/server.ts';
import { startRedisNode } from '../../../testbed/redis-node.ts';
import { startClient } from '../client.ts';
import { startHostileNetwork } from './hostile-network.ts';

const program = join(projectRoot(), 'examples/node/exactly-once.mjs');
const accounts = ['ann', 'bob', 'eve'];
const count = 3000;

function startMember(t: Test, url: string): ChildProcess {
  const { NODE_OPTIONS: _, ...env } = process.env;
  const child = spawn(process.execPath, [program, 'bank', 'payments'], {
    env: { ...env, WEIR_URL: url },
    stdio: 'ignore',
  });
  t.teardown(() => child.kill('SIGKILL'));
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL');
  await once(child, 'exit');
}

/** Appends payments, and returns what each account must have in the end. */
async function pay(t: Test, url: string | string[]): Promise<Record<string, number>> {
  const weir = startClient(t, url, { retry: { for: '60s', minDelay: 10, maxDelay: 200 } });
  await weir.admin.topics.create({ name: 'payments', partitions: 4 });
  const producer = weir.producer({ topic: 'payments', name: 'payer' });
  const sums: Record<string, number> = {};
  const sent: Promise<unknown>[] = [];
  for (let n = 0; n < count; n += 1) {
    const account = accounts[n % accounts.length]!;
    sums[account] = (sums[account] ?? 0) + n;
    sent.push(producer.send({ key: String(n), value: { account, amount: n } }));
  }
  await Promise.all(sent);
  return sums;
}

t.test(
  'a consumer gets each record at least once, and the example counts it once, though brokers are killed',
  async (t) => {
    const redis = await startRedisNode(t, []);
    const env = { WEIR_REDIS_URL: `redis://127.0.0.1:${redis.port}`, WEIR_INSECURE: 'true' };
    const brokers = [
      await startServerProcess(t, env),
      await startServerProcess(t, env),
      await startServerProcess(t, env),
    ];
    const urls = brokers.map(({ url }) => url);
    const last = startClient(t, urls[2]!);
    const sums = await pay(t, urls[2]!);
    const seen = new Set<number>();
    const consumer = startClient(t, urls).consumer({
      group: 'seen',
      topics: ['payments'],
      reset: 'earliest',
      maxBuffered: 100,
    });
    const running = consumer.run({ eachRecord: ({ value }) => void seen.add((value as { amount: number }).amount) });
    startMember(t, urls.join(','));
    for (const [at, broker] of brokers.slice(0, 2).entries()) {
      await eventually(() => seen.size > at * 500, 'it processes');
      broker.child.kill('SIGKILL');
    }
    await eventually(() => seen.size === count, 'none is missing');
    await consumer.close();
    await running;
    await eventually(async () => (await balances(last)).sum === sum(sums), 'all is added');
    t.same((await balances(last)).of, sums, 'nothing twice');
  },
);

t.test('the example counts each payment once, though members die and connections break', async (t) => {
  const server = await startTestServer(t);
  const seed = chooseSeed();
  t.comment(`WEIR_TEST_SEED=${seed}`);
  const { next: random } = randomOf(seed);
  const network = await startHostileNetwork(t, server.url, random);
  const weir = startClient(t, server.url);
  const sums = await pay(t, server.url);
  const members = [startMember(t, network.url), startMember(t, network.url)];
  for (let deaths = 1; deaths <= 3; deaths += 1) {
    const { sum: before } = await balances(weir);
    await eventually(async () => (await balances(weir)).sum > before || before === sum(sums), 'something is added');
    await kill(members.shift()!);
    members.push(startMember(t, network.url));
  }
  network.calm();
  await eventually(async () => (await balances(weir)).sum >= sum(sums), 'all is added');
  t.same((await balances(weir)).of, sums, 'nothing twice');
});

function sum(of: Record<string, number>): number {
  return Object.values(of).reduce((total, each) => total + each, 0);
}

async function balances({
  tree,
}: ReturnType<typeof startClient>): Promise<{ of: Record<string, number>; sum: number }> {
  const of: Record<string, number> = {};
  for (const account of accounts) {
    const node = await tree.get(`/accounts/bank/${account}`);
    if (node) of[account] = Number(node.text);
  }
  return { of, sum: sum(of) };
}

// The controller when it hangs, loses a reply, or is restarted. The delays are put between the broker and a real store.
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { brokerIdsPath, brokerPath } from '../../../src/core/cluster/cluster-nodes.ts';
import { ServiceError } from '../../../src/core/service-error.ts';
import { startServer } from '../../../src/server.ts';
import type { Namespace } from '../../../src/store/tree/namespace.ts';
import { startTestRedis } from '../../helpers/redis.ts';
import { eventually, http, startTestServer, type TestServer, testConfig } from '../../helpers/server.ts';

const controllerOf = async ({ url }: { url: string }) => (await http(`${url}/v1/cluster`)).body.controller;
const partitionsOf = async (url: string, topic: string) => (await http(`${url}/v1/topics/${topic}`)).body.partitions;
const stateOf = async (url: string, topic: string, partition: number) => {
  const { body } = await http(`${url}/v1/nodes/brokers/topics/${topic}/partitions/${partition}/state?view=node`);
  return { ...JSON.parse(body.data), mzxid: body.stat.mzxid };
};

/** Brokers 1 to `count` over one store; the first is the controller. */
async function startCluster(t: Test, count: number): Promise<TestServer[]> {
  const one = await startTestServer(t, { brokerId: 1 });
  await eventually(async () => (await controllerOf(one))?.brokerId === 1, 'the first broker is the controller');
  const others = await Promise.all(
    Array.from({ length: count - 1 }, (_, n) => startTestServer(t, { brokerId: n + 2 }, one.target)),
  );
  return [one, ...others];
}

/** Replaces a method of the broker's namespace by `around`, which gets the original method. */
function intercept<M extends 'write' | 'writeOne' | 'allChildren'>(
  namespace: Namespace,
  method: M,
  around: (go: () => ReturnType<Namespace[M]>, ...args: Parameters<Namespace[M]>) => ReturnType<Namespace[M]>,
): void {
  const way = namespace[method].bind(namespace) as (...args: unknown[]) => ReturnType<Namespace[M]>;
  Object.assign(namespace, {
    [method]: (...args: Parameters<Namespace[M]>) => around(() => way(...args), ...args),
  });
}

/** A gate that is closed at first; after `open` all callers pass. */
function door(): { passed: Promise<void>; open: () => void } {
  let open = () => {};
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { passed, open };
}

t.test('a late write of a superseded controller is refused', async (t) => {
  const [one, two, three] = (await startCluster(t, 3)) as [TestServer, TestServer, TestServer];
  await http(`${one.url}/v1/topics`, 'POST', { name: 'led', partitions: 3, replicationFactor: 3 });
  // The first controller hangs just before it writes the elections that follow the end of broker 3.
  const { passed, open } = door();
  const late: Promise<unknown>[] = [];
  intercept(one.broker.store.namespace, 'write', (go, operations) => {
    if (!operations.some(({ op, path }) => op === 'set' && path.endsWith('/state'))) return go();
    const writing = passed.then(go);
    late.push(writing.catch((error: unknown) => error));
    return writing;
  });
  await three.close();
  await eventually(() => late.length > 0, 'the controller is about to write');
  await one.broker.store.sessions.end(one.broker.registration.session!);
  await eventually(async () => (await controllerOf(two))?.brokerId === 2, 'another one rules');
  await eventually(
    async () => (await partitionsOf(two.url, 'led')).every(({ isr }: any) => isr.length === 2 && !isr.includes(3)),
    'and it has elected new leaders',
  );
  t.equal((await controllerOf(two)).epoch, 2);
  const states = () => Promise.all([0, 1, 2].map((partition) => stateOf(two.url, 'led', partition)));
  const epochs = async () => (await states()).map(({ controller_epoch }) => controller_epoch);
  t.same(await epochs(), [2, 2, 2]);
  open();
  t.match(
    await late[0],
    { code: 'BAD_VERSION', fields: { failed: 0 } },
    'the check of the controller epoch refused the write',
  );
  // The new controller may have balanced leaders meanwhile. Only the controller epoch of the states matters here.
  t.same(await epochs(), [2, 2, 2]);
  t.equal((await controllerOf(one)).brokerId, 2);
});

t.test('a broker that was elected controller, but lost the reply, becomes controller all the same', async (t) => {
  const [one, two] = (await startCluster(t, 2)) as [TestServer, TestServer];
  await http(`${one.url}/v1/topics`, 'POST', { name: 'led', partitions: 2, replicationFactor: 2 });
  let lost = 0;
  intercept(two.broker.store.namespace, 'write', async (go, operations) => {
    const response = await go();
    if (lost > 0 || operations[0]?.path !== '/controller') return response;
    lost += 1;
    throw new ServiceError('STORE_UNAVAILABLE', 'The response was lost.');
  });
  await one.close();
  await eventually(
    async () => (await partitionsOf(two.url, 'led')).every(({ leader }: any) => leader === 2),
    'it has elected new leaders',
  );
  t.equal(lost, 1);
  t.match(await controllerOf(two), { brokerId: 2, epoch: 2 });
});

t.test('a broker that restarts before the controller sees its end is detected by its broker epoch', async (t) => {
  const [one, two] = (await startCluster(t, 2)) as [TestServer, TestServer];
  await http(`${one.url}/v1/topics`, 'POST', { name: 'led', partitions: 4, replicationFactor: 2 });
  await http(`${one.url}/v1/topics`, 'POST', { name: 'single', partitions: 2 });
  const before = { led: await partitionsOf(one.url, 'led'), single: await partitionsOf(one.url, 'single') };
  // The controller cannot read the brokers before broker 2 is back.
  const { passed, open } = door();
  intercept(one.broker.store.namespace, 'allChildren', async (go, path) => {
    if (path === brokerIdsPath) await passed;
    return go();
  });
  const { epoch } = (await http(`${one.url}/v1/brokers/2`)).body;
  await two.broker.store.sessions.end(two.broker.registration.session!);
  await eventually(
    async () => (await http(`${one.url}/v1/brokers/2`)).body.epoch > epoch,
    'the broker has registered again',
  );
  t.same(await partitionsOf(one.url, 'led'), before.led, 'and no partition has changed yet');
  open();
  await eventually(async () => {
    const now = await partitionsOf(one.url, 'led');
    return now.every(({ leaderEpoch }: any, p: number) => leaderEpoch > before.led[p].leaderEpoch);
  }, 'every partition with a replica on it has a new epoch');
  await eventually(async () => {
    const now = await partitionsOf(one.url, 'led');
    return now.every(({ leader, replicas, isr }: any) => leader === replicas[0] && isr.length === 2);
  }, 'and in the end its preferred leader leads again');
  for (const [p, { leader, leaderEpoch }] of before.single.entries()) {
    const now = (await partitionsOf(one.url, 'single'))[p];
    t.equal(now.leader, leader);
    t.equal(
      now.leaderEpoch,
      leader === 2 ? leaderEpoch + 2 : leaderEpoch,
      'the epoch rises twice where broker 2 is the only replica: for its end and for its start',
    );
  }
});

t.test('a registration event may reach the controller before the broker knows its own session', async (t) => {
  const { socketPath } = await startTestRedis(t);
  const errors: string[] = [];
  const log = pino({ level: 'error' }, { write: (line: string) => errors.push(line) });
  const server = await startServer({ ...testConfig, brokerId: 3 }, { socketPath }, log);
  t.teardown(() => server.close());
  const { broker } = server;
  await eventually(async () => (await controllerOf(server))?.epoch === 1, 'the broker is the controller');
  const own = brokerPath(3);
  let received = 0;
  intercept(broker.store.namespace, 'writeOne', async (go, operation) => {
    const written = await go();
    if (operation.path !== own) return written;
    // The session is in the tree, but not yet in the broker: the controller processes the event first.
    await eventually(() => broker.eventTail.position >= written.zxid, 'the event is here');
    await broker.store.namespace.allChildren(brokerIdsPath);
    received += 1;
    return written;
  });
  await broker.store.sessions.end(broker.registration.session!);
  await eventually(async () => (await controllerOf(server))?.epoch === 2, 'the broker is the controller again');
  t.equal(received, 1);
  t.same(errors, [], 'and no error was logged meanwhile');
});

t.test('the partitions of a dead broker are taken over in transactions of at most 200', async (t) => {
  const [one, two] = (await startCluster(t, 2)) as [TestServer, TestServer];
  // The state with so many replicas is larger than the data that an event carries.
  await http(`${one.url}/v1/topics`, 'POST', { name: 'many', partitions: 1500, replicationFactor: 2 });
  const { events } = one.broker.store;
  const from = await events.newestZxid();
  await two.close();
  await eventually(
    async () => (await partitionsOf(one.url, 'many')).every(({ leader }: any) => leader === 1),
    'broker 1 leads all partitions',
  );
  const { transactions } = await events.range('main', from, await events.newestZxid(), 10_000);
  const changes = transactions.map(({ events }) => events.filter(({ path }) => path.endsWith('/state')).length);
  t.same(
    changes.filter((count) => count > 0),
    [200, 200, 200, 200, 200, 200, 200, 100],
  );
});

// Lists of topics, groups and brokers with figures: through any broker, without reads of each topic or group.
import t from 'tap';
import { createTopic, join, produce } from '../../helpers/groups.ts';
import { eventually, http, startTestServer, type TestServer } from '../../helpers/server.ts';

const one = await startTestServer(t, { brokerId: 1001, rack: 'r1' });
const two = await startTestServer(t, { brokerId: 1002 }, one.target);

const commit = (group: string, topic: string, partition: number, offset: number) =>
  http(`${one.url}/v1/groups/${group}/offsets`, 'POST', { offsets: [{ topic, partition, offset }] });

async function topicsOf({ url }: TestServer): Promise<any[]> {
  return (await http(`${url}/v1/topics?view=summary`)).body.topics;
}

/** Waits until both brokers show a topic like this. */
async function shown(name: string, expected: Record<string, unknown>) {
  let last: unknown;
  const has = async (server: TestServer) => {
    last = (await topicsOf(server)).find((topic) => topic.name === name);
    return Object.entries(expected).every(
      ([field, value]) => JSON.stringify((last as any)?.[field]) === JSON.stringify(value),
    );
  };
  const both = async () => (await has(one)) && (await has(two));
  await eventually(both, `${name} is ${JSON.stringify(expected)}`).catch((error) => {
    throw new Error(`${error.message}; the last was ${JSON.stringify(last)}`);
  });
}

t.test('a summary of topics has their records and bytes through any broker', async (t) => {
  await createTopic(one.url, 'orders', 3);
  await createTopic(one.url, 'bills', 1);
  await shown('orders', { partitions: 3, records: 0, bytes: 0, inPerSec: 0, outPerSec: 0, groups: [] });
  await produce(one.url, 'orders', 0, [1, 2, 3]);
  await produce(two.url, 'orders', 2, ['x']);
  await shown('orders', { records: 4 });
  const { partitions } = (await http(`${one.url}/v1/topics/orders`)).body;
  const bytes = partitions.reduce((sum: number, partition: { bytes: number }) => sum + partition.bytes, 0);
  await shown('orders', { records: 4, bytes });
  await http(`${two.url}/v1/topics/orders/partitions/0/records?before=2`, 'DELETE');
  await shown('orders', { records: 2 });
  await http(`${one.url}/v1/topics/orders`, 'PATCH', { partitions: 4 });
  await produce(one.url, 'orders', 3, ['y']);
  await shown('orders', { partitions: 4, records: 3 });
  const [plain] = (await http(`${one.url}/v1/topics?after=bills`)).body.topics;
  t.same(Object.keys(plain), ['name', 'topicId', 'partitions'], 'without view=summary there are no figures');
  t.equal((await http(`${one.url}/v1/topics?view=all`)).status, 400);
  const first = (await http(`${two.url}/v1/topics?view=summary&limit=1`)).body;
  t.match(first, { topics: [{ name: 'bills' }], next: 'bills' }, 'a summary has pages, too');
  await http(`${two.url}/v1/topics/bills`, 'DELETE');
  await eventually(async () => (await topicsOf(one)).length === 1, 'a deleted topic is not listed');
  await createTopic(two.url, 'bills', 2);
  await shown('bills', { partitions: 2, records: 0 });
});

t.test('a summary of topics says who leads their partitions', async (t) => {
  const { body } = await http(`${one.url}/v1/topics`, 'POST', { name: 'led', partitions: 4, replicationFactor: 2 });
  const replicas: number[][] = body.partitions.map(({ replicas }: { replicas: number[] }) => replicas);
  const leaders = [1001, 1002].map((brokerId) => ({
    brokerId,
    partitions: replicas.filter(([preferred]) => preferred === brokerId).length,
  }));
  await shown('led', { leaders, notPreferred: 0 });
  await http(`${one.url}/v1/topics/led/partitions/0`, 'PATCH', { replicas: replicas[0]?.toReversed() });
  await shown('led', { leaders, notPreferred: 1 });
  await http(`${two.url}/v1/elections`, 'POST', { topic: 'led' });
  await shown('led', { notPreferred: 0 });
  await http(`${two.url}/v1/topics/led`, 'DELETE');
  await eventually(async () => (await topicsOf(one)).every(({ name }) => name !== 'led'), 'it is deleted');
  t.pass();
});

t.test('rates count what all brokers append and send', async (t) => {
  await createTopic(one.url, 'rates', 1);
  await shown('rates', { records: 0 });
  await produce(one.url, 'rates', 0, [1, 2, 3, 4, 5]);
  await http(`${one.url}/v1/topics/rates/partitions/0/records`);
  await http(`${two.url}/v1/topics/rates/partitions/0/records`);
  const rated = async (server: TestServer) => {
    const topic = (await topicsOf(server)).find(({ name }) => name === 'rates');
    return topic.inPerSec === 0.5 && topic.outPerSec === 1;
  };
  await eventually(() => rated(one), 'the mean of 10 s at one broker');
  t.pass();
});

t.test('a summary of groups has their topics and lag; a topic has its groups', async (t) => {
  await createTopic(one.url, 'lag-a', 2);
  await createTopic(one.url, 'lag-b', 1);
  await produce(one.url, 'lag-a', 0, [1, 2, 3]);
  await produce(one.url, 'lag-a', 1, [1]);
  await produce(two.url, 'lag-b', 0, [1, 2]);
  await commit('committed', 'lag-a', 0, 1);
  await commit('committed', 'lag-a', 1, 0);
  await join(two.url, 'fresh', { topics: ['lag-b', 'lag-a'], reset: 'earliest' });
  await join(two.url, 'latest', { topics: ['lag-b'], reset: 'latest' });
  const groupsOf = async ({ url }: TestServer) => (await http(`${url}/v1/groups?view=summary`)).body.groups;
  const expected = [
    { groupId: 'committed', state: 'empty', members: 0, topics: ['lag-a'], lag: 3, maxLag: 2 },
    { groupId: 'fresh', state: 'stable', members: 1, topics: ['lag-a', 'lag-b'], lag: 6, maxLag: 3 },
    { groupId: 'latest', state: 'stable', members: 1, topics: ['lag-b'], lag: 0, maxLag: 0 },
  ];
  for (const server of [one, two]) {
    const same = async () => JSON.stringify(await groupsOf(server)) === JSON.stringify(expected);
    await eventually(same, 'all groups with their lag, before any commit from the reset policy');
  }
  t.same(Object.keys((await http(`${one.url}/v1/groups`)).body.groups[0]), ['groupId', 'state', 'members']);
  await shown('lag-a', {
    groups: [
      { group: 'fresh', lag: 4 },
      { group: 'committed', lag: 3 },
    ],
  });
  await produce(one.url, 'lag-a', 0, [4]);
  await shown('lag-a', {
    groups: [
      { group: 'fresh', lag: 5 },
      { group: 'committed', lag: 4 },
    ],
  });
});

t.test('the live brokers are listed with what they do', async (t) => {
  const { body, headers } = await http(`${one.url}/v1/brokers`);
  t.match(headers.get('weir-zxid'), /^\d+$/);
  t.match(body.brokers, [
    { id: 1001, url: one.url, rack: 'r1', worker: null, startedAt: Number, version: /^\d/ },
    { id: 1002, url: two.url, rack: null, worker: null, startedAt: Number },
  ]);
  const seen = async () => {
    const { brokers } = (await http(`${two.url}/v1/brokers`)).body;
    return brokers.every(({ connections }: { connections: number | null }) => connections !== null) && brokers;
  };
  const brokers = await eventually(seen, 'each has reported its connections');
  t.equal(brokers.filter(({ isController }: { isController: boolean }) => isController).length, 1);
  const led = brokers.reduce((sum: number, { partitionsLed }: { partitionsLed: number }) => sum + partitionsLed, 0);
  const { topics } = (await http(`${one.url}/v1/topics`)).body;
  t.equal(
    led,
    topics.reduce((sum: number, { partitions }: { partitions: number }) => sum + partitions, 0),
    'every partition has a leader',
  );
  t.equal(body.offlinePartitions, 0);
});

// A Redis Cluster in which one node loses its last changes, as in a failover before they were replicated. The tree and a log,
// which are on different nodes, then contradict each other.
import t, { type Test } from 'tap';
import { coordinationKeys, partitionKeys } from '../../src/store/keys.ts';
import { startRedisCluster } from '../../testbed/redis-cluster.ts';
import { eventually, http, startTestServer, testConfig } from '../helpers/server.ts';
import { openSocket } from '../helpers/socket.ts';

const cluster = await startRedisCluster(t, 3, false);
const one = await startTestServer(t, { brokerId: 1 }, { url: cluster.url });
const two = await startTestServer(t, { brokerId: 2 }, one.target);
const { url } = one;
const coordination = await cluster.ownerOf(coordinationKeys(testConfig.prefix).root);
const partitions = 12;

const keyOf = (topicId: string, partition: number) => partitionKeys(testConfig.prefix, topicId, partition).partition;
const metrics = async () =>
  (await one.broker.metrics.registry.metrics()) + (await two.broker.metrics.registry.metrics());
const isServed = (topic: string) =>
  eventually(async () => (await http(`${url}/v1/topics/${topic}`)).status === 200, 'requests succeed again');

/** A topic, with the Redis node of each of its logs. */
async function newTopic(name: string, config: object = {}) {
  const { body } = await http(`${url}/v1/topics`, 'POST', { name, partitions, replicationFactor: 2, config });
  const keys = Array.from({ length: partitions }, (_, partition) => keyOf(body.topicId, partition));
  const owners = await Promise.all(keys.map((key) => cluster.ownerOf(key)));
  return { keys, owners, topicId: body.topicId as string };
}

t.test('an election that the tree has lost, but whose epoch the log has seen, does not stop retention', async (t) => {
  const { keys, owners } = await newTopic('led', { 'retention.ms': 1000 });
  const partition = owners.findIndex((owner) => owner !== coordination);
  const at = `${url}/v1/topics/led/partitions/${partition}`;
  const logEpoch = async () => Number(await owners[partition]!.ask('HGET', keys[partition]!, 'leader_epoch'));
  const { leaderEpoch: kept } = (await http(at)).body;
  coordination.backUp();
  for (const replicas of [
    [2, 1],
    [1, 2],
    [2, 1],
    [1, 2],
    [2, 1],
  ])
    await http(at, 'PATCH', { replicas });
  const { leaderEpoch: lost } = (await http(at)).body;
  await eventually(async () => (await logEpoch()) === lost, 'the newest leader has maintained the log');

  await coordination.killAndRestore();
  await isServed('led');
  t.ok(kept < lost, 'the tree has lost the later epochs');
  await http(`${at}/records`, 'POST', { records: [{ value: 'old', timestamp: 100_000_000_000 }] });
  await eventually(async () => (await http(at)).body.logStartOffset === 1, 'retention continues');
  t.ok((await http(at)).body.leaderEpoch > lost, 'the leader works under an epoch beyond the lost ones');
  t.match(await metrics(), /weir_leader_epochs_raised_total [1-9]/);
});

t.test(
  'if two brokers have one leader epoch, as the tree lost the first election, the second takes the next',
  async (t) => {
    const { topicId } = await newTopic('shared', { 'retention.ms': 1000 });
    const at = `${url}/v1/topics/shared/partitions/0`;
    await http(at, 'PATCH', { replicas: [1] });
    const { leaderEpoch: before } = (await http(at)).body;
    // The state after the tree lost an election of broker 2, which does not know that yet: it works under the next epoch.
    const keepHouse = () =>
      two.broker.store.logMaintenance.retain(topicId, 0, before + 1, { retentionMs: -1, retentionBytes: -1 });
    await keepHouse();
    await http(at, 'PATCH', { replicas: [1, 2] });
    await eventually(async () => (await http(at)).body.leaderEpoch > before + 1, 'the one of the tree takes another');
    const { leader, leaderEpoch } = (await http(at)).body;
    t.equal(leader, 1);
    t.ok(leaderEpoch > before + 1);
    await http(`${at}/records`, 'POST', { records: [{ value: 'old', timestamp: 100_000_000_000 }] });
    await eventually(async () => (await http(at)).body.logStartOffset === 1, 'and retention runs');
    await t.rejects(keepHouse(), { code: 'STALE_LEADER_EPOCH', fields: { leaderEpoch } });
  },
);

t.test('a lost log is created again when it is found missing, unless its topic was deleted', async (t) => {
  const node = cluster.nodes.find((each) => each !== coordination)!;
  node.backUp();
  // Without retention no periodic task reads its logs, only requests do.
  const { keys, owners, topicId } = await newTopic('young', { 'retention.ms': -1, 'retention.bytes': -1 });
  const all = `${url}/v1/topics/young/records`;
  const missing = owners.indexOf(node);
  const records = keys.map((_, partition) => ({ partition, value: partition }));
  t.equal((await http(all, 'POST', { records })).status, 200);

  await node.killAndRestore();
  await eventually(async () => (await http(`${url}/v1/nodes/x`, 'PUT', '')).status < 300, 'requests succeed again');
  const cut = await eventually(async () => {
    const response = await http(`${two.url}/v1/topics/young/records`, 'POST', { records });
    // The Redis Cluster may need a moment until all slots are served.
    return /lost a log/.test(response.body.detail ?? '') ? response : undefined;
  }, 'a produce request over many logs fails while some of them are lost');
  t.match(cut, { status: 503, body: { code: 'STORE_UNAVAILABLE', retryable: true } });
  t.notOk(cut.body.results.some((result: any) => result.partition === missing));
  t.match(await http(all, 'POST', { records: [{ partition: missing, value: 'new' }] }), {
    status: 200,
    body: { results: [{ baseOffset: 0 }] },
  });
  t.equal((await http(`${url}/v1/topics/young`)).status, 200);
  t.match(await metrics(), /weir_lost_logs_opened_total [1-9]/);

  const key = keys[missing]!;
  await node.ask('DEL', key, key.replace(/partition$/, 'log'));
  t.match((await http(`${url}/v1/topics/young/partitions/${missing}/records`)).body, { records: [], endOffset: 0 });
  t.equal((await http(`${url}/v1/topics/young`, 'DELETE')).status, 204);
  t.equal(await one.broker.store.logs.recreateLost(topicId, missing), 'refused');
  t.equal((await http(`${url}/v1/topics/young`)).status, 404);
});

/** Deletes a log that only group members read. @returns a function that tells whether the log exists */
async function loseLog(t: Test, topic: string, read: (partition: number) => Promise<unknown>) {
  const node = cluster.nodes.find((each) => each !== coordination)!;
  node.backUp();
  const { keys, owners } = await newTopic(topic, { 'retention.ms': -1, 'retention.bytes': -1 });
  const partition = owners.indexOf(node);
  const produce = (value: string) =>
    http(`${url}/v1/topics/${topic}/records`, 'POST', { records: [{ partition, value }] });
  await produce('lost');
  await read(partition);
  await node.killAndRestore();
  const exists = async () => (await node.ask('EXISTS', keys[partition]!).catch(() => 0)) === 1;
  t.notOk(await exists(), 'the log is lost');
  return { exists, produce };
}

t.test('a lost log is created again by a member that reads it by consume calls', async (t) => {
  const members = `${url}/v1/groups/callers/members`;
  const call = () => http(`${members}/m/records`);
  const { exists } = await loseLog(t, 'called', async () => {
    await http(members, 'POST', { memberId: 'm', topics: ['called'], reset: 'earliest' });
    await eventually(
      async () => (await call()).body.records?.length === 1,
      'the member has read the records that will be lost',
    );
  });
  await eventually(async () => (await call()).status === 200 && exists(), 'a call is enough');
});

t.test('a lost log is created again by a member that is a socket', async (t) => {
  const socket = await openSocket(t, `${two.url}/v1/groups/sockets/stream?topics=sent&reset=earliest`);
  const values = () => socket.frames.flatMap(({ records = [] }) => records.map(({ value }: any) => value));
  socket.send({ type: 'credit', records: 100 });
  const { exists, produce } = await loseLog(t, 'sent', () =>
    eventually(() => values().includes('lost'), 'the member has read the records that will be lost'),
  );
  await eventually(exists, 'the log is created again without a request for it');
  await eventually(async () => {
    await produce('new');
    return values().includes('new');
  }, 'the next record is read');
});

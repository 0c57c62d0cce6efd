import t from 'tap';
import { deletionPath, encodeDeletion } from '../../../src/broker/metadata/topic-deleter.ts';
import {
  decodePartitionState,
  decodeTopic,
  partitionStatePath,
  topicPath,
} from '../../../src/core/cluster/cluster-nodes.ts';
import { eventually, http, startTestServer } from '../../helpers/server.ts';

const server = await startTestServer(t, { brokerId: 1001 });
const other = await startTestServer(t, { brokerId: 1002 }, server.target);
const url = `${server.url}/v1/topics`;
const otherUrl = `${other.url}/v1/topics`;

/** The keys of logs in the store, but for the notes that a log was removed, which go by themselves. */
const logKeys = async () => {
  const keys = await server.broker.store.connection.command(false, (client) => client.keys('{weir:*'));
  return keys.filter((key) => !key.endsWith(':removed')).sort();
};

t.test('a created topic is described as it was asked for', async (t) => {
  const { status, headers, body } = await http(url, 'POST', {
    name: 'created',
    partitions: 3,
    replicationFactor: 2,
    config: { 'retention.ms': '60000', 'max.message.bytes': 1000 },
  });
  t.equal(status, 201);
  t.equal(headers.get('location'), '/v1/topics/created');
  t.equal(body.name, 'created');
  t.match(body.topicId, /^[\w-]{22}$/);
  t.match(body.config, { 'retention.ms': 60000, 'max.message.bytes': 1000, 'cleanup.policy': 'delete' });
  t.equal(body.partitions.length, 3);
  for (const [index, partition] of body.partitions.entries()) {
    t.match(partition, { partition: index, leaderEpoch: 0, logStartOffset: 0, endOffset: 0, bytes: 0 });
    t.same([...partition.replicas].sort(), [1001, 1002]);
    t.same(partition.isr, partition.replicas);
    t.equal(partition.leader, partition.replicas[0]);
  }
  t.same((await http(`${otherUrl}/created`)).body, body, 'through another broker, too');
});

t.test("the tree shows it in Kafka's own JSON", async (t) => {
  const { body } = await http(url, 'POST', { name: 'shown', partitions: 2, config: { 'retention.ms': 5 } });
  const { namespace } = server.broker.store;
  const topic = await namespace.get(topicPath('shown'));
  t.equal(topic.contentType, 'application/json');
  t.match(JSON.parse(topic.data.toString()), {
    version: 3,
    topic_id: body.topicId,
    partitions: { 0: body.partitions[0].replicas, 1: body.partitions[1].replicas },
    adding_replicas: {},
    removing_replicas: {},
  });
  const state = JSON.parse((await namespace.get(partitionStatePath('shown', 1))).data.toString());
  t.match(state, { version: 1, leader: body.partitions[1].leader, leader_epoch: 0, isr: body.partitions[1].isr });
  t.ok(state.controller_epoch >= 1, 'under the epoch of the controller');
  t.equal((await namespace.get('/config/topics/shown')).data.toString(), '{"version":1,"config":{"retention.ms":"5"}}');
});

t.test('what a topic cannot be is refused, and leaves nothing', async (t) => {
  const before = await logKeys();
  const cases: [body: unknown, status: number, code: string][] = [
    [{ name: 'a b' }, 400, 'BAD_REQUEST'],
    [{ name: '..' }, 400, 'BAD_REQUEST'],
    [{}, 400, 'BAD_REQUEST'],
    [{ name: 'x', partition: 1 }, 400, 'BAD_REQUEST'],
    [{ name: 'x', partitions: '3' }, 400, 'BAD_REQUEST'],
    [{ name: 'x', partitions: 0 }, 422, 'INVALID_PARTITIONS'],
    [{ name: 'x', partitions: 1_000_000 }, 422, 'INVALID_PARTITIONS'],
    [{ name: 'x', replicationFactor: 0 }, 422, 'INVALID_REPLICATION_FACTOR'],
    [{ name: 'x', replicationFactor: 3 }, 422, 'INVALID_REPLICATION_FACTOR'],
    [{ name: 'x', config: { 'retention.msec': 1 } }, 422, 'INVALID_CONFIG'],
    [{ name: 'x', config: { 'retention.ms': 'a' } }, 422, 'INVALID_CONFIG'],
  ];
  for (const [body, status, code] of cases) {
    const response = await http(url, 'POST', body);
    t.equal(response.status, status, JSON.stringify(body));
    t.equal(response.body.code, code, JSON.stringify(body));
  }
  t.equal((await http(`${url}/x`)).body.code, 'UNKNOWN_TOPIC');
  t.same(await logKeys(), before);
});

t.test('a name is given once, and not with a dot for an underscore', async (t) => {
  await http(url, 'POST', { name: 'one.name' });
  t.match(await http(otherUrl, 'POST', { name: 'one.name' }), { status: 409, body: { code: 'TOPIC_EXISTS' } });
  t.match(await http(otherUrl, 'POST', { name: 'one_name' }), {
    status: 409,
    body: { code: 'TOPIC_EXISTS', topic: 'one.name' },
  });
});

t.test('of many that create one topic at once, one succeeds, and no log is left over', async (t) => {
  const before = (await logKeys()).length;
  const responses = await Promise.all(
    Array.from({ length: 20 }, (_, i) => http(i % 2 ? url : otherUrl, 'POST', { name: 'contested', partitions: 2 })),
  );
  t.same(responses.map(({ status }) => status).sort(), [201, ...Array.from({ length: 19 }, () => 409)]);
  await eventually(async () => (await logKeys()).length === before + 2, 'only the logs of the topic remain');
});

t.test('a repeat with the same Idempotency-Key gets the topic that the first made', async (t) => {
  const key = { 'idempotency-key': 'create-once' };
  const first = await http(url, 'POST', { name: 'once', partitions: 2 }, key);
  const again = await http(otherUrl, 'POST', { name: 'once', partitions: 2 }, key);
  t.equal(again.status, 201);
  t.same(again.body, first.body);
  t.equal(again.headers.get('idempotency-replayed'), 'true');
  const changed = await http(url, 'POST', { name: 'twice', partitions: 2 }, key);
  t.match(changed, { status: 422, body: { code: 'IDEMPOTENCY_KEY_REUSED' } });
});

t.test('topics are listed by name, in pages', async (t) => {
  for (const name of ['list-c', 'list-a', 'list-b']) await http(url, 'POST', { name, partitions: 2 });
  const { body } = await http(`${otherUrl}?limit=10000`);
  const names: string[] = body.topics.map(({ name }: { name: string }) => name);
  t.same(names, [...names].sort());
  t.same(
    names.filter((name) => name.startsWith('list-')),
    ['list-a', 'list-b', 'list-c'],
  );
  t.match(body.topics[0], { name: String, topicId: String, partitions: Number });
  const paged: string[] = [];
  let after: string | undefined;
  do {
    const page = (await http(`${url}?limit=2${after === undefined ? '' : `&after=${after}`}`)).body;
    paged.push(...page.topics.map(({ name }: { name: string }) => name));
    after = page.next;
  } while (after !== undefined);
  t.same(paged, names);
  t.equal((await http(`${url}?limit=0`)).status, 400);
});

t.test('settings change one by one, and null takes one back', async (t) => {
  await http(url, 'POST', { name: 'set', config: { 'retention.ms': 1, 'retention.bytes': 2 } });
  const { status, body } = await http(`${url}/set`, 'PATCH', {
    config: { 'retention.ms': null, 'max.message.bytes': 10 },
  });
  t.equal(status, 200);
  t.match(body.config, { 'retention.ms': 604_800_000, 'retention.bytes': 2, 'max.message.bytes': 10 });
  const refused = await http(`${url}/set`, 'PATCH', { partitions: 2, config: { 'retention.ms': -5 } });
  t.match(refused, { status: 422, body: { code: 'INVALID_CONFIG', key: 'retention.ms' } });
  t.equal((await http(`${url}/set`)).body.partitions.length, 1, 'nothing of a refused change is done');
});

t.test('partitions are added to those that are there', async (t) => {
  await http(url, 'POST', { name: 'grown', partitions: 2, replicationFactor: 2 });
  await http(`${url}/grown/partitions/1/records`, 'POST', { records: [{ value: 1 }] });
  const before = (await http(`${url}/grown`)).body;
  const { status, body } = await http(`${otherUrl}/grown`, 'PATCH', { partitions: 4 });
  t.equal(status, 200);
  t.same(body.partitions.slice(0, 2), before.partitions);
  t.equal(body.partitions.length, 4);
  for (const { replicas } of body.partitions) t.equal(replicas.length, 2);
  const produced = await http(`${url}/grown/partitions/3/records`, 'POST', { records: [{ value: 1 }] });
  t.equal(produced.status, 200, 'at once through a broker that did not make them');
  const fewer = await http(`${url}/grown`, 'PATCH', { partitions: 3 });
  t.match(fewer, { status: 422, body: { code: 'INVALID_PARTITIONS' } });
  t.equal((await http(`${url}/grown`, 'PATCH', { partitions: 4 })).status, 200, 'the same number changes nothing');
});

t.test('changes at once are all done', async (t) => {
  await http(url, 'POST', { name: 'busy' });
  const keys = ['retention.ms', 'retention.bytes', 'max.message.bytes', 'delete.retention.ms', 'min.insync.replicas'];
  const responses = await Promise.all([
    ...keys.map((key, i) => http(`${i % 2 ? url : otherUrl}/busy`, 'PATCH', { config: { [key]: 7 } })),
    http(`${url}/busy`, 'PATCH', { partitions: 3 }),
  ]);
  for (const { status } of responses) t.equal(status, 200);
  const { config, partitions } = (await http(`${url}/busy`)).body;
  for (const key of keys) t.equal(config[key], 7);
  t.equal(partitions.length, 3);
});

t.test('a deleted topic is gone with its records, and a new one of its name begins anew', async (t) => {
  const before = await logKeys();
  const created = (await http(url, 'POST', { name: 'gone', partitions: 3 })).body;
  for (const at of [url, otherUrl]) {
    await http(`${at}/gone/partitions/0/records`, 'POST', { records: [{ value: 1 }] });
  }
  t.equal((await http(`${url}/gone`, 'DELETE')).status, 204);
  t.same(await logKeys(), before);
  for (const at of [url, otherUrl]) {
    t.match(await http(`${at}/gone`), { status: 404, body: { code: 'UNKNOWN_TOPIC', topic: 'gone' } });
    t.equal((await http(`${at}/gone/partitions/0/records`)).body.code, 'UNKNOWN_TOPIC');
    t.equal((await http(`${at}/gone/records`, 'POST', { records: [{}] })).body.code, 'UNKNOWN_TOPIC');
    t.equal((await http(`${at}/gone`, 'PATCH', { partitions: 9 })).body.code, 'UNKNOWN_TOPIC');
    t.equal((await http(`${at}/gone`, 'DELETE')).body.code, 'UNKNOWN_TOPIC');
  }
  const again = (await http(url, 'POST', { name: 'gone' })).body;
  t.not(again.topicId, created.topicId);
  const appended = await http(`${otherUrl}/gone/records`, 'POST', { records: [{ value: 2 }] });
  t.match(appended.body.results, [{ partition: 0, baseOffset: 0 }]);
});

t.test('a broker finishes the deletion that a dead one left', async (t) => {
  const { namespace, logs } = server.broker.store;
  const topicId = 'BBBBBBBBBBBBBBBBBBBBBB';
  for (const partition of [0, 1]) await logs.create(topicId, partition);
  const data = encodeDeletion({ topicId, partitions: 2 });
  await namespace.write([{ op: 'create', path: deletionPath('left'), data }], { privileged: true });
  await eventually(async () => (await namespace.allChildren('/admin/delete_topics')).length === 0, 'the note is gone');
  t.same(
    (await logKeys()).filter((key) => key.includes(topicId)),
    [],
  );
});

t.test('a deletion that was left does not keep a topic of the same name from being deleted', async (t) => {
  const { namespace } = server.broker.store;
  await http(url, 'POST', { name: 'again' });
  const data = encodeDeletion({ topicId: 'CCCCCCCCCCCCCCCCCCCCCC', partitions: 1 });
  await namespace.write([{ op: 'create', path: deletionPath('again'), data }], { privileged: true });
  t.equal((await http(`${url}/again`, 'DELETE')).status, 204);
  t.equal((await http(`${url}/again`)).status, 404);
});

t.test('every broker knows the names of all topics', async (t) => {
  await http(url, 'POST', { name: 'known' });
  await eventually(() => other.broker.topics.names().includes('known'), 'the other broker knows it');
  const late = await startTestServer(t, { brokerId: 1003 }, server.target);
  t.ok(late.broker.topics.names().includes('known'), 'one that starts later has read it');
  const changes: string[] = [];
  t.teardown(other.broker.topics.onChange((name) => changes.push(name)));
  await http(`${url}/known`, 'DELETE');
  await eventually(() => !late.broker.topics.names().includes('known'), 'its deletion is known');
  await eventually(() => changes.includes('known'), 'listeners are called');
});

t.test('a topic that many ask for at once is what the tree says', async (t) => {
  await http(url, 'POST', { name: 'asked' });
  const infos = await Promise.all(Array.from({ length: 50 }, () => other.broker.topics.get('asked')));
  const { namespace } = server.broker.store;
  const { topicId, replicas } = decodeTopic((await namespace.get(topicPath('asked'))).data);
  for (const info of infos) t.match(info, { name: 'asked', topicId, partitionCount: 1 });
  const state = await namespace.get(partitionStatePath('asked', 0));
  t.equal(decodePartitionState(state.data, replicas[0]!).leader, replicas[0]![0]);
});

t.test('retention is done by the leader of a partition, within its limits', async (t) => {
  await http(url, 'POST', { name: 'kept', partitions: 2, config: { 'retention.ms': 3_600_000 } });
  const old = Date.now() - 7_200_000;
  for (const partition of [0, 1]) {
    const records = `${url}/kept/partitions/${partition}/records`;
    await http(records, 'POST', { records: [{ value: 'old', timestamp: old }] });
    await http(records, 'POST', { records: [{ value: 'new' }] });
  }
  await eventually(async () => {
    const { partitions } = (await http(`${url}/kept/offsets?at=earliest`)).body;
    return partitions.every(({ offset }: { offset: number }) => offset === 1);
  }, 'the old records are gone');
  t.match((await http(`${url}/kept/partitions/0/records?offset=1`)).body.records, [{ offset: 1, value: 'new' }]);
});

// Version 3 of the Kafka REST dialect: the cluster, topics with their settings and partitions, and groups.
import t from 'tap';
import { errorOf } from '../../helpers/kafka-rest.ts';
import { eventually, http, startTestServer } from '../../helpers/server.ts';

const server = await startTestServer(t, { brokerId: 1001 });
const { url } = server;
const { clusterId } = server.broker.store;
const cluster = `${url}/v3/clusters/${clusterId}`;
const v3 = (path: string, method = 'GET', body?: unknown) => http(`${cluster}${path}`, method, body);

/** Follows every link below a response: each must lead somewhere. @returns the kinds that were found */
async function follow(first: string): Promise<Set<string>> {
  const kinds = new Set<string>();
  const seen = new Set<string>();
  const left = [first];
  for (let link = left.pop(); link !== undefined; link = left.pop()) {
    if (seen.has(link)) continue;
    seen.add(link);
    const { status, body } = await http(link);
    // Access is not given by ACLs, and no reassignment lasts.
    if (/\/(acls|\d+\/reassignment)$/.test(link)) {
      t.equal(status, 404, link);
      continue;
    }
    t.equal(status, 200, link);
    kinds.add(body.kind);
    t.equal(body.metadata.self, link, 'an object names itself');
    left.push(...[...JSON.stringify(body).matchAll(/"(?:self|related)":"([^"]+)"/g)].map(([, found = '']) => found));
  }
  return kinds;
}

t.test('the command line of Confluent manages topics', async (t) => {
  // The calls of `confluent kafka topic create|list|describe|update|delete --url`, and what each reads of the responses.
  const { body: clusters } = await http(`${url}/v3/clusters`);
  t.equal(clusters.data[0].cluster_id, clusterId);
  t.match(clusters, { kind: 'KafkaClusterList', metadata: { self: `${url}/v3/clusters`, next: null } });
  const creation = {
    topic_name: 'cli',
    partitions_count: 2,
    replication_factor: 1,
    configs: [{ name: 'retention.ms', value: '60000' }],
  };
  const created = await v3('/topics', 'POST', creation);
  t.match(created, { status: 201, body: { kind: 'KafkaTopic', topic_name: 'cli', partitions_count: 2 } });
  t.equal(created.headers.get('location'), `${cluster}/topics/cli`);
  const again = await v3('/topics', 'POST', creation);
  t.same(errorOf(again), [400, 40002]);
  t.equal(again.body.message, "Topic 'cli' already exists.", 'the text that --if-not-exists compares');
  t.match((await v3('/topics')).body.data, [
    { topic_name: 'cli', is_internal: false, replication_factor: 1, partitions_count: 2 },
  ]);
  t.match((await v3('/topics/cli')).body, {
    metadata: { self: `${cluster}/topics/cli`, resource_name: `crn:///kafka=${clusterId}/topic=cli` },
    cluster_id: clusterId,
    partitions: { related: `${cluster}/topics/cli/partitions` },
    configs: { related: `${cluster}/topics/cli/configs` },
  });
  const { body: configs } = await v3('/topics/cli/configs');
  const retention = configs.data.find(({ name }: any) => name === 'retention.ms');
  t.match(retention, { value: '60000', is_default: false, is_read_only: false, source: 'DYNAMIC_TOPIC_CONFIG' });
  t.same(
    retention.synonyms.map(({ value }: any) => value),
    ['60000', '604800000'],
  );
  const alter = { data: [{ name: 'retention.ms', value: '70000' }] };
  t.equal((await v3('/topics/cli/configs:alter', 'POST', alter)).status, 204);
  t.match((await v3('/topics/cli/configs/retention.ms')).body, { value: '70000' });
  t.match((await v3('/topics/cli', 'PATCH', { partitions_count: 3 })).body, { partitions_count: 3 });
  t.same(errorOf(await v3('/topics/cli', 'PATCH', { partitions_count: 3 })), [400, 40002]);
  t.equal((await v3('/topics/cli', 'DELETE')).status, 204);
  t.same(errorOf(await v3('/topics/cli')), [404, 40403]);
  t.same(errorOf(await v3('/topics/cli', 'DELETE')), [404, 40403]);
});

t.test(
  'the Terraform provider of Confluent creates a topic, reads it and its settings, changes and deletes it',
  async (t) => {
    // It asks below /kafka/v3, with a key and a secret as Basic credentials; without a policy any are those of anyone.
    const below = `${url}/kafka/v3/clusters/${clusterId}`;
    const creation = {
      topic_name: 'tf',
      partitions_count: 4,
      configs: [{ name: 'max.message.bytes', value: '12345' }],
    };
    const { status, body } = await http(`${below}/topics`, 'POST', creation);
    t.equal(status, 201);
    t.equal(body.metadata.self, `${below}/topics/tf`, 'links begin as the URL that was asked for');
    t.match(await http(`${below}/topics/tf`), { status: 200, body: { topic_name: 'tf', partitions_count: 4 } });
    const { data } = (await http(`${below}/topics/tf/configs`)).body;
    t.match(
      data.filter((config: any) => config.source === 'DYNAMIC_TOPIC_CONFIG'),
      [{ name: 'max.message.bytes', value: '12345' }],
    );
    const data2 = [
      { name: 'max.message.bytes', value: '54321', operation: 'SET' },
      { name: 'retention.ms', operation: 'DELETE' },
    ];
    t.equal((await http(`${below}/topics/tf/configs:alter`, 'POST', { data: data2 })).status, 204);
    t.equal((await http(`${below}/topics/tf`, 'DELETE')).status, 204);
    t.equal((await http(`${below}/topics/tf`)).status, 404, 'it polls until the topic is gone');
  },
);

t.test('a topic is refused as Kafka refuses it, and validate_only creates none', async (t) => {
  const create = (body: object) => v3('/topics', 'POST', { topic_name: 'refused', ...body });
  t.same(errorOf(await create({ topic_name: 'not valid' })), [400, 400]);
  t.same(errorOf(await create({ partitions_count: 0 })), [400, 40002]);
  t.same(errorOf(await create({ replication_factor: 3 })), [400, 40002]);
  t.same(errorOf(await create({ configs: [{ name: 'no.such', value: '1' }] })), [400, 40002]);
  t.same(errorOf(await create({ replicas_assignments: { 0: [1001] } })), [400, 40002]);
  t.same(errorOf(await create({ colour: 'red' })), [422, 422]);
  t.same(errorOf(await v3('/topics', 'POST')), [422, 422]);
  for (const only of [{ partitions_count: 0 }, { replication_factor: 3 }]) {
    t.same(errorOf(await create({ ...only, validate_only: true })), [400, 40002]);
  }
  t.match(await create({ partitions_count: 7, validate_only: true }), { status: 200, body: { partitions_count: 7 } });
  t.same(errorOf(await v3('/topics/refused')), [404, 40403]);
});

t.test('settings of a topic are read, set and reset one by one', async (t) => {
  await v3('/topics', 'POST', { topic_name: 'settings' });
  const path = '/topics/settings/configs';
  t.equal((await v3(`${path}/retention.ms`, 'PUT', { value: '1000' })).status, 204);
  t.match((await v3(`${path}/retention.ms`)).body, { kind: 'KafkaTopicConfig', value: '1000', is_default: false });
  t.equal((await v3(`${path}/retention.ms`, 'DELETE')).status, 204);
  t.match((await v3(`${path}/retention.ms`)).body, { is_default: true, source: 'DEFAULT_CONFIG' });
  t.same(errorOf(await v3(`${path}/no.such`)), [404, 404]);
  t.same(errorOf(await v3(`${path}/retention.ms`, 'PUT', { value: 'soon' })), [400, 40002]);
  const bad = { data: [{ name: 'retention.ms', value: 'soon' }] };
  t.same(errorOf(await v3(`${path}:alter`, 'POST', { ...bad, validate_only: true })), [400, 40002]);
  const good = { data: [{ name: 'retention.ms', value: '1' }], validate_only: true };
  t.equal((await v3(`${path}:alter`, 'POST', good)).status, 204);
  t.match((await v3(`${path}/retention.ms`)).body, { is_default: true }, 'nothing has changed');
  const { data } = (await v3('/topics/-/configs')).body;
  t.ok(data.some(({ topic_name, name }: any) => topic_name === 'settings' && name === 'cleanup.policy'));
});

t.test('groups, their consumers, assignments and lags are those of the group', async (t) => {
  await v3('/topics', 'POST', { topic_name: 'read', partitions_count: 2 });
  const records = [0, 0, 0, 1].map((partition) => ({ value: 1, partition }));
  await http(`${url}/v1/topics/read/records`, 'POST', { records });
  const member = { topics: ['read'], memberId: 'm1', clientId: 'c1', instanceId: 'i1' };
  const { body: joined } = await http(`${url}/v1/groups/readers/members`, 'POST', member);
  const group = '/consumer-groups/readers';
  t.same(errorOf(await v3(`${group}/lags`)), [404, 404], 'nothing is committed yet');
  const offsets = [
    { topic: 'read', partition: 0, offset: 1 },
    { topic: 'read', partition: 1, offset: 1 },
  ];
  const commit = { memberId: 'm1', memberEpoch: joined.memberEpoch, offsets };
  await http(`${url}/v1/groups/readers/offsets`, 'POST', commit, { 'weir-member': joined.memberSecret });
  t.match((await v3('/consumer-groups')).body, {
    kind: 'KafkaConsumerGroupList',
    data: [{ consumer_group_id: 'readers', is_simple: false, partition_assignor: String, state: 'STABLE' }],
  });
  t.match((await v3(group)).body, { coordinator: { related: `${cluster}/brokers/1001` }, type: 'CONSUMER' });
  t.match((await v3(`${group}/consumers`)).body.data, [{ consumer_id: 'm1', instance_id: 'i1', client_id: 'c1' }]);
  t.match((await v3(`${group}/consumers/m1/assignments`)).body.data, [{ partition_id: 0 }, { partition_id: 1 }]);
  const lag = { topic_name: 'read', partition_id: 0, current_offset: 1, log_end_offset: 3, lag: 2, consumer_id: 'm1' };
  t.match((await v3(`${group}/lags`)).body.data, [lag, { partition_id: 1, lag: 0 }]);
  t.match((await v3(`${group}/lags/read/partitions/0`)).body, lag);
  t.match((await v3(`${group}/lag-summary`)).body, {
    metadata: { resource_name: `crn:///kafka=${clusterId}/consumer-group=readers/lag-summary` },
    max_lag: 2,
    total_lag: 2,
    max_lag_topic_name: 'read',
    max_lag_partition_id: 0,
    max_lag_client_id: 'c1',
    max_lag_consumer: { related: `${cluster}${group}/consumers/m1` },
  });
  for (const path of ['', '/consumers', '/lags', '/lag-summary']) {
    t.same(errorOf(await v3(`/consumer-groups/none${path}`)), [404, 40403], path);
  }
  for (const path of ['/consumers/m2', '/consumers/m1/assignments/read/partitions/9', '/lags/read/partitions/9']) {
    t.same(errorOf(await v3(`${group}${path}`)), [404, 404], path);
  }
});

t.test('partitions, their offsets and replicas', async (t) => {
  await v3('/topics', 'POST', { topic_name: 'parts', partitions_count: 2 });
  await http(`${url}/v1/topics/parts/records`, 'POST', { records: [{ value: 1, partition: 1 }] });
  const base = '/topics/parts/partitions';
  t.match((await v3(`${base}/1/offset`)).body, { earliest_offset: 0, latest_offset: 1 });
  t.match((await v3(`${base}/1/replicas/1001`)).body, { broker_id: 1001, is_leader: true, is_in_sync: true });
  t.same(errorOf(await v3(`${base}/1/replicas/7`)), [404, 404]);
  t.same(errorOf(await v3(`${base}/7`)), [404, 40402]);
  t.same(errorOf(await v3(`${base}/1/reassignment`)), [404, 404]);
  t.same(errorOf(await v3('/topics/none/partitions')), [404, 40403]);
  await eventually(async () => {
    const { data } = (await v3('/brokers/1001/partition-replicas')).body;
    return data.filter(({ topic_name }: any) => topic_name === 'parts').length === 2;
  }, 'the replicas of the broker');
  t.same(errorOf(await v3('/brokers/7')), [404, 404]);
});

t.test('every link leads to what it names', async (t) => {
  await v3('/topics', 'POST', { topic_name: 'linked' });
  const kinds = await follow(`${url}/v3/clusters`);
  t.ok(kinds.size > 15, [...kinds].sort().join(' '));
});

t.test('what does not exist, and Accept without JSON, has the errors of the dialect', async (t) => {
  const other = await http(`${url}/v3/clusters/other/topics`);
  t.same(errorOf(other), [404, 404]);
  t.match(other.body.message, /Cluster other could not be found/);
  t.match(other.headers.get('content-type'), /^application\/json/);
  const refused = await http(`${cluster}/topics`, 'GET', undefined, { accept: 'text/html' });
  t.same(errorOf(refused), [406, 406]);
  const accepted = await http(`${cluster}/topics`, 'GET', undefined, { accept: 'application/json, text/plain' });
  t.equal(accepted.status, 200);
  t.equal((await http(`${cluster}/topics`, 'HEAD')).status, 200);
  t.same(errorOf(await v3('/acls')), [404, 404]);
});

// A broker on a Redis Cluster: the placement of keys on nodes, and requests while slots migrate.
import { pino } from 'pino';
import t from 'tap';
import { coordinationKeys, partitionKeys } from '../../../src/store/keys.ts';
import { SlotTable } from '../../../src/store/redis/slot-table.ts';
import { Store } from '../../../src/store/store.ts';
import { startRedisCluster } from '../../../testbed/redis-cluster.ts';
import { startRedisNode } from '../../../testbed/redis-node.ts';
import { eventually, http, startTestServer, testConfig } from '../../helpers/server.ts';
import { openSocket } from '../../helpers/socket.ts';

const { root } = coordinationKeys(testConfig.prefix);

t.test('coordination keys are on one node, logs on all, and a slot can migrate under load', async (t) => {
  const cluster = await startRedisCluster(t, 3, false);
  const { url, target } = await startTestServer(t, {}, { url: cluster.url });
  const other = await startTestServer(t, {}, target);
  t.match((await http(`${url}/v1/cluster`)).body.store, { engine: 'cluster', shards: 3 });

  const partitions = 12;
  const { body: topic } = await http(`${url}/v1/topics`, 'POST', { name: 'spread', partitions });
  const keyOf = (partition: number) => partitionKeys(testConfig.prefix, topic.topicId, partition).partition;
  const owners = await Promise.all(
    Array.from({ length: partitions }, (_, partition) => cluster.ownerOf(keyOf(partition))),
  );
  t.ok(new Set(owners).size > 1, 'partitions are on several nodes');
  const produce = (partition: number, value: string, at = url) =>
    http(`${at}/v1/topics/spread/records`, 'POST', { records: [{ value, partition }] }, { 'Idempotency-Key': value });
  for (let partition = 0; partition < partitions; partition++)
    t.equal((await produce(partition, `${partition}`)).status, 200);
  const ends = (await http(`${other.url}/v1/topics/spread/offsets`)).body.partitions;
  t.same(
    ends.map(({ offset }: { offset: number }) => offset),
    new Array(partitions).fill(1),
    'any broker lists the partitions',
  );

  await t.test('a long poll returns after an append on any node', async (t) => {
    for (const partition of [0, owners.findIndex((owner) => owner !== owners[0])]) {
      const path = `/v1/topics/spread/partitions/${partition}/records?offset=1&wait=20s`;
      const waiting = http(`${other.url}${path}`);
      await produce(partition, `woken ${partition}`);
      t.equal((await waiting).body.records[0].value, `woken ${partition}`);
    }
  });

  await t.test(
    'while the slot of a log migrates, writes to it are refused as a whole, and all others work',
    async (t) => {
      const from = owners[1]!;
      const to = cluster.nodes.find((node) => node !== from)!;
      await cluster.beginMove(keyOf(1), from, to);
      t.match(await produce(1, 'refused'), {
        status: 503,
        body: { code: 'STORE_UNAVAILABLE', detail: /nothing was done/ },
      });
      t.equal((await produce(2, 'meanwhile')).status, 200);
      const waiting = produce(1, 'moved');
      await cluster.finishMove(keyOf(1), from, to);
      await waiting;
      t.equal((await produce(1, 'moved')).status, 200);
      t.equal((await produce(1, 'after', other.url)).status, 200);
      const { body } = await http(`${url}/v1/topics/spread/partitions/1/records?offset=0`);
      const values = body.records.map(({ value }: { value: string }) => value);
      t.same(
        values.filter((value: string) => !value.startsWith('woken')),
        ['1', 'moved', 'after'],
        'each record is stored once',
      );
    },
  );

  await t.test('the slot of the coordination keys moves to another node, with a new epoch', async (t) => {
    const watcher = await openSocket(t, `${url}/v1/watch`);
    watcher.send({ type: 'watch', id: 'w', path: '/moving', mode: 'node' });
    const { zxid } = await watcher.frame({ type: 'watching' });
    const from = await cluster.ownerOf(root);
    const to = cluster.nodes.find((node) => node !== from)!;
    await cluster.beginMove(root, from, to);
    t.match(await http(`${url}/v1/nodes/moving`, 'PUT', 'x'), { status: 503, body: { code: 'STORE_UNAVAILABLE' } });
    await cluster.finishMove(root, from, to);
    for (const at of [url, other.url]) {
      const response = await eventually(async () => {
        const response = await http(`${at}/v1/nodes/moving`, 'PUT', 'x');
        return response.status < 300 ? response : undefined;
      }, 'writes to the tree succeed again');
      t.ok(Number(response.headers.get('weir-zxid')) >= 2 ** 32 + zxid - (zxid % 2 ** 32), 'a new epoch has begun');
    }
    const received = () => watcher.frames.filter(({ type }) => type === 'events').map(({ events }) => events[0].type);
    await eventually(() => received().length === 2, 'the watcher gets both events');
    t.same(received(), ['created', 'changed']);
  });
});

t.test('a URL of the wrong kind is refused at once with the right one', async (t) => {
  const [cluster, single] = await Promise.all([startRedisCluster(t, 1, false), startRedisNode(t, [])]);
  const open = async (url: string) => {
    const store = new Store({ ...testConfig, target: { url } }, pino({ level: 'silent' }));
    t.teardown(() => store.close());
    await store.open();
  };
  const [node] = cluster.nodes;
  await t.rejects(open(`redis://127.0.0.1:${node!.port}`), { code: 'INVALID_CONFIG', message: /redis\+cluster:/ });
  await t.rejects(open(`redis+cluster://127.0.0.1:${single.port}`), { code: 'INVALID_CONFIG', message: /no node of/ });
});

t.test('a key has the same slot as in Redis', async (t) => {
  t.equal(SlotTable.slotOf('123456789'), 12_739);
  t.equal(SlotTable.slotOf('{weir}:root'), SlotTable.slotOf('{weir}:node:/a{b}'));
});

t.test('the slot table follows what the cluster reports', async (t) => {
  const table = new SlotTable();
  table.replace(
    [
      [0, 8191, ['10.0.0.1', 6379], ['10.0.0.2', 6379]],
      [8192, 16_383, ['', 6380]],
    ],
    { host: 'seed', port: 6380 },
  );
  t.equal(table.primaryOf(8191), '10.0.0.1:6379');
  t.equal(table.primaryOf(8192), 'seed:6380', 'a node without an address is the one that sent the reply');
  t.same([...table.primaries], ['10.0.0.1:6379', 'seed:6380']);
  t.equal(table.nodes.length, 3);
  table.applyMoved('MOVED 5 ::1:7000', '10.0.0.1:6379');
  t.equal(table.primaryOf(5), '::1:7000');
  t.same(table.addressOf('::1:7000'), { host: '::1', port: 7000 });
  table.applyMoved('MOVED 6 :7001', '10.0.0.1:6379');
  t.equal(table.primaryOf(6), '10.0.0.1:7001');
  table.applyMoved('MOVED 99999 10.0.0.9:7001', '10.0.0.1:6379');
  table.replace([], { host: 'seed', port: 6380 });
  t.equal(table.primaryOf(5), undefined);
});

t.test('while one node is unreachable, the others serve, and GET /v1/cluster names it', async (t) => {
  const cluster = await startRedisCluster(t, 3, false, ['cluster-require-full-coverage no']);
  const { url } = await startTestServer(t, {}, { url: cluster.url });
  const partitions = 12;
  const { body: topic } = await http(`${url}/v1/topics`, 'POST', { name: 'spread', partitions });
  const keyOf = (partition: number) => partitionKeys(testConfig.prefix, topic.topicId, partition).partition;
  const owners = await Promise.all(
    Array.from({ length: partitions }, (_, partition) => cluster.ownerOf(keyOf(partition))),
  );
  const coordination = await cluster.ownerOf(root);
  const away = owners.findIndex((owner) => owner !== coordination);
  const other = owners.findIndex((owner) => owner !== owners[away]);
  const { host, port } = owners[away]!;
  const produce = (partition: number) =>
    http(`${url}/v1/topics/spread/records`, 'POST', { records: [{ value: 1, partition }] });
  const store = async () => (await http(`${url}/v1/cluster`)).body.store;
  const { usedMemoryBytes } = await store();
  await http(`${url}/v1/groups/g/members`, 'POST', { memberId: 'm', topics: ['spread'] });
  const committed = { memberId: 'm', offsets: [{ topic: 'spread', partition: away, offset: 0 }] };
  t.equal((await http(`${url}/v1/groups/g/offsets`, 'POST', committed)).status, 200);

  await owners[away]!.kill();
  const now = await eventually(async () => {
    const now = await store();
    return now?.unreachable.length === 1 ? now : undefined;
  }, 'the outage is detected');
  t.match(now, { shards: 3, unreachable: [`${host}:${port}`] });
  t.ok(now.usedMemoryBytes < usedMemoryBytes, 'the figures do not include the unreachable node');
  t.match(await http(`${url}/v1/cluster`), { status: 200, body: { brokers: [{}], clusterId: /./ } });
  t.equal((await http(`${url}/health/ready`)).status, 200, 'the broker is ready, as another one could not do more');
  await eventually(async () => (await produce(other)).status === 200, 'writes to other logs succeed');
  t.match(await produce(away), { status: 503, body: { code: 'STORE_UNAVAILABLE', retryable: true } });
  t.equal((await http(`${url}/v1/nodes/app`, 'PUT', 'x')).status, 201);
  t.match((await http(`${url}/metrics`)).body, /weir_store_shards_unreachable 1/);

  const missing = { error: 'STORE_UNAVAILABLE', endOffset: null };
  const { status, body: described } = await http(`${url}/v1/topics/spread`);
  t.match({ status, of: described.partitions.length }, { status: 200, of: partitions });
  for (const { partition, error, ...known } of described.partitions) {
    t.match(
      known,
      { leader: 1001, leaderEpoch: 0, replicas: [1001], isr: [1001] },
      'the state from the tree is reported',
    );
    const isAway = owners[partition] === owners[away];
    t.match({ error, ...known }, isAway ? { ...missing, logStartOffset: null, bytes: null } : { logStartOffset: 0 });
    t.equal(error !== undefined, isAway);
  }
  t.match(await http(`${url}/v1/topics/spread/partitions/${away}`), {
    status: 200,
    body: { leader: 1001, ...missing },
  });
  t.match(await http(`${url}/v1/topics/spread`, 'PATCH', { config: { 'retention.ms': 1 } }), {
    status: 200,
    body: { config: { 'retention.ms': 1 } },
  });
  const { body: group } = await http(`${url}/v1/groups/g`);
  t.match(group.members, [{ memberId: 'm' }]);
  t.match(group.partitions[away], { owner: 'm', committed: 0, lag: null, ...missing });
  t.match(group.partitions[other], { owner: 'm', endOffset: 1, lag: 0, lagFrom: 'latest' });
  await eventually(async () => {
    const { body } = await http(`${url}/metrics`);
    return body.includes('weir_group_members 1') && !body.includes('weir_group_lag_records{');
  }, 'metrics have the groups, but not the unknown lag');

  await owners[away]!.start();
  await eventually(async () => (await produce(away)).status === 200, 'the node serves again');
  await eventually(async () => (await store()).unreachable.length === 0, 'and no node is unreachable');
  const lag = 'weir_group_lag_records{group="g",topic="spread"} ';
  await eventually(
    async () => (await http(`${url}/metrics`)).body.includes(lag),
    'and the lag is in the metrics again',
  );
});

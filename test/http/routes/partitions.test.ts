import t from 'tap';
import { eventually, http, startTestServer } from '../../helpers/server.ts';

const one = await startTestServer(t, { brokerId: 1 });
await eventually(async () => (await http(`${one.url}/v1/cluster`)).body.controller?.brokerId === 1, 'one rules');
const two = await startTestServer(t, { brokerId: 2 }, one.target);
const three = await startTestServer(t, { brokerId: 3 }, one.target);

// With so many that are led as they should be, the controller leaves the few below that are not to the requests.
await http(`${one.url}/v1/topics`, 'POST', { name: 'ballast', partitions: 120 });

/** A topic with these replicas, each partition led by the first. */
const create = async (name: string, replicas: number[][]) => {
  const topic = { name, partitions: replicas.length, replicationFactor: 1 };
  t.equal((await http(`${one.url}/v1/topics`, 'POST', topic)).status, 201);
  for (const [partition, ids] of replicas.entries()) {
    t.equal((await reassign(name, partition, ids.slice(0, 1))).status, 200);
    t.equal((await reassign(name, partition, ids)).status, 200);
  }
};
const reassign = (topic: string, partition: number, replicas: unknown, { url } = two) =>
  http(`${url}/v1/topics/${topic}/partitions/${partition}`, 'PATCH', { replicas });
const elect = (body: unknown, { url } = two) => http(`${url}/v1/elections`, 'POST', body);
const replicasInTree = async (topic: string) =>
  (await http(`${one.url}/v1/nodes/brokers/topics/${topic}`)).body.partitions;

t.test('a reassignment holds at once, through any broker, and in one transaction of the tree', async (t) => {
  await create('moved', [[1], [1]]);
  const before = (await http(`${one.url}/v1/topics/moved/partitions/0`)).body;
  const { status, body, headers } = await reassign('moved', 0, [2, 3]);
  t.equal(status, 200);
  t.match(body, { partition: 0, leader: 2, leaderEpoch: before.leaderEpoch + 1, replicas: [2, 3], isr: [2, 3] });
  t.same((await http(`${three.url}/v1/topics/moved`)).body.partitions[0], body);
  t.same(await replicasInTree('moved'), { 0: [2, 3], 1: [1] });
  const zxid = Number(headers.get('weir-zxid'));
  const { transactions } = await one.broker.store.events.range('main', zxid - 1, zxid, 10);
  t.same(
    transactions.map(({ events }) => events.map(({ kind, path }) => `${kind} ${path}`)),
    [['changed /brokers/topics/moved', 'changed /brokers/topics/moved/partitions/0/state']],
  );

  const again = await reassign('moved', 0, [2, 3]);
  t.same(again.body, body, 'the present list changes nothing');
  const stays = await reassign('moved', 0, [1, 2], one);
  t.match(stays.body, { leader: 2, replicas: [1, 2], isr: [1, 2], leaderEpoch: before.leaderEpoch + 2 });
});

t.test('what cannot be assigned is refused, and says why', async (t) => {
  await create('refused', [[1]]);
  const stat = async () => (await http(`${one.url}/v1/nodes/brokers/topics/refused?view=stat`)).body.stat;
  const before = await stat();
  for (const [replicas, status, code, text] of [
    [[], 400, 'BAD_REQUEST', /replicas/],
    [[1, 1], 400, 'BAD_REQUEST', /each broker once/],
    [[-1], 400, 'BAD_REQUEST', /replicas/],
    [['1'], 400, 'BAD_REQUEST', /replicas/],
    [[1, 9, 8], 422, 'INVALID_REPLICA_ASSIGNMENT', /not live brokers: \[9,8\]. The live brokers are \[1,2,3\]/],
  ] as const) {
    t.match(await reassign('refused', 0, replicas), { status, body: { code, detail: text } });
  }
  t.match(await reassign('refused', 1, [1]), { status: 404, body: { code: 'UNKNOWN_PARTITION', partitions: 1 } });
  t.match(await reassign('none', 0, [1]), { status: 404, body: { code: 'UNKNOWN_TOPIC' } });
  t.match(await http(`${one.url}/v1/topics/refused/partitions/0`, 'PATCH', { replicas: [1], leader: 1 }), {
    status: 400,
    body: { detail: /leader/ },
  });
  t.same(await stat(), before, 'nothing has changed');
});

t.test('an election gives partitions back to their preferred leaders', async (t) => {
  await create('elected', [
    [1, 2],
    [2, 1],
    [3, 1],
  ]);
  // Each keeps its leader, and has another preferred one.
  await reassign('elected', 0, [2, 1]);
  await reassign('elected', 1, [1, 2]);
  const single = await elect({ topic: 'elected', partition: 1 }, three);
  t.match(single, { status: 200, body: { topic: 'elected', partitions: [{ partition: 1, leader: 1 }] } });
  t.equal(single.body.partitions[0].outcome, 'elected');
  const all = await elect({ topic: 'elected' });
  t.same(
    all.body.partitions.map(({ leader, outcome }: any) => [leader, outcome]),
    [
      [2, 'elected'],
      [1, 'notNeeded'],
      [3, 'notNeeded'],
    ],
  );
  const now = (await http(`${one.url}/v1/topics/elected`)).body.partitions;
  t.same(
    now.map(({ leader, leaderEpoch }: any) => ({ leader, leaderEpoch })),
    all.body.partitions.map(({ leader, leaderEpoch }: any) => ({ leader, leaderEpoch })),
  );
  t.match(await elect({ topic: 'none' }), { status: 404, body: { code: 'UNKNOWN_TOPIC' } });
  t.match(await elect({ topic: 'elected', partition: 3 }), { status: 404, body: { code: 'UNKNOWN_PARTITION' } });
  t.match(await elect({ partition: 0 }), { status: 400, body: { code: 'BAD_REQUEST', detail: /topic/ } });
});

t.test('reassignments of one topic at once, through all brokers, leave list and state in one mind', async (t) => {
  await create('busy', [[1], [1], [1]]);
  const lists = [[1], [2, 1], [3, 2], [3], [2, 3, 1], [1, 3]];
  const responses = await Promise.all(
    lists.flatMap((list, n) => [0, 1, 2].map((p) => reassign('busy', p, list, [one, two, three][n % 3]))),
  );
  // One that meets other changes ten times over may give up; it has then changed nothing.
  t.same(
    responses.filter(({ status }) => status !== 200 && status !== 412).map(({ body }) => body),
    [],
  );
  t.ok(responses.filter(({ status }) => status === 200).length >= 10, 'most went through');
  for (const { partition, leader, replicas, isr } of (await http(`${one.url}/v1/topics/busy`)).body.partitions) {
    t.same([...isr].sort(), [...replicas].sort(), 'all replicas are alive');
    t.ok(replicas.includes(leader));
    t.same((await replicasInTree('busy'))[partition], replicas);
  }
});

t.test('a dead broker is nobody to elect, and may stay a replica but not become one', async (t) => {
  await create('dead', [[3, 1], [3]]);
  await three.close();
  await eventually(async () => {
    const { partitions } = (await http(`${one.url}/v1/topics/dead`)).body;
    return partitions[0].leader === 1 && partitions[1].leader === -1;
  }, 'it is noticed');
  await eventually(() => one.broker.partitions.leads('dead', 0) !== undefined, 'by the new leader, too');
  const metrics = (await http(`${one.url}/metrics`)).body;
  const { topics } = (await http(`${one.url}/v1/topics`)).body;
  const described = await Promise.all(topics.map(({ name }: any) => http(`${one.url}/v1/topics/${name}`)));
  const offline = described.flatMap(({ body }) => body.partitions).filter(({ leader }: any) => leader === -1);
  t.ok(offline.length > 1, 'a third of the ballast, too');
  t.match(metrics, new RegExp(`^weir_offline_partitions ${offline.length}$`, 'm'));
  t.match(metrics, /^weir_controller 1$/m);
  t.match((await http(`${two.url}/metrics`)).body, /^weir_offline_partitions 0$/m, 'the controller alone counts them');
  const { body } = await elect({ topic: 'dead' });
  t.same(
    body.partitions.map(({ leader, outcome }: any) => [leader, outcome]),
    [
      [1, 'preferredUnavailable'],
      [-1, 'preferredUnavailable'],
    ],
  );
  t.match((await reassign('dead', 0, [3, 2])).body, { leader: 2, replicas: [3, 2], isr: [2] });
  t.match(await reassign('dead', 1, [3, 2]), { status: 200, body: { leader: 2, isr: [2] } }, 'it is online again');
  t.match(await reassign('dead', 0, [3]), { status: 422, body: { detail: /None of the replicas \[3\] is alive/ } });
  t.match(await reassign('moved', 1, [1, 3]), { status: 422, body: { code: 'INVALID_REPLICA_ASSIGNMENT' } });
});

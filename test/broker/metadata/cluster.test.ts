import { pino } from 'pino';
import t from 'tap';
import { Broker } from '../../../src/broker/broker.ts';
import { startServer } from '../../../src/server.ts';
import { Store } from '../../../src/store/store.ts';
import { brokerCredential } from '../../../src/store/tree/sessions.ts';
import { freePort } from '../../../testbed/scope.ts';
import { startServerProcess } from '../../helpers/process.ts';
import { startTestRedis } from '../../helpers/redis.ts';
import { eventually, http, startTestServer, testConfig } from '../../helpers/server.ts';

const node = async (url: string, path: string) => (await http(`${url}/v1/nodes${path}?view=node`)).body;
const json = async (url: string, path: string) => JSON.parse((await node(url, path)).data);
const partitionsOf = async (url: string, topic: string) => (await http(`${url}/v1/topics/${topic}`)).body.partitions;

t.test("a broker registers itself with Kafka's JSON under a generated id, and becomes controller", async (t) => {
  const { url, broker } = await startTestServer(t, { rack: 'r1' });
  const id = broker.registration.brokerId;
  t.equal(id, 1001, "Kafka's rule: the version of /brokers/seqid above the reserved ids");
  t.match(await json(url, `/brokers/ids/${id}`), {
    version: 5,
    host: '127.0.0.1',
    port: Number(new URL(url).port),
    endpoints: [url],
    rack: 'r1',
    timestamp: /^\d{13}$/,
    listener_security_protocol_map: { HTTP: 'PLAINTEXT' },
  });
  t.equal((await node(url, `/brokers/ids/${id}`)).stat.ephemeralOwner, broker.registration.session!.id);
  await eventually(async () => (await http(`${url}/v1/nodes/controller`)).status === 200, 'a controller');
  t.match(await json(url, '/controller'), { version: 1, brokerid: id, timestamp: /^\d{13}$/ });
  t.equal((await node(url, '/controller_epoch')).data, '1');
  const { id: clusterId, version } = await json(url, '/cluster/id');
  t.match(clusterId, /^[\w-]{22}$/);
  t.equal(version, '1', 'the version is a string, as in Kafka');
  t.match((await http(`${url}/v1/cluster`)).body, {
    clusterId,
    controller: { brokerId: id, epoch: 1 },
    brokers: [{ id, rack: 'r1', endpoints: [url] }],
    store: { appendOnly: true },
  });
  t.match((await http(`${url}/v1/brokers/${id}`)).body, { id, rack: 'r1' });
  t.match(await http(`${url}/v1/brokers/7`), { status: 404, body: { code: 'NO_NODE' } });
});

t.test('a second broker with the same id is refused with a clear message while the first is alive', async (t) => {
  // On a busy machine the first broker may renew late. Its renewals are what shows that it is alive.
  const { target, broker } = await startTestServer(t, { brokerId: 5, brokerSessionTtlMs: 9_000 });
  const config = { ...testConfig, brokerId: 5, brokerSessionTtlMs: 600 };
  await t.rejects(startServer(config, target, pino({ level: 'silent' })), {
    code: 'NODE_EXISTS',
    message: /WEIR_BROKER_ID/,
  });
  t.ok(broker.isRegistered);
});

t.test('a broker takes over the id of a dead one, even if the session of the dead one has long to live', async (t) => {
  const { socketPath } = await startTestRedis(t);
  const store = new Store({ ...testConfig, target: { socketPath } }, pino({ level: 'silent' }));
  await store.open();
  t.teardown(() => store.close());
  // The first broker is killed, so its session lasts for its full TTL, and outages extend it.
  const dead = await store.sessions.createForBroker(3000);
  await store.namespace.writeOne(
    {
      op: 'create',
      path: '/brokers/ids/5',
      data: '',
      mode: 'ephemeral',
      parents: true,
      session: brokerCredential(dead.id),
    },
    { privileged: true, allowOom: true },
  );
  const { broker } = await startTestServer(t, { brokerId: 5, brokerSessionTtlMs: 600 }, { socketPath });
  t.equal(broker.registration.brokerId, 5);
  t.match(await store.namespace.stat('/brokers/ids/5'), { stat: { ephemeralOwner: broker.registration.session!.id } });
});

t.test('while no broker is registered, creating a topic is refused with a retriable error', async (t) => {
  const { socketPath } = await startTestRedis(t);
  const log = pino({ level: 'silent' });
  const store = new Store({ ...testConfig, target: { socketPath } }, log);
  await store.open();
  t.teardown(() => store.close());
  const broker = new Broker(testConfig, store, { sole: false }, log);
  const creation = { name: 'early', partitions: 1, replicationFactor: 1, config: {} };
  await t.rejects(broker.topicAdmin.create(creation), { code: 'STORE_UNAVAILABLE', message: /nothing was done/ });
  t.same(await store.namespace.allChildren('/brokers/topics'), []);
});

t.test('a broker that lost its session registers again, with a higher epoch', async (t) => {
  const { url, broker } = await startTestServer(t, { brokerId: 3 });
  const { epoch } = (await http(`${url}/v1/brokers/3`)).body;
  await eventually(async () => (await http(`${url}/v1/cluster`)).body.controller?.epoch === 1, 'elected at first');
  await broker.store.sessions.end(broker.registration.session!);
  await eventually(
    async () => (await http(`${url}/v1/brokers/3`)).body.epoch > epoch,
    'the broker has registered again',
  );
  await eventually(
    async () => (await http(`${url}/v1/cluster`)).body.controller?.epoch === 2,
    'and it was elected controller again',
  );
  t.pass();
});

t.test('when a broker leaves, other brokers lead its partitions and become controller at once', async (t) => {
  const one = await startTestServer(t, { brokerId: 1 });
  const two = await startTestServer(t, { brokerId: 2 }, one.target);
  await eventually(
    async () => (await http(`${one.url}/v1/cluster`)).body.controller?.brokerId === 1,
    'the first broker is the controller',
  );
  const created = await http(`${two.url}/v1/topics`, 'POST', { name: 'led', partitions: 4, replicationFactor: 2 });
  t.equal(created.status, 201);
  const before = await partitionsOf(two.url, 'led');
  t.same(new Set(before.map(({ leader }: any) => leader)), new Set([1, 2]), 'leaders are distributed');
  t.same(
    before.map(({ isr }: any) => [...isr].sort()),
    Array(4).fill([1, 2]),
  );

  await one.close();
  await eventually(async () => (await http(`${two.url}/v1/cluster`)).body.controller?.brokerId === 2, 'two rules');
  t.equal((await http(`${two.url}/v1/cluster`)).body.controller.epoch, 2);
  const after = await eventually(async () => {
    const now = await partitionsOf(two.url, 'led');
    return now.every(({ leader }: any) => leader === 2) && now;
  }, 'two leads all');
  for (const [index, partition] of after.entries()) {
    t.same(partition.isr, [2]);
    t.ok(
      partition.leaderEpoch > before[index].leaderEpoch,
      'every change of leader or ISR by the controller raises the leader epoch',
    );
  }
  t.match(await json(two.url, '/brokers/topics/led/partitions/0/state'), { controller_epoch: 2, leader: 2, isr: [2] });

  const back = await startTestServer(t, { brokerId: 1 }, one.target);
  await eventually(
    async () => (await partitionsOf(back.url, 'led')).every(({ isr }: any) => isr.length === 2),
    'broker 1 is in the ISR again',
  );
});

t.test(
  'when a broker process hangs, resumes or dies, another one leads its partitions and is controller',
  async (t) => {
    const port = await freePort();
    await startTestRedis(t, { port });
    const env = { WEIR_REDIS_URL: `redis://127.0.0.1:${port}`, WEIR_BROKER_SESSION_TTL: '1s' };
    const doomed = await startServerProcess(t, { ...env, WEIR_BROKER_ID: '1' });
    const survivor = await startServerProcess(t, { ...env, WEIR_BROKER_ID: '2' });
    const cluster = async () => (await http(`${survivor.url}/v1/cluster`)).body;
    const leaders = async () => (await partitionsOf(survivor.url, 'led')).map(({ leader }: any) => leader);
    await eventually(async () => (await cluster()).controller?.brokerId === 1, 'the first one rules');
    await http(`${survivor.url}/v1/topics`, 'POST', { name: 'led', partitions: 2, replicationFactor: 2 });
    await http(`${doomed.url}/v1/nodes/kept`, 'PUT', 'by the store');
    const writes = async () =>
      (await http(`${survivor.url}/v1/topics/led/records`, 'POST', { records: [{ value: 1 }] })).status === 200;
    const { epoch } = (await http(`${survivor.url}/v1/brokers/1`)).body;

    // Longer than the TTL of its session.
    doomed.child.kill('SIGSTOP');
    t.ok(await writes(), 'writes still succeed without interruption');
    await eventually(async () => (await cluster()).controller?.brokerId === 2, 'the office');
    await eventually(async () => (await leaders()).every((leader: number) => leader === 2), 'the partitions');
    doomed.child.kill('SIGCONT');
    await eventually(
      async () => (await cluster()).brokers.some((broker: any) => broker.id === 1 && broker.epoch > epoch),
      'it has registered again by itself',
    );
    await eventually(
      async () => new Set(await leaders()).size === 2,
      'and it leads again the partitions whose preferred leader it is',
    );
    t.match((await cluster()).controller, { brokerId: 2, epoch: 2 }, 'the other broker stays the controller');
    t.equal((await http(`${doomed.url}/health/ready`)).status, 200);

    doomed.child.kill('SIGKILL');
    t.equal(await doomed.exited, 'SIGKILL');
    t.equal((await http(`${survivor.url}/v1/nodes/kept`)).body, 'by the store');
    t.ok(await writes());
    await eventually(async () => (await leaders()).every((leader: number) => leader === 2), 'the partitions');
  },
);

t.test('a broker that hung and finds its id in use stops without writing', async (t) => {
  const port = await freePort();
  await startTestRedis(t, { port });
  const env = { WEIR_REDIS_URL: `redis://127.0.0.1:${port}`, WEIR_BROKER_SESSION_TTL: '1s' };
  const hung = await startServerProcess(t, { ...env, WEIR_BROKER_ID: '7' });
  const other = await startServerProcess(t, { ...env, WEIR_BROKER_ID: '8' });
  const cluster = async () => (await http(`${other.url}/v1/cluster`)).body;
  await eventually(async () => (await cluster()).controller?.brokerId === 7, 'the broker is the controller');
  await http(`${other.url}/v1/topics`, 'POST', { name: 'led', partitions: 2, replicationFactor: 2 });

  hung.child.kill('SIGSTOP');
  const successor = await startServerProcess(t, { ...env, WEIR_BROKER_ID: '7' });
  await eventually(
    async () => new Set((await partitionsOf(other.url, 'led')).map(({ leader }: any) => leader)).size === 2,
    'the new broker leads the partitions whose preferred leader it is',
  );
  const state = async () => {
    const { controller, brokers } = await cluster();
    const states = await Promise.all([0, 1].map((p) => node(other.url, `/brokers/topics/led/partitions/${p}/state`)));
    return { controller, epochs: brokers.map(({ epoch }: any) => epoch), states: states.map(({ data }) => data) };
  };
  const before = await state();
  hung.child.kill('SIGCONT');
  t.equal(await hung.exited, 1);
  t.match(
    hung.log.find(({ level }) => level === 60),
    { msg: /^Another server has registered as broker 7.*WEIR_BROKER_ID/ },
  );
  t.same(await state(), before);
  t.equal((await http(`${successor.url}/health/ready`)).status, 200);
});

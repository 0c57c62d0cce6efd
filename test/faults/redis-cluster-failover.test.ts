// A broker on a Redis Cluster whose primaries fail: once, the primary of the coordination keys, by default; with
// WEIR_FAULTS_SECONDS for so long, in every way in turn, while slots move.
import t from 'tap';
import { coordinationKeys, partitionKeys } from '../../src/store/keys.ts';
import { type ClusterSetup, startRedisCluster } from '../../testbed/redis-cluster.ts';
import { startAcknowledgedLoad } from '../helpers/acknowledged-load.ts';
import { requestFailover } from '../helpers/requested-failover.ts';
import { eventually, http, startTestServer, testConfig } from '../helpers/server.ts';

const seconds = Number(process.env.WEIR_FAULTS_SECONDS ?? 0);

/** The faults of the node that holds a key. Each repairs what it broke once everything is served again. */
const failures: [what: string, fail: (cluster: ClusterSetup, key: string) => Promise<unknown>][] = [
  [
    'it is killed',
    async (cluster, key) => {
      const owner = await cluster.ownerOf(key);
      await owner.kill();
      await cluster.failedOverFrom(owner, key);
      await owner.start();
      await cluster.isWhole();
    },
  ],
  [
    'it hangs',
    async (cluster, key) => {
      const owner = await cluster.ownerOf(key);
      owner.signal('SIGSTOP');
      await cluster.failedOverFrom(owner, key);
      owner.signal('SIGCONT');
      await cluster.isWhole();
    },
  ],
  [
    'its slot is moved',
    async (cluster, key) => {
      const from = await cluster.ownerOf(key);
      const [to] = (await cluster.primaries()).filter((node) => node !== from);
      await cluster.beginMove(key, from, to!);
      await cluster.finishMove(key, from, to!);
      await cluster.isWhole();
    },
  ],
  [
    'it hands over to its replica',
    async (cluster, key) => {
      const owner = await cluster.ownerOf(key);
      const replica = await cluster.replicaOf(owner);
      await requestFailover(
        () => replica.ask('CLUSTER', 'FAILOVER'),
        () => cluster.failedOverFrom(owner, key, 8000),
      );
      await cluster.isWhole();
    },
  ],
];

t.test(
  'a failover delays requests, and loses no record that acks=all acknowledged',
  { timeout: (seconds + 180) * 1000 },
  async (t) => {
    const cluster = await startRedisCluster(t, 3, true);
    const { url } = await startTestServer(t, { storeTimeoutMs: 2000 }, { url: cluster.url });
    const load = await startAcknowledgedLoad(url, { topic: 'safe', partitions: 4, replicas: 1 });
    const { topicId } = (await http(`${url}/v1/topics/safe`)).body;
    const keys = [
      coordinationKeys(testConfig.prefix).root,
      ...[0, 1, 2, 3].map((partition) => partitionKeys(testConfig.prefix, topicId, partition).partition),
    ];
    await load.goesOn(10, 'before');

    const endAt = Date.now() + seconds * 1000;
    for (let round = 0; round === 0 || Date.now() < endAt; round++) {
      const [what, fail] = failures[Math.floor(round / 2) % failures.length]!;
      // The node of the coordination keys and that of a log in turn.
      await fail(cluster, round % 2 === 0 ? keys[0]! : keys[1 + (round % 4)]!);
      await eventually(
        async () => (await http(`${url}/v1/nodes/app`, 'PUT', `${round}`)).status < 300,
        `${what}: the tree`,
      );
      await load.goesOn(10, what);
    }
    await load.check(t);
  },
);

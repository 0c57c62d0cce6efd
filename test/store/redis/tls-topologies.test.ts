// Like tls.test.ts, for the other topologies: Sentinels and cluster nodes with TLS and passwords.
import t, { type Test } from 'tap';
import { type Certificates, makeCertificates, userRules } from '../../../testbed/certificates.ts';
import { startRedisCluster } from '../../../testbed/redis-cluster.ts';
import { temporaryFolder } from '../../../testbed/scope.ts';
import { startSentinels } from '../../../testbed/sentinels.ts';
import { startServerProcess } from '../../helpers/process.ts';
import { requestFailover } from '../../helpers/requested-failover.ts';
import { eventually, http } from '../../helpers/server.ts';

const certificates = makeCertificates(temporaryFolder(t));
const access = 'weir:p%40ss%3Aword@';
/** The permissions that docs/operations.md lists. */
const sentinelRules = 'on >sesame resetchannels -@all +auth +hello +sentinel|get-master-addr-by-name +sentinel|master';

/** @param url of the topology, without user and password */
function environment(url: string, { ca, client }: Certificates): Record<string, string> {
  return {
    WEIR_REDIS_URL: url.replace(/^redis(.*:\/\/)/, `rediss$1${access}`),
    WEIR_REDIS_TLS_CA: ca,
    WEIR_REDIS_TLS_CERT: `${client}.pem`,
    WEIR_REDIS_TLS_KEY: `${client}.key`,
    WEIR_LOG_LEVEL: 'debug',
  };
}

/** Checks nodes, records on several partitions, notices of appends, and acknowledgement by replicas. */
async function checkService(t: Test, url: string): Promise<void> {
  t.equal((await http(`${url}/v1/nodes/app`, 'PUT', 'x')).status, 201);
  await http(`${url}/v1/topics`, 'POST', { name: 'log', partitions: 6, config: { 'min.insync.replicas': 2 } });
  const waiting = http(`${url}/v1/topics/log/partitions/5/records?offset=0&wait=60s`);
  const records = [0, 1, 2, 3, 4, 5].map((partition) => ({ partition, value: partition }));
  const produce = () =>
    http(`${url}/v1/topics/log/records?acks=all`, 'POST', { records }, { 'Idempotency-Key': 'one' });
  await eventually(async () => (await produce()).status === 200, 'replicas have the records');
  t.match((await waiting).body.records, [{ value: 5 }]);
}

t.test('Sentinel with TLS and passwords, through a failover', async (t) => {
  const secured = { tls: certificates, sentinel: [`user weir-asks ${sentinelRules}`] };
  const setup = await startSentinels(t, 1, [`user weir ${userRules}`], secured);
  const env = {
    ...environment(setup.url, certificates),
    WEIR_REDIS_SENTINEL_USERNAME: 'weir-asks',
    WEIR_REDIS_SENTINEL_PASSWORD: 'sesame',
  };
  const { url, log } = await startServerProcess(t, env);
  await checkService(t, url);
  const primary = await setup.primary();
  await primary.kill();
  await setup.failedOverFrom(primary);
  await eventually(async () => (await http(`${url}/v1/nodes/app`, 'PUT', 'y')).status === 200, 'writes succeed again');
  t.notMatch(JSON.stringify(log), /p@ss|p%40ss|sesame/, 'no password is in the log');
});

t.test('Redis Cluster with TLS and a password, through a failover', async (t) => {
  const cluster = await startRedisCluster(t, 2, true, [`user weir ${userRules}`], certificates);
  const { url, log } = await startServerProcess(t, environment(cluster.url, certificates));
  await checkService(t, url);
  t.match((await http(`${url}/v1/cluster`)).body.store, { engine: 'cluster', shards: 2 });
  const owner = await cluster.ownerOf('{weir}:root');
  const replica = await cluster.replicaOf(owner);
  await requestFailover(
    () => replica.ask('CLUSTER', 'FAILOVER'),
    () => cluster.failedOverFrom(owner, '{weir}:root', 8000),
  );
  await eventually(async () => (await http(`${url}/v1/nodes/app`, 'PUT', 'y')).status === 200, 'writes succeed again');
  t.notMatch(JSON.stringify(log), /p@ss|p%40ss/, 'no password is in the log');
});

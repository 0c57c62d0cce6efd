// A server on a Redis with TLS, client certificates, and a user that has only the permissions that Weirkeeper needs.
import { pino } from 'pino';
import t from 'tap';
import { loadConfig } from '../../../src/config/config.ts';
import { sharedStore } from '../../../src/store/redis/target.ts';
import { Store } from '../../../src/store/store.ts';
import { makeCertificates, userRules } from '../../../testbed/certificates.ts';
import { startRedisNode } from '../../../testbed/redis-node.ts';
import { temporaryFolder } from '../../../testbed/scope.ts';
import { startServerProcess } from '../../helpers/process.ts';
import { eventually, http } from '../../helpers/server.ts';

/** Uses each kind of thing once, so that all that a server sends to Redis is sent. */
async function useAll(url: string): Promise<void> {
  const at = (method: string, path: string, body?: unknown, headers?: Record<string, string>) =>
    http(`${url}/v1${path}`, method, body, headers);
  const { body: session } = await at('POST', '/sessions', { ttl: '30s' });
  const own = { 'weir-session': session.session };
  await at('PUT', '/nodes/all/a?parents=true', 'x');
  await at('PUT', '/nodes/all/e?mode=ephemeral', 'x', own);
  await at('PUT', '/nodes/all/t?mode=ttl&ttl=1h', 'x');
  await at('POST', '/multi', { ops: [{ op: 'set', path: '/all/a', data: 'y' }] });
  await at('GET', '/nodes/all?view=tree');
  await at('GET', '/nodes/all?view=children&stats=true');
  await at('GET', '/events');
  await at('POST', '/topics', { name: 'all', partitions: 2, config: { 'cleanup.policy': 'compact' } });
  await at('POST', '/producers', { name: 'p' });
  for (let i = 0; i < 3; i += 1) await at('POST', '/topics/all/records', { records: [{ key: 'k', value: i }] });
  await at('GET', '/topics/all/records');
  await at('GET', '/topics/all/offsets');
  const { body: member } = await at('POST', '/groups/g/members', { topics: ['all'], reset: 'earliest' });
  const secret = { 'weir-member': member.memberSecret };
  await at('GET', `/groups/g/members/${member.memberId}/records?after=0&wait=0`, undefined, secret);
  await at('POST', `/groups/g/members/${member.memberId}/heartbeat`, {}, secret);
  await at('GET', '/groups/g');
  await at('GET', '/groups');
  await at('DELETE', `/groups/g/members/${member.memberId}`, undefined, secret);
  await at('DELETE', '/sessions/self', undefined, own);
  await at('DELETE', '/nodes/all?recursive=true');
  await at('POST', '/topics/all/partitions/0/truncate', { before: 1 });
  await at('DELETE', '/topics/all');
  await at('GET', '/cluster');
}

t.test('TLS with certificates on both sides, a user with few rights, and another database', async (t) => {
  const certificates = makeCertificates(temporaryFolder(t));
  const { ca, server, client } = certificates;
  const redis = await startRedisNode(t, [`user weir ${userRules}`], { tls: certificates });
  const { port } = redis;
  const env = {
    WEIR_REDIS_URL: `rediss://weir:p%40ss%3Aword@localhost:${port}/2`,
    WEIR_REDIS_TLS_CA: ca,
    WEIR_REDIS_TLS_CERT: `${client}.pem`,
    WEIR_REDIS_TLS_KEY: `${client}.key`,
    WEIR_REDIS_TLS_SERVERNAME: 'redis.test',
    WEIR_LOG_LEVEL: 'debug',
  };
  const { url, log } = await startServerProcess(t, env);
  t.equal((await http(`${url}/v1/nodes/app`, 'PUT', 'x')).status, 201);
  await http(`${url}/v1/topics`, 'POST', { name: 'log', config: { 'min.insync.replicas': 1 } });
  const waiting = http(`${url}/v1/topics/log/partitions/0/records?offset=0&wait=20s`);
  const produce = () =>
    http(`${url}/v1/topics/log/records?acks=all`, 'POST', { records: [{ value: 1 }] }, { 'Idempotency-Key': 'one' });
  // On a very busy machine the result may be unknown; the key makes a retry safe.
  await eventually(async () => (await produce()).status === 200, 'the record is acknowledged');
  t.equal((await waiting).body.records.length, 1);
  t.match(await redis.info('db2'), /^keys=/, 'the data is in that database');
  await useAll(url);
  const denied = (await redis.ask('ACL', 'LOG')) as unknown[][];
  const objects = denied.map((entry) => String(entry[entry.indexOf('object') + 1]));
  // Where it is not allowed, what Redis syncs is not known.
  t.same(
    [...new Set(objects)].filter((object) => object !== 'config|get'),
    [],
    'no command was refused',
  );
  t.notMatch(JSON.stringify(log), /p@ss|p%40ss/, 'the password is in no line of the log');

  const open = async (change: Record<string, string>) => {
    const invocation = loadConfig({ ...env, ...change }, []);
    if (invocation.kind !== 'run') throw new Error('it only prints');
    const { config } = invocation;
    const target = sharedStore(config, config.redisUrl ?? '');
    const store = new Store({ ...config, target }, pino({ level: 'silent' }));
    t.teardown(() => store.close());
    await store.open();
  };
  const refused: [what: string, change: Record<string, string>, message: RegExp][] = [
    ['a password that is wrong', { WEIR_REDIS_URL: `rediss://weir:sesame@localhost:${port}` }, /WRONGPASS/],
    ['a certificate for another name', { WEIR_REDIS_TLS_SERVERNAME: 'other.test' }, /is not trusted.*other\.test/],
    ['a certificate of nobody known', { WEIR_REDIS_TLS_CA: '' }, /is not trusted/],
    ['a file that is not there', { WEIR_REDIS_TLS_CA: `${ca}.not` }, /WEIR_REDIS_TLS_CA is .* cannot be read/],
    ['a key of another certificate', { WEIR_REDIS_TLS_KEY: `${server}.key` }, /do not make a TLS identity/],
  ];
  for (const [what, change, message] of refused) {
    const error = await open(change).then(
      () => new Error('it opened'),
      (error: Error) => error,
    );
    t.match(error.message, message, what);
    t.notMatch(error.message, /p@ss|p%40ss|sesame/, 'the password is not in the message');
  }
});

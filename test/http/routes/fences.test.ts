// Fencing tokens over HTTP: what a partition refuses, how fences are listed and deleted, and how many there may be.
import { Redis } from 'ioredis';
import t from 'tap';
import { defaultLimits } from '../../../src/app.ts';
import { partitionKeys } from '../../../src/store/keys.ts';
import { defaultStoredLimits } from '../../../src/store/stored-limits.ts';
import { http, startTestServer, testConfig } from '../../helpers/server.ts';
import { ndjson } from '../../helpers/topics.ts';

const limits = { ...defaultLimits, stored: { ...defaultStoredLimits, fencesMax: 5 } };
const server = await startTestServer(t, {}, undefined, limits);
const { url } = server;
let topics = 0;

async function newLog() {
  topics += 1;
  const { body } = await http(`${url}/v1/topics`, 'POST', { name: `t${topics}` });
  const partition = `${url}/v1/topics/t${topics}/partitions/0`;
  const send = (fence: string, headers: Record<string, string> = {}, at = `${partition}/records`) =>
    http(at, 'POST', '{"value":1}\n', { ...ndjson, 'weir-fence': fence, ...headers });
  const end = async () => (await http(partition)).body.endOffset;
  const fences = (query = '') => http(`${partition}/fences${query}`);
  const remove = (name: string, headers: Record<string, string> = {}) =>
    http(`${partition}/fences/${encodeURIComponent(name)}`, 'DELETE', undefined, headers);
  return {
    topic: `${url}/v1/topics/t${topics}`,
    topicId: body.topicId as string,
    partition,
    send,
    end,
    fences,
    remove,
  };
}

async function redisKeys(topicId: string) {
  const { socketPath } = server.target as { socketPath: string };
  const redis = new Redis(socketPath);
  t.teardown(() => redis.quit());
  return { redis, keys: partitionKeys(testConfig.prefix, topicId, 0) };
}

t.test('a name is no path, and is kept as it was sent', async (t) => {
  const { send, fences } = await newLog();
  t.match(await send('/locks/a=9007199254740991'), { status: 400, body: { detail: /does not begin with \// } });
  t.equal((await send(Buffer.from('café=1').toString('latin1'))).status, 200);
  t.match((await fences()).body, { fences: [{ name: 'café', token: 1 }] });
});

t.test('tokens are exact up to 2^53-1, in what is refused and what is shown, and beyond that refused', async (t) => {
  const { send, fences, end } = await newLog();
  for (const digits of ['9007199254740992', '9007199254740993', '18446744073709551616', '9'.repeat(100)]) {
    const refused = await send(`leader=${digits}`);
    t.match(refused, { status: 400, body: { code: 'BAD_REQUEST' } });
    t.ok(refused.body.detail.includes(digits), 'it says the number as it was sent');
  }
  t.equal(await end(), 0, 'nothing was written');
  const largest = 9_007_199_254_740_991;
  for (const token of [largest - 65, largest - 64, largest - 8, largest - 2, largest - 1, largest]) {
    t.equal((await send(`leader=${token}`)).status, 200);
    const refused = await send(`leader=${token - 1}`);
    t.match(refused, { status: 409, body: { code: 'FENCED', fence: 'leader', token } });
    t.match(refused.body.detail, new RegExp(`${token}.*${token - 1} is older`));
    t.match((await fences()).body, { fences: [{ name: 'leader', token }] });
  }
});

t.test('every way of appending is held to the fence', async (t) => {
  const { topic, partition, send, end } = await newLog();
  await send('lock=7');
  const { body: producer } = await http(`${url}/v1/producers`, 'POST', { name: 'fenced' });
  const json = { records: [{ value: 1 }] };
  const old = { 'weir-fence': 'lock=6' };
  const ways: [string, string, unknown, Record<string, string>][] = [
    ['JSON', `${topic}/records`, json, old],
    ['JSON to a partition', `${partition}/records`, json, old],
    ['raw', `${topic}/records`, 'raw', { ...old, 'content-type': 'text/plain' }],
    ['NDJSON', `${topic}/records`, '{"value":1}\n', { ...old, ...ndjson }],
    ['NDJSON to a partition', `${partition}/records`, '{"value":1}\n', { ...old, ...ndjson }],
    ['acks=all', `${topic}/records?acks=all`, json, old],
    ['a named producer', `${topic}/records`, { ...json, producer: { ...producer, sequence: 0 } }, old],
    ['an Idempotency-Key', `${topic}/records`, json, { ...old, 'idempotency-key': 'k' }],
  ];
  for (const [way, at, body, headers] of ways) {
    t.match(await http(at, 'POST', body, headers), { status: 409, body: { code: 'FENCED', token: 7 } }, way);
  }
  t.equal(await end(), 1, 'nothing of it was written');
});

t.test(
  'a fence of a node is refused when that node is gone or another, and after its successor has written',
  async (t) => {
    const { topic, send, end, fences } = await newLog();
    const create = async () => (await http(`${url}/v1/nodes/locks/job%20é?parents=true`, 'PUT', '')).body.stat.czxid;
    const path = '/locks/job%20%C3%A9';
    const first = await create();
    t.equal((await send(`${path}@${first}`)).status, 200);
    t.match((await fences()).body.fences, [{ name: '/locks/job é', token: first }]);
    const key = { 'idempotency-key': 'written-before' };
    t.equal((await send(`${path}@${first}`, key)).status, 200);

    await http(`${url}/v1/nodes/locks/job%20é`, 'DELETE');
    t.match(await send(`${path}@${first}`), {
      status: 409,
      body: { code: 'FENCED', detail: /does not exist any more/ },
    });
    const second = await create();
    const replaced = await send(`${path}@${first}`);
    t.match(replaced, { status: 409, body: { code: 'FENCED', detail: /deleted and created again/, token: second } });
    const newKey = { 'idempotency-key': 'not-written' };
    t.match(await send(`${path}@${first}`, newKey), { status: 409, body: { code: 'FENCED' } }, 'with a new key, too');
    const repeat = await http(`${topic}/partitions/0/records`, 'POST', '{"value":1}\n', {
      ...ndjson,
      ...key,
      'weir-fence': `${path}@${first}`,
    });
    t.match(repeat, { status: 200 }, 'a repeat of what was written gets its response');
    t.equal(await end(), 2);

    t.equal((await send(`${path}@${second}`)).status, 200);
    const late = await send(`/locks/job é=${first}`.replace('é', '\u00c3\u00a9'));
    t.equal(late.status, 400, 'a name cannot stand for the path of a node');
    const { logs } = server.broker.store;
    const { topicId } = (await http(topic)).body;
    const bytes = { count: 1, records: Buffer.from('{}'), maxTimestamp: undefined, hasAllTimestamps: false };
    const raced = await logs.append(topicId, 0, [{ ...bytes, fence: { name: '/locks/job é', token: first } }]);
    t.match(raced, [{ code: 'FENCED' }], 'a writer that looked at the node before it was replaced');
  },
);

t.test('what is no fence is refused, and says what one is', async (t) => {
  const { send, end } = await newLog();
  for (const fence of [
    '',
    'a',
    'a=',
    'a=x',
    'a=-1',
    'a=1.5',
    '=1',
    'a=1, b=2',
    '/a',
    '/a@',
    '/a@x',
    'a@1',
    `${'n'.repeat(256)}=1`,
  ]) {
    t.match(await send(fence), { status: 400, body: { code: 'BAD_REQUEST', detail: /Weir-Fence/ } }, fence);
  }
  for (const fence of ['/a//@1', '/a//b@1', '/a/../b@1', `/${'n'.repeat(1024)}@1`]) {
    t.match(await send(fence), { status: 400, body: { code: 'INVALID_PATH' } }, fence.slice(0, 20));
  }
  t.match(await send('/%zz@1'), { status: 400, body: { detail: /percent-encoding/ } });
  t.equal(await end(), 0);
});

t.test('fences are listed in pages and deleted, which frees a name that was locked by mistake', async (t) => {
  const { partition, send, fences, remove } = await newLog();
  await send('leader=1764424800000000');
  t.equal((await send('leader=5')).status, 409);
  for (const name of ['a/b', 'c=d', 'ü']) await send(`${name === 'c=d' ? 'c' : name === 'ü' ? 'u' : name}=1`);
  const page = await fences('?limit=2');
  t.match(page.body, { partition: 0, fences: [{ name: 'a/b', token: 1 }, { name: 'c' }], next: 'c' });
  t.match((await fences('?after=c')).body.fences, [{ name: 'leader', token: 1764424800000000 }, { name: 'u' }]);
  t.ok(Math.abs(page.body.fences[0].usedAt - Date.now()) < 60_000);

  const key = { 'idempotency-key': 'delete-once' };
  t.equal((await remove('leader', key)).status, 204);
  t.equal((await send('leader=5')).status, 200, 'the next token is taken');
  const again = await remove('leader', key);
  t.equal(again.status, 204);
  t.equal(again.headers.get('idempotency-replayed'), 'true');
  t.match((await fences('?after=c')).body.fences[0], { name: 'leader', token: 5 }, 'the repeat has deleted nothing');
  t.match(await remove('c', key), { status: 422, body: { code: 'IDEMPOTENCY_KEY_REUSED' } });
  t.equal((await remove('a/b')).status, 204);
  t.match(await remove('a/b'), { status: 404, body: { code: 'NOT_FOUND', detail: /no fence a\/b/ } });
  t.match(await http(`${url}/v1/topics/none/partitions/0/fences`), { status: 404, body: { code: 'UNKNOWN_TOPIC' } });
  t.match(await http(`${partition.replace(/0$/, '7')}/fences`), { status: 404, body: { code: 'UNKNOWN_PARTITION' } });
});

t.test('a partition has so many fences and no more; known names go on', async (t) => {
  const { send, end, remove } = await newLog();
  for (let i = 0; i < 5; i++) t.equal((await send(`f${i}=1`)).status, 200);
  const refused = await send('f5=1');
  t.match(refused, { status: 429, body: { code: 'TOO_MANY_REQUESTS', detail: /5 fences.*f5.*Delete/, fencesMax: 5 } });
  t.equal(await end(), 5, 'nothing was written');
  t.equal((await send('f4=2')).status, 200);
  await remove('f0');
  t.equal((await send('f5=1')).status, 200);
});

t.test(
  'a fence that nobody has used for a week is gone, and makes room; one of an older version begins to age',
  async (t) => {
    const { topicId, send, fences } = await newLog();
    const { redis, keys } = await redisKeys(topicId);
    const weekMs = 7 * 24 * 3_600_000;
    for (let i = 0; i < 5; i++) await send(`f${i}=9`);
    await redis.zadd(keys.fenceUses, Date.now() - weekMs - 120_000, 'f0');
    await redis.zadd(keys.fenceUses, Date.now() - weekMs + 120_000, 'f1');
    t.same(
      (await fences()).body.fences.map(({ name }: { name: string }) => name),
      ['f1', 'f2', 'f3', 'f4'],
    );
    t.equal((await send('f1=8')).status, 409, 'one that is not old enough holds');
    t.equal((await send('f0=1')).status, 200, 'any token is taken where it has expired');

    // As an older version left them: without the moment of their last use.
    await redis.del(keys.fenceUses);
    await redis.hset(keys.fences, 'old', 3);
    t.match((await fences()).body.fences.at(-1), { name: 'old', token: 3, usedAt: null });
    t.equal((await send('old=2')).status, 409, 'it holds');
    t.equal((await send('new=1')).status, 429, 'and counts');
    t.equal(await redis.zcard(keys.fenceUses), 6, 'from now on they age');
  },
);

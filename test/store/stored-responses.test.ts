// The stored responses for repeats with an Idempotency-Key: their limits, and that they reveal no secret.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { unrestricted } from '../../src/core/actor.ts';
import { openResponse, sealResponse, storedResponseId } from '../../src/store/sealed-response.ts';
import { Store } from '../../src/store/store.ts';
import { defaultStoredLimits, type StoredLimits } from '../../src/store/stored-limits.ts';
import { startTestRedis } from '../helpers/redis.ts';
import { http, startTestServer, testConfig } from '../helpers/server.ts';

async function openStore(t: Test, stored: Partial<StoredLimits> = {}) {
  const { socketPath, dataDir } = await startTestRedis(t);
  const options = { ...testConfig, target: { socketPath }, storedLimits: { ...defaultStoredLimits, ...stored } };
  const store = new Store(options, pino({ level: 'silent' }));
  await store.open();
  t.teardown(() => store.close());
  const redis = new Redis(socketPath);
  t.teardown(() => redis.quit());
  return { store, redis, dataDir };
}

t.test('a sealed response can be read with its own key only', async (t) => {
  const key = 'c7a1f2d0-order-4711';
  const sealed = sealResponse(key, 'a secret');
  t.equal(openResponse(key, sealed), 'a secret');
  t.not(sealResponse(key, 'a secret'), sealed, 'sealing the same text twice gives different results');
  t.notMatch(Buffer.from(sealed, 'base64url').toString('latin1'), /secret/);
  t.throws(() => openResponse('c7a1f2d0-order-4712', sealed), 'another key does not open the response');
  const changed = Buffer.from(sealed, 'base64url');
  changed[changed.length - 1]! ^= 1;
  t.throws(() => openResponse(key, changed.toString('base64url')), 'a changed response cannot be opened');
  t.equal(storedResponseId(key), storedResponseId(key));
  t.not(storedResponseId(key), storedResponseId(`${key} `));
});

t.test('neither an Idempotency-Key nor the handle that it gave is in Redis or in the append-only file', async (t) => {
  const { socketPath, dataDir } = await startTestRedis(t);
  const { url } = await startTestServer(t, {}, { socketPath });
  const key = 'key-that-nobody-may-find';
  const headers = { 'idempotency-key': key };
  const { session } = (await http(`${url}/v1/sessions`, 'POST', { ttl: '30s' }, headers)).body;
  const again = await http(`${url}/v1/sessions`, 'POST', { ttl: '30s' }, headers);
  t.equal(again.body.session, session, 'the repeat gets the same handle');
  await http(`${url}/v1/nodes/beside`, 'PUT', 'marker-of-this-test', { 'idempotency-key': `${key}-2` });

  const files = readdirSync(dataDir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const stored = files.map((file) => readFileSync(join(file.parentPath, file.name), 'latin1')).join('\n');
  const redis = new Redis(socketPath);
  t.teardown(() => redis.quit());
  const names = await redis.keys('*');
  const dumps = await Promise.all(names.map(async (name) => (await redis.dumpBuffer(name))?.toString('latin1')));
  const slow = JSON.stringify(await redis.slowlog('GET', 128));
  const inRedis = [...names, ...dumps, slow].join('\n');
  t.match(stored, /marker-of-this-test/, 'the append-only file was read');
  for (const secret of [key, session, session.split('.')[1]]) {
    t.notOk(stored.includes(secret), 'not in a file');
    t.notOk(inRedis.includes(secret), 'not in Redis');
  }
});

t.test('a handle that an older version stored in plain text is sealed, and a repeat still gets it', async (t) => {
  const { store, redis } = await openStore(t);
  const [key, fingerprint] = ['key-of-an-older-version', 'f'];
  const handle = `${'0a'.repeat(8)}.${'s'.repeat(22)}`;
  const old = `{weir}:idempotency:${key}`;
  const pack = `redis.call('SET', KEYS[1], cmsgpack.pack({ fingerprint = ARGV[1], reply = { 'OK', 0, ARGV[2], ARGV[3], 5000, 9 } }),
    'PX', 600000)`;
  await redis.eval(pack, 1, old, fingerprint, handle.slice(0, 16), handle);
  await redis.hset('{weir}:root', 'layout', 2);
  const newer = new Store({ ...testConfig, target: { socketPath: redis.options.path! } }, pino({ level: 'silent' }));
  await store.close();
  await newer.open();
  t.teardown(() => newer.close());
  t.equal(await redis.exists(old), 0);
  const record = await redis.getBuffer(`{weir}:response:${storedResponseId(key)}`);
  t.notOk(record!.toString('latin1').includes(handle.slice(17)), 'the handle is not stored in plain text');
  t.match(await newer.sessions.create(5000, unrestricted, { key, fingerprint }), { handle, replayed: true });
  t.match(await newer.storedResponses.stats(), { count: 1 });
});

t.test('a request whose response holds a secret needs a key that cannot be guessed', async (t) => {
  const { url } = await startTestServer(t);
  const refused = await http(`${url}/v1/sessions`, 'POST', { ttl: '30s' }, { 'idempotency-key': 'x'.repeat(15) });
  t.match(refused, { status: 400, body: { code: 'BAD_REQUEST', detail: /15 characters.*at least 16/ } });
  const taken = await http(`${url}/v1/sessions`, 'POST', { ttl: '30s' }, { 'idempotency-key': 'x'.repeat(16) });
  t.equal(taken.status, 201);
  const node = await http(`${url}/v1/nodes/n`, 'PUT', '', { 'idempotency-key': 'x' });
  t.equal(node.status, 201, 'a request without a secret accepts any key');
});

t.test('at the limit of stored responses a new key is refused, and a repeat gets its response', async (t) => {
  const { store } = await openStore(t, { responsesMax: 3 });
  const put = (key: string) =>
    store.namespace.write([{ op: 'put', path: '/n', data: key }], { idempotency: { key, fingerprint: key } });
  for (const key of ['one', 'two', 'three']) await put(key);
  await put('three');
  t.match(await store.storedResponses.stats(), { count: 3 }, 'a repeat is not counted again');
  const writes: (() => Promise<unknown>)[] = [
    () => put('four'),
    () => store.sessions.create(5000, unrestricted, { key: 'a long key of a session', fingerprint: 'f' }),
    () => store.producers.register('p', unrestricted, { key: 'five', fingerprint: 'f' }),
    () => store.storedResponses.find({ key: 'six', fingerprint: 'f' }),
  ];
  for (const write of writes) {
    await t.rejects(write(), { code: 'TOO_MANY_REQUESTS', message: /limit of 3 .*10 minutes.*without a key/ });
  }
  t.match(await put('one'), { replayed: true });
  t.match(await store.namespace.get('/n'), { data: Buffer.from('three') }, 'a refused request changes nothing');
  await store.namespace.write([{ op: 'put', path: '/n', data: 'no key' }]);
});

t.test('the bytes of stored responses are limited, too', async (t) => {
  const { store } = await openStore(t, { responseBytesMax: 100_000 });
  const idempotency = { key: 'large', fingerprint: 'f' };
  await store.storedResponses.store(idempotency, 'x'.repeat(100_000));
  await store.storedResponses.store(idempotency, 'y'.repeat(50_000));
  const { bytes } = await store.storedResponses.stats();
  t.ok(bytes > 50_000 && bytes < 50_500, `a response replaces the previous one: ${bytes} bytes`);
  t.same(await store.storedResponses.find(idempotency), { state: 'stored', text: 'y'.repeat(50_000) });
  await store.storedResponses.store({ key: 'more', fingerprint: 'f' }, 'x'.repeat(50_000));
  await t.rejects(store.storedResponses.find({ key: 'new', fingerprint: 'f' }), { code: 'TOO_MANY_REQUESTS' });
});

t.test('expired responses free room under the limit', async (t) => {
  const { store, redis } = await openStore(t, { responsesMax: 2 });
  const keep = (key: string) => store.storedResponses.store({ key, fingerprint: 'f' }, 'response');
  await keep('one');
  await keep('two');
  await t.rejects(store.storedResponses.find({ key: 'three', fingerprint: 'f' }), { code: 'TOO_MANY_REQUESTS' });
  // As if they had been stored 11 minutes ago: the counts move to intervals that have expired.
  const counts = await redis.hgetall('{weir}:responses');
  for (const [field, value] of Object.entries(counts)) {
    const interval = /^(\d+):([cb])$/.exec(field);
    if (!interval) continue;
    await redis.hdel('{weir}:responses', field);
    await redis.hset('{weir}:responses', `${Number(interval[1]) - 66}:${interval[2]}`, value);
  }
  await redis.hset('{weir}:responses', 'oldest', Number(counts.oldest) - 66);
  await keep('three');
  t.same(
    await store.storedResponses.find({ key: 'four', fingerprint: 'f' }),
    { state: 'new' },
    'a new key is accepted',
  );
  t.match(await store.storedResponses.stats(), { count: 1 });
});

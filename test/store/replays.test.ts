import { pino } from 'pino';
import t from 'tap';
import { Store } from '../../src/store/store.ts';
import { startTestRedis } from '../helpers/redis.ts';
import { testConfig } from '../helpers/server.ts';

t.test('a stored result is returned also if the request would now take other steps', async (t) => {
  const { socketPath } = await startTestRedis(t);
  const store = new Store({ ...testConfig, target: { socketPath } }, pino({ level: 'silent' }));
  await store.open();
  t.teardown(() => store.close());
  // As when creating a topic: the brokers and the controller that are checked may differ in the retry.
  const idempotency = { key: 'topic', fingerprint: 'same' };
  const create = { op: 'create' as const, path: '/made', data: 'x' };
  const check = { op: 'check' as const, path: '/brokers' };
  const first = await store.namespace.write([check, create], { idempotency });
  t.equal(first.replayed, false);
  for (const ops of [[check, check, check, create], [create]]) {
    const again = await store.namespace.write(ops, { idempotency });
    t.match(again, { replayed: true, zxid: first.zxid }, `${ops.length} steps`);
  }
});

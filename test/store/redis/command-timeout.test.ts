import { pino } from 'pino';
import t from 'tap';
import { callTimeouts } from '../../../src/store/redis/time-limits.ts';
import { Store } from '../../../src/store/store.ts';
import { startTestRedis } from '../../helpers/redis.ts';
import { testConfig } from '../../helpers/server.ts';

t.test('a reply that arrives while this process is busy is not a time-out', async (t) => {
  const { socketPath, redis } = await startTestRedis(t);
  const store = new Store({ ...testConfig, storeTimeoutMs: 2000, target: { socketPath } }, pino({ level: 'silent' }));
  await store.open();
  t.teardown(() => store.close());
  const asked = store.connection.command(false, (client) => client.ping());
  // The command is sent before the event loop is blocked, as by a flood of requests or by SIGSTOP.
  await new Promise((resolve) => process.nextTick(resolve));
  const until = performance.now() + callTimeouts(2000).commandMs + 100;
  while (performance.now() < until);
  t.equal(await asked, 'PONG');

  process.kill(redis.pid, 'SIGSTOP');
  t.teardown(() => process.kill(redis.pid, 'SIGCONT'));
  const pending = store.connection.command(true, (client) => client.ping());
  await t.rejects(
    pending,
    { code: 'STORE_UNAVAILABLE', message: /unknown/ },
    'a reply that has not arrived is a time-out',
  );
});

// Clients and brokers that die or stand still: kill -9 of a broker, SIGSTOP of a holder, kill -9 of a consumer.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { startServerProcess } from '../../../test/helpers/process.ts';
import { eventually, startTestServer } from '../../../test/helpers/server.ts';
import { startRedisNode } from '../../../testbed/redis-node.ts';
import { lock } from '../../src/recipes/index.ts';
import { startClient } from '../client.ts';

const program = fileURLToPath(new URL('./mortal.js', import.meta.url));

/** Starts a client in a process of its own; what it says comes as messages. */
function startMortal(t: Test, ...args: string[]): { child: ChildProcess; said: unknown[] } {
  const child = fork(program, args);
  t.teardown(() => child.kill('SIGKILL'));
  const said: unknown[] = [];
  child.on('message', (message) => said.push(message));
  return { child, said };
}

t.test('when a broker is killed, its clients go on at another one, and each write takes effect once', async (t) => {
  const redis = await startRedisNode(t, []);
  const env = { WEIR_REDIS_URL: `redis://127.0.0.1:${redis.port}`, WEIR_INSECURE: 'true' };
  const brokers = [await startServerProcess(t, env), await startServerProcess(t, env)];
  const weir = startClient(
    t,
    brokers.map(({ url }) => url),
  );
  await weir.tree.create('/survives');
  const watch = weir.watch('/survives', { mode: 'recursive' });
  await watch.started;
  const first = weir.heard.find((event) => event.type === 'connected')!.url;
  const created = Promise.all(Array.from({ length: 3000 }, () => weir.tree.createSequential('/survives/n-')));
  await watch.next();
  brokers.find(({ url }) => url === first)!.child.kill('SIGKILL');
  await created;
  const { names } = await weir.tree.children('/survives');
  t.equal(names.length, 3000);
  let seen = 1;
  for await (const { events } of watch) {
    seen += events.length;
    if (seen >= 3000) break;
  }
  t.equal(seen, 3000, 'the watch has told of each');
});

t.test('a holder that was stopped cannot append after the next holder has', async (t) => {
  const server = await startTestServer(t);
  const weir = startClient(t, server.url);
  await weir.admin.topics.create({ name: 'fenced' });
  const { child, said } = startMortal(t, 'hold', server.url);
  await eventually(() => said.includes('appended'), 'it holds the lock and has appended');
  child.kill('SIGSTOP');
  await lock(weir, 'fenced').with(async ({ token }) => {
    await weir.producer({ topic: 'fenced', fence: `fenced=${token}` }).send({ value: 'next' });
    child.kill('SIGCONT');
    await eventually(() => said.includes('FENCED'), 'it is refused');
  });
});

t.test('records are processed at least once when consumers are killed', async (t) => {
  const server = await startTestServer(t);
  const weir = startClient(t, server.url);
  await weir.admin.topics.create({ name: 'work', partitions: 3 });
  const producer = weir.producer({ topic: 'work' });
  const count = 2000;
  await Promise.all(Array.from({ length: count }, (_, n) => producer.send({ key: String(n), value: n })));
  const seen = new Set<number>();
  const hear = (message: unknown) => {
    for (const n of message as number[]) seen.add(n);
  };
  for (let deaths = 0; deaths < 3; deaths += 1) {
    const before = seen.size;
    const { child } = startMortal(t, 'consume', server.url);
    child.on('message', hear);
    await eventually(() => seen.size > before + 200, 'it processes');
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  const { child } = startMortal(t, 'consume', server.url);
  child.on('message', hear);
  await eventually(() => seen.size === count, 'none is missing');
});

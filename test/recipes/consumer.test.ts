// Runs examples/consumer.mjs, a group member over a WebSocket, against a real server.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t, { type Test } from 'tap';
import { projectRoot } from '../../src/config/config.ts';
import { startFaultyNetwork } from '../helpers/faulty-network.ts';
import { eventually, http, startTestServer } from '../helpers/server.ts';
import { openSocket } from '../helpers/socket.ts';

/** Runs the example. @returns its output by lines, and a function that ends it */
function startConsumer(t: Test, url: string, args: string[]) {
  const child = spawn(process.execPath, [join(projectRoot(), 'examples/consumer.mjs'), ...args], {
    env: { PATH: process.env.PATH, WEIR_URL: url },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = once(child, 'exit');
  const end = async () => {
    child.kill('SIGKILL');
    await exited;
  };
  t.teardown(end);
  return { lines: createInterface({ input: child.stdout })[Symbol.asyncIterator](), exited, end };
}

t.test('the example prints the records of its group', async (t) => {
  const server = await startTestServer(t);
  const produce = (value: unknown) => http(`${server.url}/v1/topics/clicks/records`, 'POST', { records: [{ value }] });
  await http(`${server.url}/v1/topics`, 'POST', { name: 'clicks' });
  await produce('one');
  await produce({ page: '/' });
  const first = startConsumer(t, server.url, ['stats', 'clicks']);
  t.equal((await first.lines.next()).value, 'one');
  t.equal((await first.lines.next()).value, '{"page":"/"}');
  await produce('three');
  t.equal((await first.lines.next()).value, 'three');
  t.equal((await http(`${server.url}/v1/groups/stats`)).body.members.length, 1, 'the example is a member of the group');
});

t.test('the example prints its usage', async (t) => {
  const { exited } = startConsumer(t, 'http://127.0.0.1:1', []);
  t.same(await exited, [2, null]);
});

t.test(
  'the example joins again when its connection is lost, and stops when another connection is the member',
  async (t) => {
    const server = await startTestServer(t);
    const network = await startFaultyNetwork(t, server.url);
    const produce = (value: unknown) =>
      http(`${server.url}/v1/topics/clicks/records`, 'POST', { records: [{ value }] });
    const describe = async () => (await http(`${server.url}/v1/groups/stats`)).body;
    const committed = (count: number) => async () =>
      (await describe()).partitions?.reduce((sum: number, each: any) => sum + (each.committed ?? 0), 0) === count;
    await http(`${server.url}/v1/topics`, 'POST', { name: 'clicks', partitions: 1 });
    const consumer = startConsumer(t, network.url, ['stats', 'clicks']);
    await produce('a');
    t.equal((await consumer.lines.next()).value, 'a');
    await eventually(committed(1), 'the first record is committed');
    const [{ memberId }] = (await describe()).members;

    network.cut();
    await produce('b');
    t.equal((await consumer.lines.next()).value, 'b');
    await eventually(committed(2), 'the second record is committed');
    t.match((await describe()).members, [{ memberId }], 'the example is the same member');
    t.equal((await http(`${server.url}/v1/groups/stats/members/${memberId}`, 'DELETE')).status, 204);
    await produce('c');
    t.equal((await consumer.lines.next()).value, 'c', 'a removed member joins again');

    await openSocket(t, `${server.url}/v1/groups/stats/stream?topics=clicks&memberId=${memberId}`);
    t.same(await consumer.exited, [1, null], 'the example stops when another connection supersedes it');
  },
);

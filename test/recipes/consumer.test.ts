// Runs examples/consumer.mjs, a group member over a WebSocket, against a real server.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t, { type Test } from 'tap';
import { projectRoot } from '../../src/config/config.ts';
import { http, startTestServer } from '../helpers/server.ts';

/** Runs the example. @returns its output by lines, and a function that ends it */
function startConsumer(t: Test, url: string, args: string[]) {
  const child = spawn(process.execPath, [join(projectRoot(), 'examples/consumer.mjs'), ...args], {
    env: { PATH: process.env.PATH, WEIRKEEPER_URL: url },
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
  t.equal((await http(`${server.url}/v1/groups/stats`)).body.members.length, 1, 'it is a member of the group');
});

t.test('the example prints its usage', async (t) => {
  const { exited } = startConsumer(t, 'http://127.0.0.1:1', []);
  t.same(await exited, [2, null]);
});

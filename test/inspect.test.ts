import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { startTestRedis } from './helpers/redis.ts';
import { http, startTestServer } from './helpers/server.ts';

const program = fileURLToPath(new URL('../testbed/inspect.js', import.meta.url));

t.test('npm run inspect prints stored nodes and events', async (t) => {
  const { socketPath } = await startTestRedis(t);
  const { url } = await startTestServer(t, {}, { socketPath });
  const created = await http(`${url}/v1/nodes/a`, 'PUT', 'first', { 'content-type': 'text/plain' });
  await http(`${url}/v1/nodes/a`, 'PUT', 'second', { 'content-type': 'text/plain' });
  const run = async (...args: string[]) => {
    const options = ['--socket', socketPath, ...args];
    return JSON.parse((await promisify(execFile)(process.execPath, [program, ...options])).stdout);
  };
  const node = await run('/a');
  t.match(node, { path: '/a', contentType: 'text/plain', data: 'second', stat: { version: 1 } });
  t.equal(node.stat.czxid, created.body.stat.czxid);
  t.same(await run('/none'), { path: '/none', missing: true });
  const events = await run('--events', '100');
  const ofNode = events
    .flatMap((entry: any) => entry.transactions)
    .flatMap((one: any) => one.events)
    .filter(({ path }: any) => path === '/a');
  t.match(ofNode, [
    { kind: 'created', data: 'first' },
    { kind: 'changed', data: 'second', stat: { version: 1 } },
  ]);
  await t.rejects(promisify(execFile)(process.execPath, [program, '/a']), { code: 2, stderr: /^usage: / });
});

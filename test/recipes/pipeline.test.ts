// Runs examples/pipeline.mjs, which pipelines writes over a socket, against real servers.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { projectRoot } from '../../src/config/config.ts';
import { startFaultyNetwork } from '../helpers/faulty-network.ts';
import { eventually, http, startTestServer } from '../helpers/server.ts';

/** Runs the example. @returns what it printed, and its exit code later on */
function startExample(t: Test, ...args: string[]) {
  const child = spawn(process.execPath, [join(projectRoot(), 'examples/pipeline.mjs'), ...args], {
    env: { PATH: process.env.PATH },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let printed = '';
  child.stdout.on('data', (data) => {
    printed += data;
  });
  child.stderr.on('data', (data) => {
    printed += data;
  });
  t.teardown(() => child.kill('SIGKILL'));
  return { exited: once(child, 'exit'), printed: () => printed };
}

t.test('the example creates each node once, in order, though its connections break', async (t) => {
  const one = await startTestServer(t);
  const two = await startTestServer(t, {}, one.target);
  const networks = [await startFaultyNetwork(t, one.url), await startFaultyNetwork(t, two.url)];
  const urls = networks.map(({ url }) => url.replace('http', 'ws')).join(',');
  const example = startExample(t, urls, '/jobs', '3000');
  const created = async () => (await http(`${one.url}/v1/nodes/jobs?view=stat`)).body.stat?.numChildren ?? 0;
  for (const share of [100, 1000, 2000]) {
    await eventually(async () => (await created()) > share, `more than ${share} nodes are there`);
    for (const network of networks) network.cut();
  }
  t.same(await example.exited, [0, null], example.printed());
  t.match(example.printed(), /3000 nodes created, the last is \/jobs\/job-0000002999; \d+ connections/);
  const { stat } = (await http(`${one.url}/v1/nodes/jobs?view=stat`)).body;
  t.match(stat, { numChildren: 3000, cversion: 3000 });
});

// weir demo --cluster: the walk without keys, and what is left of it after each end.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import t from 'tap';
import { Cli } from '../../src/cli/cli.ts';
import { clusterDemo } from '../../src/cli/demo/cluster-demo.ts';
import { within } from '../../testbed/scope.ts';
import { TestCli } from '../helpers/cli.ts';
import { eventually } from '../helpers/server.ts';

const cli = new TestCli(t, 'http://127.0.0.1:1');
const env = { TMPDIR: cli.folder };
const left = () => readdirSync(cli.folder).filter((name) => name.startsWith('weir-demo-'));

t.test('it walks through the tree, and says in words what happens', async (t) => {
  const gone = spawnSync('true').pid;
  for (const name of [`weir-demo-${gone}-left`, `weir-demo-${process.pid}-used`]) mkdirSync(join(cli.folder, name));
  const { code, stdout, stderr } = await cli.runProcess(['demo', '--auto'], { env });
  t.equal(code, 0, stderr);
  for (const part of [
    /broker 3 at http/,
    /The topic clicks is there/,
    /clicks-\d is led by broker \d/,
    /bob has joined stats/,
    /bob has left stats/,
    /ann reads clicks-\d/,
    /Broker \d is gone: its session has ended/,
    /Broker \d is the controller/,
    /Everything was stopped/,
  ]) {
    t.match(stdout, part);
  }
  t.same(left(), [`weir-demo-${process.pid}-used`], 'what an earlier one that was killed has left is gone, too');
  rmSync(join(cli.folder, `weir-demo-${process.pid}-used`), { recursive: true });
});

t.test('Ctrl-C ends it in order, and kill -9 leaves no process', async (t) => {
  const begun = async () => {
    const started = cli.start(['demo', '--cluster'], env);
    await eventually(() => started.output.stdout.includes('broker 3 at'), 'the brokers run');
    const urls = [...started.output.stdout.matchAll(/broker \d at (\S+)/g)].map(([, url]) => String(url));
    return { ...started, urls };
  };
  const isGone = (url: string) =>
    fetch(url).then(
      () => false,
      () => true,
    );
  const interrupted = await begun();
  interrupted.child.kill('SIGINT');
  await interrupted.exited;
  t.same(left(), []);
  for (const url of interrupted.urls) t.ok(await isGone(url));
  const killed = await begun();
  killed.child.kill('SIGKILL');
  for (const url of killed.urls) await eventually(() => isGone(url), 'its broker is gone');
});

t.test('Ctrl-C between a step and the wait for the return key ends it, too', async (t) => {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  const demo = new Cli({
    env: { PATH: process.env.PATH ?? '' },
    stdin: stdin as unknown as NodeJS.ReadStream,
    stdout,
    stderr,
  });
  stdout.on('data', (text) => String(text).includes('1. Who is there') && demo.end(new Error('interrupted')));
  await t.rejects(within(clusterDemo(demo, false), 'it ends'), /interrupted/);
});

// weir doctor: what it finds of a server, of Redis and of files, each with a remedy.
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import type { Finding } from '../../src/cli/doctor/finding.ts';
import { checkSystem } from '../../src/cli/doctor/host-checks.ts';
import { redisCommand } from '../../src/embedded-redis/redis-command.ts';
import { TestCli } from '../helpers/cli.ts';
import { startTestRedis } from '../helpers/redis.ts';
import { startTestServer } from '../helpers/server.ts';

const redis = await startTestRedis(t);
const server = await startTestServer(t, {}, { socketPath: redis.socketPath });
const cli = new TestCli(t, server.url);

async function find(
  args: string[] = [],
  env = {},
): Promise<{ code: unknown; of: (check: string) => Finding | undefined; all: Finding[] }> {
  const { code, stdout, stderr } = await cli.run(['doctor', '-o', 'json', ...args], { env });
  if (stdout === '') throw new Error(stderr);
  const all = JSON.parse(stdout).findings as Finding[];
  return { code, all, of: (check) => all.find((each) => each.check === check) };
}

t.test('with the URL alone it sees what the API and the metrics tell', async (t) => {
  const { code, all, of } = await find();
  t.equal(code, 0, JSON.stringify(all.filter(({ status }) => status === 'fail')));
  for (const check of [
    'server',
    'clock',
    'versions',
    'Redis',
    'controller',
    'store',
    'memory',
    'append-only file',
    'access',
    'Node.js',
    'open files',
    'slow scripts',
    'partitions',
    'outages',
    'event loop',
  ]) {
    t.ok(of(check), `there is a finding about ${check}`);
  }
  t.match(of('memory'), { status: 'ok', found: /MiB of 512 MiB/ });
  t.match(of('access'), { status: 'ok', found: /no policy/ });
  t.match(of('Node.js'), { status: 'ok', found: new RegExp(`^${process.version} \\(server\\)`) });
  t.ok(
    all.every(({ status, means, remedy }) => status === 'ok' || (means && remedy)),
    'what is not ok has a remedy',
  );
});

t.test('with the URL of Redis it looks at its settings, and what is wrong fails', async (t) => {
  const url = `unix://${redis.socketPath}`;
  const before = await find(['--redis-url', url]);
  t.match(before.of('maxmemory-policy'), { status: 'ok', found: 'noeviction' });
  t.match(before.of('appendfsync'), { status: 'fail', found: 'no', remedy: /CONFIG SET appendfsync always/ });
  t.equal(before.code, 1);
  await redisCommand(redis.socketPath, ['CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru']);
  await redisCommand(redis.socketPath, ['CONFIG', 'SET', 'slowlog-log-slower-than', '0']);
  t.teardown(() => redisCommand(redis.socketPath, ['CONFIG', 'SET', 'maxmemory-policy', 'noeviction']));
  const { of } = await find(['--redis-url', url]);
  t.match(of('maxmemory-policy'), { status: 'fail', found: 'allkeys-lru', means: /deletes nodes and records/ });
  t.match(of('slow commands'), { status: 'ok' });
  t.match(of('clock of Redis'), { status: 'ok' });
});

t.test('a data folder and a policy that others can read or change fail', async (t) => {
  const folder = dirname(redis.socketPath);
  const policy = join(cli.folder, 'policy.yaml');
  writeFileSync(policy, '', { mode: 0o600 });
  const good = await find(['--data-dir', folder, '--policy', policy]);
  t.match(good.of('data folder'), { status: 'ok' });
  t.match(good.of('policy file'), { status: 'ok' });
  t.ok(good.of('disk') && good.of('appendfsync'), 'it has found Redis by the lock of the folder');
  chmodSync(policy, 0o666);
  chmodSync(folder, 0o755);
  t.teardown(() => chmodSync(folder, 0o700));
  const { code, of } = await find(['--data-dir', folder, '--policy', policy]);
  t.equal(code, 1);
  t.match(of('data folder'), { status: 'fail', remedy: `chmod go-rwx ${folder}` });
  t.match(of('policy file'), { status: 'fail', remedy: `chmod go-w ${policy}` });
});

t.test('settings of Linux that slow Redis down are warnings', async (t) => {
  const root = `${cli.folder}/root/`;
  mkdirSync(`${root}sys/kernel/mm/transparent_hugepage`, { recursive: true });
  mkdirSync(`${root}proc/sys/vm`, { recursive: true });
  const set = (pages: string, overcommit: string) => {
    writeFileSync(`${root}sys/kernel/mm/transparent_hugepage/enabled`, pages);
    writeFileSync(`${root}proc/sys/vm/overcommit_memory`, overcommit);
    return checkSystem(root).map(({ status, found }) => `${status} ${found}`);
  };
  t.same(set('[always] madvise never', '0\n'), ['warn always', 'warn 0']);
  t.same(set('always [madvise] never', '1\n'), ['ok madvise', 'ok 1']);
  t.same(checkSystem(`${cli.folder}/absent/`), [], 'what cannot be read is left out');
});

t.test('a server that cannot be reached is a finding with a remedy', async (t) => {
  const { code, all } = await find(['--redis-url', 'unix:///no/such.sock'], { WEIR_URL: 'http://127.0.0.1:1' });
  t.equal(code, 1);
  t.match(all, [
    { check: 'server', status: 'fail', remedy: /Start it/ },
    { check: 'Redis', status: 'fail' },
  ]);
});

// The guard of a command: whatever happens to weir, the broker or Redis, the command is dead before somebody else holds the lock.

import { spawn } from 'node:child_process';
import { appendFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { lock } from '../../client/src/recipes/index.ts';
import { startClient } from '../../client/test/client.ts';
import { identifyProcess } from '../../src/embedded-redis/process-lock.ts';
import { temporaryFolder, within } from '../../testbed/scope.ts';
import { type CliResult, type StartedCli, TestCli } from '../helpers/cli.ts';
import { startServerProcess } from '../helpers/process.ts';
import { startTestRedis } from '../helpers/redis.ts';
import { eventually, http, startTestServer } from '../helpers/server.ts';

// They mostly wait for sessions to end.
t.jobs = 4;

/** Short, where a session is to be lost. A busy machine may lose it earlier than the test wants, which changes no order. */
const shortTtl = '4s';
const lastingTtl = '20s';

const server = await startTestServer(t);
const cli = new TestCli(t, server.url);

/** What the commands of a test share: a log, in which the order of lines is the order of events. */
class Scene {
  readonly folder: string;
  readonly #t: Test;
  readonly #url: string;

  constructor(t: Test, url = server.url) {
    this.#t = t;
    this.folder = temporaryFolder(t);
    this.#url = url;
  }

  /** Starts `weir`; commands of it run in the folder of the scene by `sh`. */
  start(args: readonly string[]): StartedCli {
    return cli.start(args, { WEIR_URL: this.#url });
  }

  run(args: readonly string[], { input = '', url = this.#url } = {}): Promise<CliResult> {
    return cli.runProcess(args, { input, env: { WEIR_URL: url } });
  }

  /** A line of a shell as a command. */
  sh(line: string): string[] {
    return ['--', 'sh', '-c', `cd '${this.folder}'; ${line}`];
  }

  lines(file = 'log'): string[] {
    const path = join(this.folder, file);
    return existsSync(path) ? readFileSync(path, 'utf8').split('\n').slice(0, -1) : [];
  }

  /** A command that writes the pids of the guard and of itself, then a line every 100 ms, as long as it lives. */
  holder(name: string, { ttl = shortTtl, before = '' } = {}): StartedCli {
    const line = `${before} echo "pids $PPID $$" >>log; while :; do echo alive >>log; sleep 0.1; done`;
    return this.start(['lock', name, '--ttl', ttl, ...this.sh(line)]);
  }

  /** The pids of guard and command of the holder, once it holds the lock. */
  async pids(): Promise<{ guard: number; command: number }> {
    const line = await eventually(() => this.lines().find((each) => each.startsWith('pids')), 'the command runs');
    await eventually(() => this.lines().includes('alive'), 'it writes');
    const [, guard, command] = String(line).split(' ').map(Number);
    return { guard: guard ?? 0, command: command ?? 0 };
  }

  /**
   * Leaves a dead process in the group of the command, for whom nobody waits: in a container whose first process is not an init, all
   * that loses its parent stays so. Here its parent, outside of the group, does not wait; it ends with the test.
   */
  get leavesDead(): string {
    this.#t.teardown(() => this.lines('orphans').map(Number).forEach(end));
    return '(sleep 0.01 & exec setsid sleep 600) </dev/null >/dev/null 2>&1 & echo $! >>orphans;';
  }

  /** Waits for the lock as somebody else, and shows that the first command is dead by then. */
  async takesOver(t: Test, name: string, url = server.url): Promise<void> {
    const { command } = await this.pids();
    const weir = startClient(t, url, { sessionTtl: lastingTtl });
    const held = await within(lock(weir, name).acquire(), 'the lock is free', {
      withinMs: 120_000,
      evidence: () =>
        `alive of the command: ${living(command).join(' ')}; its last lines: ${this.lines().slice(-3).join(', ')}`,
    });
    t.same(living(command), [], 'nothing of the first command is left');
    appendFileSync(join(this.folder, 'log'), 'next\n');
    await held.release();
  }

  /** Whether the command has written nothing since somebody else has the lock. */
  wasQuiet(): boolean {
    const lines = this.lines();
    return !lines.slice(lines.indexOf('next')).includes('alive');
  }
}

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}

/** The processes of a group that run; one that has ended, and is not waited for yet, does not. The leader is found by its number alone. */
function living(group: number): number[] {
  return [...(identifyProcess(group) ? [group] : []), ...members(group).filter((pid) => pid !== group)];
}

/** As the guard finds them. */
function members(group: number): number[] {
  return readdirSync('/proc')
    .filter((pid) => {
      const [state = '', , processGroup] = statOf(pid);
      return Number(processGroup) === group && !'ZX'.includes(state);
    })
    .map(Number);
}

/** What /proc says of a process, from its state on; nothing if it has ended. */
function statOf(pid: number | string): string[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return [];
  }
}

/** Why the members of a group cannot be told here, in a sandbox, say, that hides them; false where they can. */
function hidesGroups(): string | false {
  const { pid = 0 } = spawn('sleep', ['60'], { detached: true, stdio: 'ignore' });
  t.teardown(() => end(pid));
  if (members(pid).length > 0) return false;
  return `skipped: /proc hides who is in a process group: of ${readdirSync('/proc').length} entries none is in ${pid}, of which it says: ${statOf(pid).slice(0, 4)}`;
}

t.test('a command gets its input, its fencing token, and ends weir with its exit code', async (t) => {
  const scene = new Scene(t);
  const line = 'cat; echo "$WEIR_FENCE_TOKEN $WEIR_LOCK_NODE $WEIR_SESSION"; echo told >&2; exit 3';
  const { code, stdout, stderr } = await scene.run(['lock', 'plain', ...scene.sh(line)], { input: 'in\n' });
  t.equal(code, 3);
  t.match(stdout, /^in\n\d+ \/locks\/plain\/lock-0000000000 [0-9a-f]+\.\S+\n$/);
  t.equal(stderr, 'told\n');
  const { body } = await http(`${server.url}/v1/nodes/locks/plain?view=children`);
  t.same(body.children, [], 'the lock is free');
});

t.test('weir is frozen: its command is dead before another one gets the lock', async (t) => {
  const scene = new Scene(t);
  const first = scene.holder('frozen', { before: scene.leavesDead });
  await scene.pids();
  first.child.kill('SIGSTOP');
  await scene.takesOver(t, 'frozen');
  first.child.kill('SIGCONT');
  const { code, stderr } = await first.exited;
  t.equal(code, 125);
  t.match(stderr, /the command was stopped before anybody else/);
  t.ok(scene.wasQuiet());
});

t.test('weir is killed: its command is dead before another one gets the lock', async (t) => {
  const scene = new Scene(t);
  const first = scene.holder('killed');
  await scene.pids();
  first.child.kill('SIGKILL');
  await scene.takesOver(t, 'killed');
});

t.test('a command that ignores SIGTERM, with children that do, is killed in time', async (t) => {
  const scene = new Scene(t);
  const before = `trap "" TERM; sh -c 'trap "" TERM; while :; do echo alive >>log; sleep 0.1; done' &`;
  const first = scene.holder('deaf', { before });
  await scene.pids();
  first.child.kill('SIGSTOP');
  await scene.takesOver(t, 'deaf');
  first.child.kill('SIGKILL');
});

t.test('a broker is killed: the command is dead before another one gets the lock through another broker', async (t) => {
  const { socketPath } = await startTestRedis(t);
  const other = await startTestServer(t, {}, { socketPath });
  const broker = await startServerProcess(t, { WEIR_REDIS_URL: `unix://${socketPath}`, WEIR_SESSION_MIN_TTL: '500ms' });
  const scene = new Scene(t, broker.url);
  const first = scene.holder('lost');
  await scene.pids();
  broker.child.kill('SIGKILL');
  await scene.takesOver(t, 'lost', other.url);
  t.equal((await first.exited).code, 125);
});

t.test('Redis stands still: the command is stopped, and the lock goes on when Redis does', async (t) => {
  const { socketPath, redis } = await startTestRedis(t);
  const own = await startTestServer(t, {}, { socketPath });
  const scene = new Scene(t, own.url);
  const first = scene.holder('still');
  const { command } = await scene.pids();
  process.kill(redis.pid, 'SIGSTOP');
  t.teardown(() => process.kill(redis.pid, 'SIGCONT'));
  await eventually(() => living(command).length === 0, 'the command has ended');
  process.kill(redis.pid, 'SIGCONT');
  await scene.takesOver(t, 'still');
  t.equal((await first.exited).code, 125);
});

t.test('the guard is killed: so is the command, and weir says so', async (t) => {
  const scene = new Scene(t);
  const first = scene.holder('unguarded', { ttl: lastingTtl });
  const { guard } = await scene.pids();
  process.kill(guard, 'SIGKILL');
  const { code, stderr } = await first.exited;
  t.equal(code, 125);
  t.match(stderr, /^The guard of the command has ended/);
  await scene.takesOver(t, 'unguarded');
});

t.test('the node of the lock is deleted: the command is killed at once', async (t) => {
  const scene = new Scene(t);
  const first = scene.holder('deleted', { ttl: lastingTtl });
  await scene.pids();
  await http(`${server.url}/v1/nodes/locks/deleted?recursive=true`, 'DELETE');
  const { code, stderr } = await first.exited;
  t.equal(code, 125);
  t.match(stderr, /the node of what was held was deleted/);
  await scene.takesOver(t, 'deleted');
});

t.test('what a command leaves running in its group is stopped before the lock is free', async (t) => {
  const scene = new Scene(t);
  const line = `trap "" TERM; (while :; do echo alive >>log; sleep 0.1; done) & echo "pids $PPID $$" >>log; exit 0`;
  const { code } = await scene.run(['lock', 'left', '--grace', '200ms', ...scene.sh(line)]);
  t.equal(code, 0);
  await scene.takesOver(t, 'left');
});

t.test(
  'what is dead in the group of a command, and nobody waits for, does not keep weir from ending',
  { skip: hidesGroups() },
  async (t) => {
    const scene = new Scene(t);
    const line = `${scene.leavesDead} sleep 0.1`;
    const { code } = await scene.run(['lock', 'dead', '--ttl', '5m', '--grace', '2m', ...scene.sh(line)]);
    t.equal(code, 0);
    t.same(
      scene.lines('orphans').map((pid) => living(Number(pid)).length),
      [1],
      'the parent that does not wait has not ended',
    );
  },
);

t.test('signals are passed on to the command, whose end is that of weir', async (t) => {
  const scene = new Scene(t);
  const polite = scene.start([
    ...['lock', 'polite'],
    ...scene.sh('trap "echo asked; exit 7" TERM; echo began; while :; do sleep 0.1; done'),
  ]);
  const plain = scene.start(['lock', 'plain-signal', ...scene.sh('echo began; exec sleep 60')]);
  await eventually(() => [polite, plain].every(({ output }) => output.stdout === 'began\n'), 'both run');
  polite.child.kill('SIGTERM');
  plain.child.kill('SIGINT');
  t.match(await polite.exited, { code: 7, stdout: 'began\nasked\n' });
  t.equal((await plain.exited).code, 130, '128 and the number of the signal');
});

t.test('a signal while weir waits for the lock ends it without a place in the queue', async (t) => {
  const scene = new Scene(t);
  scene.holder('waited', { ttl: lastingTtl });
  await scene.pids();
  const waits = scene.start(['lock', 'waited', '--', 'true']);
  const children = async () => (await http(`${server.url}/v1/nodes/locks/waited?view=children`)).body.children.length;
  await eventually(async () => (await children()) === 2, 'it waits');
  waits.child.kill('SIGTERM');
  t.equal((await waits.exited).code, 143);
  t.equal(await children(), 1);
});

t.test('a lock that somebody else holds ends with 75, at once or after a time', async (t) => {
  const scene = new Scene(t);
  scene.holder('busy', { ttl: lastingTtl });
  await scene.pids();
  const [now, later] = await Promise.all([
    scene.run(['lock', 'busy', '--no-wait', '--', 'echo', 'ran']),
    scene.run(['lock', 'busy', '--wait', '300ms', '--', 'echo', 'ran']),
  ]);
  for (const { code, stdout, stderr } of [now, later]) {
    t.equal(code, 75);
    t.equal(stdout, '');
    t.equal(stderr, 'Somebody else holds it.\n');
  }
});

t.test(
  'a command that is not there ends with 127, one that cannot be run with 126, a failure of weir with 125',
  async (t) => {
    const scene = new Scene(t);
    writeFileSync(join(scene.folder, 'data'), 'no program', { mode: 0o644 });
    const [absent, refused, unreachable, wrong] = await Promise.all([
      scene.run(['lock', 'x', '--', 'no-such-command']),
      scene.run(['lock', 'y', '--', join(scene.folder, 'data')]),
      scene.run(['lock', 'z', '--', 'true'], { url: 'http://127.0.0.1:1' }),
      scene.run(['lock', 'g', '--ttl', '4s', '--grace', '3s', '--', 'true']),
    ]);
    t.match(absent, { code: 127, stderr: 'no-such-command: command not found\n' });
    t.match(refused, { code: 126, stderr: /data cannot be run: permission denied\n$/ });
    t.match(unreachable, { code: 125, stderr: /does not respond/ });
    t.match(wrong, { code: 2, stderr: /--grace is 3000 ms; with a session of 4000 ms it is at most 1600 ms/ });
  },
);

t.test('elect: the next candidate leads when the leader ends, with a higher token', async (t) => {
  const scene = new Scene(t);
  const lead = (name: string) => {
    const line = `echo "${name} $WEIR_FENCE_TOKEN" >>log; until [ -e ${name}-ends ]; do sleep 0.1; done; echo "${name} ends" >>log`;
    return scene.start(['elect', 'boss', '--value', name, '--ttl', lastingTtl, ...scene.sh(line)]);
  };
  const ann = lead('ann');
  await eventually(() => scene.lines().length === 1, 'ann leads');
  const bob = lead('bob');
  const candidates = async () => (await http(`${server.url}/v1/nodes/elections/boss?view=children`)).body.children;
  const [first] = await eventually(async () => {
    const names = await candidates();
    return names.length === 2 && names;
  }, 'bob waits');
  t.equal((await http(`${server.url}/v1/nodes/elections/boss/${first}`)).body, 'ann', 'others read who leads');
  t.equal((await scene.run(['elect', 'boss', '--no-wait', '--', 'true'])).code, 75);
  for (const name of ['ann', 'bob']) writeFileSync(join(scene.folder, `${name}-ends`), '');
  t.same([(await ann.exited).code, (await bob.exited).code], [0, 0]);
  const lines = scene.lines().map((line) => line.split(' '));
  t.same(
    lines.map(([name]) => name),
    ['ann', 'ann', 'bob', 'bob'],
  );
  t.ok(Number(lines[2]?.[1]) > Number(lines[0]?.[1]));
});

t.test('semaphore: as many as there are permits', async (t) => {
  const scene = new Scene(t);
  const hold = (name: string) =>
    scene.start(['semaphore', 'two', '2', ...scene.sh(`echo ${name} >>log; until [ -e go ]; do sleep 0.1; done`)]);
  const holders = [hold('a'), hold('b')];
  await eventually(() => scene.lines().length === 2, 'two hold it');
  t.equal((await scene.run(['semaphore', 'two', '2', '--no-wait', '--', 'true'])).code, 75);
  t.match(await scene.run(['semaphore', 'two', 'some', '--', 'true']), {
    code: 2,
    stderr: /number of permits is some/,
  });
  writeFileSync(join(scene.folder, 'go'), '');
  for (const { exited } of holders) t.equal((await exited).code, 0);
});

t.test('register: the instance is listed while the command runs', async (t) => {
  const scene = new Scene(t);
  const instance = `${server.url}/v1/nodes/services/web/one`;
  const running = scene.start(['register', 'web', 'http://10.0.0.1', '--instance', 'one', ...scene.sh('read -r _')]);
  await eventually(async () => (await http(instance)).body === 'http://10.0.0.1', 'it is listed');
  running.child.stdin.end('\n');
  t.equal((await running.exited).code, 0);
  t.equal((await http(instance)).status, 404);
});

t.test('session keep: nodes of the command live as long as it does, and alone it prints the handle', async (t) => {
  const scene = new Scene(t);
  const node = `${server.url}/v1/nodes/kept`;
  const line = `curl -s -X PUT -H "Weir-Session: $WEIR_SESSION" '${node}?mode=ephemeral'; read -r _`;
  const running = scene.start(['session', 'keep', ...scene.sh(line)]);
  await eventually(async () => (await http(node)).status === 200, 'the node is there');
  running.child.stdin.end('\n');
  t.equal((await running.exited).code, 0);
  t.equal((await http(node)).status, 404);

  const alone = scene.start(['session', 'keep', '--ttl', lastingTtl]);
  const handle = await eventually(() => /^\S+\n$/.test(alone.output.stdout) && alone.output.stdout.trim(), 'a handle');
  const session = () => http(`${server.url}/v1/sessions/self`, 'GET', undefined, { 'weir-session': String(handle) });
  t.equal((await session()).status, 200);
  alone.child.kill('SIGINT');
  t.equal((await alone.exited).code, 0);
  t.equal((await session()).status, 410, 'it has ended');
});

t.test('queue: each item goes to the standard input of a command, and back if that fails', async (t) => {
  const scene = new Scene(t);
  t.match(await scene.run(['queue', 'put', 'jobs', 'one', 'two']), { code: 0, stderr: '2 items were appended.\n' });
  t.equal((await scene.run(['queue', 'put', 'jobs', '-q'], { input: 'three\n' })).code, 0);
  const first = await scene.run([
    'queue',
    'work',
    'jobs',
    '--count',
    '1',
    ...scene.sh('cat; echo " $WEIR_QUEUE_ITEM"; test -n "$WEIR_FENCE_TOKEN"'),
  ]);
  t.match(first, { code: 0, stdout: 'one /queues/jobs/item-0000000000\n' });
  t.equal((await scene.run(['queue', 'work', 'jobs', ...scene.sh('exit 9')])).code, 9);
  const rest = await scene.run(['queue', 'work', 'jobs', '--drain', ...scene.sh('cat; echo')]);
  t.match(rest, { code: 0, stdout: 'two\nthree\n' });
  const waits = scene.start(['queue', 'work', 'jobs', '--', 'cat']);
  await scene.run(['queue', 'put', 'jobs', 'four']);
  await eventually(() => waits.output.stdout === 'four', 'it waits for items');
  const isEmpty = async () =>
    (await http(`${server.url}/v1/nodes/queues/jobs?view=children`)).body.children.length === 0;
  await eventually(isEmpty, 'all items are done');
  waits.child.kill('SIGTERM');
  t.equal((await waits.exited).code, 143, 'and is interrupted between two of them');
});

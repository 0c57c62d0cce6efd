// Runs the recipes of docs/recipes.md in several processes at once, which are killed, stopped, or lose replies.
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { writePolicy } from '../helpers/access.ts';
import { startFaultyNetwork } from '../helpers/faulty-network.ts';
import { history } from '../helpers/groups.ts';
import { eventually, http, startTestServer, type TestServer } from '../helpers/server.ts';
import { recipesFor, shortTtlMs, written } from './recipe-process.ts';

// The tests mostly wait for sessions to end, so several can run at the same time.
t.jobs = 4;

const server = await startTestServer(t);
const nodes = `${server.url}/v1/nodes`;

const children = async (path: string): Promise<string[]> =>
  (await http(`${nodes}${path}?view=children`)).body.children ?? [];
const data = async (path: string) => (await http(`${nodes}${path}`)).body;
const childrenAre = (path: string, count: number) =>
  eventually(async () => (await children(path)).length === count, `${path} has ${count} children`);
const metricIs = (of: TestServer, name: string, value: number) =>
  eventually(
    async () =>
      (await http(`${of.url}/metrics`)).body.includes(`weir_${name} ${value}
`),
    `${name} is ${value}`,
  );
const longPolls = (of: TestServer, count: number) => metricIs(of, 'long_polls_waiting', count);
const times = <T>(count: number, make: (index: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i));
const endsWell = async (t: Test, exits: Promise<number | NodeJS.Signals | null>[]) =>
  t.same(
    await Promise.all(exits),
    exits.map(() => 0),
    'all exit with code 0',
  );

/** A shell line that waits for a file of the test. */
const until = (file: string) => `until [ -e ${file} ]; do sleep 0.05; done`;

t.test('numbers from arguments and nodes are validated, and never evaluated as shell expressions', async (t) => {
  const recipes = recipesFor(t, server.url);
  await http(`${nodes}/counters/evil?parents=true`, 'PUT', `a[$(touch ${recipes.folder}/run)]`);
  for (const [script, ...args] of [
    ['counter.sh', 'evil'],
    ['counter.sh', 'fine', `a[$(touch ${recipes.folder}/run)]`],
    ['semaphore.sh', 'many', 'two', 'true'],
    ['double-barrier.sh', 'step', 'two', 'ann', 'true'],
  ] as const) {
    const started = recipes.start(script, args);
    t.equal(await started.exited, 1, `${script} ${args[0]}`);
  }
  t.notOk(existsSync(`${recipes.folder}/run`));
});

t.test(
  'with access control the scripts send the token of WEIR_TOKEN, and show it in no list of processes',
  async (t) => {
    const policy = await writePolicy(
      t,
      ['ops'],
      'allow:\n  - who: ops\n    nodes: { "/locks/**": [read, write], "/settings/**": [read, write] }\n',
    );
    const guarded = await startTestServer(t, { accessFile: policy.file });
    const token = policy.tokens.ops?.token ?? '';
    const bare = recipesFor(t, guarded.url);
    const refused = bare.start('lock.sh', ['report', 'true']);
    t.equal(await refused.exited, 1);
    await eventually(() => /AUTH_REQUIRED/.test(refused.errors.join()), 'the script says why');
    bare.write('ops.token', token);
    const file = `${bare.folder}/ops.token`;
    const told = join(bare.folder, 'arguments');
    writeFileSync(join(bare.folder, 'curl'), `#!/bin/sh\necho "$@" >>${told}\nPATH=$REAL_PATH exec curl "$@"\n`, {
      mode: 0o700,
    });
    const path = { PATH: `${bare.folder}:${process.env.PATH}`, REAL_PATH: process.env.PATH ?? '' };
    for (const WEIR_TOKEN of [token, `@${file}`]) {
      const recipes = recipesFor(t, `${guarded.url},http://127.0.0.1:1`, { ...path, WEIR_TOKEN });
      // Renewals, too, while it holds the lock.
      const renewed = `until grep -q session-url ${told}; do sleep 0.05; done`;
      await recipes.run('lock.sh', ['report', 'bash', '-c', renewed], { ttlMs: shortTtlMs });
      t.notMatch(readFileSync(told, 'utf8'), token, 'no argument of curl has the token');
      rmSync(told);
      await recipes.run('configuration.sh', ['shop', 'low=5']);
      const follower = recipes.start('configuration.mjs', ['shop']);
      await eventually(() => follower.lines.some((line) => line.includes('"low":"5"')), 'it reads the settings');
      follower.signalAll('SIGTERM');
      await follower.exited;
    }
  },
);

t.test('produce.sh without the token of a leader says who sets it', async (t) => {
  const alone = recipesFor(t, server.url).start('produce.sh', ['ledger', 'text']);
  t.equal(await alone.exited, 1);
  await eventually(() => alone.errors.length > 0, 'it tells');
  t.match(alone.errors[0], /^produce\.sh: there is no FENCE_NAME and FENCE_TOKEN: election\.sh sets them/);
});

t.test('lock: no update is lost, although each process reads and then writes', async (t) => {
  const recipes = recipesFor(t, server.url);
  await http(`${nodes}/shared`, 'PUT', '0');
  const increment = `N=$(curl -s ${nodes}/shared); curl -s -o ${recipes.folder}/null -X PUT -d $((N + 1)) ${nodes}/shared`;
  await Promise.all(
    times(5, async () => {
      for (const _ of times(3, () => 0)) await recipes.run('lock.sh', ['shared', 'bash', '-c', increment]);
    }),
  );
  t.equal(await data('/shared'), '15');
  t.same(await children('/locks/shared'), [], 'and the queue is empty');
});

t.test('lock: when the holder is killed, the next in the queue gets the lock with a higher token', async (t) => {
  const recipes = recipesFor(t, server.url);
  const show = 'echo $FENCE_TOKEN $LOCK_NODE; ';
  // Long enough for a machine that starts two scripts for seconds.
  const ttlMs = 3 * shortTtlMs;
  const first = recipes.start('lock.sh', ['killed', 'bash', '-c', `${show} exec sleep 60`], { ttlMs });
  await eventually(() => first.lines.length === 1, 'the first holds the lock');
  const second = recipes.start('lock.sh', ['killed', 'bash', '-c', show], { ttlMs });
  await childrenAre('/locks/killed', 2);
  await first.kill9();
  await endsWell(t, [second.exited]);
  const [token, node] = first.lines[0]!.split(' ');
  t.ok(Number(second.lines[0]!.split(' ')[0]) > Number(token), 'the tokens grow');
  const late = await http(`${server.url}/v1/multi`, 'POST', {
    ops: [
      { op: 'check', path: node, czxid: Number(token) },
      { op: 'create', path: '/late' },
    ],
  });
  t.equal(late.body.code, 'NO_NODE', 'a change that checks its lock is refused once the lock is lost');
  t.equal((await http(`${nodes}/late`)).status, 404);
});

t.test('lock: each waits for its predecessor, and only its successor is woken', async (t) => {
  const own = await startTestServer(t);
  const recipes = recipesFor(t, own.url);
  const queue: ReturnType<typeof recipes.start>[] = [];
  for (const index of times(4, (i) => i)) {
    const line = `echo has; ${until(`go-${index}`)}`;
    queue.push(recipes.start('lock.sh', ['orderly', 'bash', '-c', line]));
    if (index === 0) await written(queue[0]!, 'has');
    else await longPolls(own, index);
  }
  queue[2]!.signalAll('SIGTERM');
  t.equal(await queue[2]!.exited, 143, 'a waiting process is terminated');
  await longPolls(own, 2);
  t.same(queue[3]!.lines, [], 'its successor does not get the lock, but waits for the predecessor');
  recipes.write('go-0', '');
  await written(queue[1]!, 'has');
  await longPolls(own, 1);
  recipes.write('go-1', '');
  await written(queue[3]!, 'has');
  recipes.write('go-3', '');
  await endsWell(t, [queue[0]!.exited, queue[1]!.exited, queue[3]!.exited]);
});

t.test('lock: a lost reply leaves no second place in the queue', async (t) => {
  const recipes = recipesFor(t, server.url);
  const network = await startFaultyNetwork(t, server.url);
  network.loseReplyTo('POST /v1/nodes/locks/lossy/');
  await recipes.run('lock.sh', ['lossy', 'true'], { url: network.url });
  t.equal(network.repliesLost, 1, 'the reply to the creation was lost');
  const { cversion } = (await http(`${nodes}/locks/lossy?view=stat`)).body.stat;
  t.equal(cversion, 2, 'exactly one place was created and deleted');
});

t.test('lock: when a broker stops, the holder and the waiting process continue through another one', async (t) => {
  const one = await startTestServer(t);
  const two = await startTestServer(t, {}, one.target);
  const recipes = recipesFor(t, one.url);
  const network = await startFaultyNetwork(t, one.url);
  const line = `echo has; ${until('go')}`;
  const options = { url: network.url };
  const holder = recipes.start('lock.sh', ['moving', 'bash', '-c', line], options);
  await written(holder, 'has');
  const next = recipes.start('lock.sh', ['moving', 'bash', '-c', line], options);
  await longPolls(one, 1);
  network.redirect(two.url);
  await longPolls(two, 1);
  t.same(next.lines, [], 'the lock is still held');
  recipes.write('go', '');
  await endsWell(t, [holder.exited, next.exited]);
});

t.test('lock: a holder without a connection stops its command before another process gets the lock', async (t) => {
  const recipes = recipesFor(t, server.url);
  const network = await startFaultyNetwork(t, server.url);
  const work = 'trap "echo stopped >>log; exit" TERM; echo began >>log; echo has; while :; do sleep 0.05; done';
  const cut = recipes.start('lock.sh', ['cut', 'bash', '-c', work], { url: network.url, ttlMs: shortTtlMs });
  await written(cut, 'has');
  const next = recipes.start('lock.sh', ['cut', 'bash', '-c', 'echo next >>log']);
  network.block();
  t.equal(await cut.exited, 75, 'its exit code reports the lost lock');
  await endsWell(t, [next.exited]);
  t.same(recipes.lines('log'), ['began', 'stopped', 'next']);
});

t.test('election: the next candidate leads, and the log refuses the late record of the deposed leader', async (t) => {
  const recipes = recipesFor(t, server.url);
  await http(`${server.url}/v1/topics`, 'POST', { name: 'ledger', partitions: 2 });
  const lead = (name: string) =>
    `echo leads; produce.sh ledger ${name} >>${name}-log; ${until(`${name}-late`)}
     produce.sh ledger ${name}-again 2>${name}-errors; echo $? >>${name}-status`;
  const candidate = (name: string) =>
    recipes.start('election.sh', ['billing', name, 'ledger', 'bash', '-c', lead(name)], { ttlMs: shortTtlMs });
  const ann = candidate('ann');
  await written(ann, 'leads');
  const bob = candidate('bob');
  await childrenAre('/elections/billing', 2);
  const [leader] = await children('/elections/billing');
  t.equal(await data(`/elections/billing/${leader}`), 'ann', 'the node names the leader');
  await eventually(() => recipes.lines('ann-log'), 'ann produces');

  await ann.kill9();
  await written(bob, 'leads');
  recipes.write('ann-late', '');
  await eventually(() => recipes.lines('ann-status').length > 0, 'the process that ann started still produces');
  t.equal(recipes.lines('ann-status')[0], '1', 'and its request fails');
  t.match(recipes.lines('ann-errors').join(), /409 .*"code":"FENCED"/);
  recipes.write('bob-late', '');
  await endsWell(t, [bob.exited]);
  const values = [];
  for (const partition of [0, 1]) {
    const { body } = await http(`${server.url}/v1/topics/ledger/partitions/${partition}/records?offset=earliest`);
    values.push(...body.records.map(({ value }: { value: string }) => value));
    t.match(body.records[0].value, /^ann leads/, 'each partition was fenced by the new leader');
  }
  t.same(values.filter((value) => /^[a-z-]+$/.test(value)).sort(), ['ann', 'bob', 'bob-again']);
});

t.test('read-write lock: readers hold the lock together, a writer holds it alone', async (t) => {
  const recipes = recipesFor(t, server.url);
  const read = 'echo +read >>log; until [ $(grep -c +read log) -ge 2 ]; do sleep 0.05; done; echo -- -read >>log';
  const write = 'echo +write >>log; sleep 0.1; echo -- -write >>log';
  const start = (kind: string, script: string) => recipes.start('rw-lock.sh', [kind, 'page', 'bash', '-c', script]);
  // Each of two readers waits for the other one to read.
  const running = [start('read', read), start('read', read)];
  await endsWell(
    t,
    running.map(({ exited }) => exited),
  );
  const more = times(6, (i) => start(i % 3 === 0 ? 'write' : 'read', i % 3 === 0 ? write : read));
  await endsWell(
    t,
    more.map(({ exited }) => exited),
  );
  let [readers, writers] = [0, 0];
  for (const line of recipes.lines('log').map((text) => text.replace('-- ', ''))) {
    if (line.endsWith('read')) readers += line.startsWith('+') ? 1 : -1;
    else writers += line.startsWith('+') ? 1 : -1;
    t.ok(writers === 0 || (writers === 1 && readers === 0), `${line}: ${readers} readers, ${writers} writers`);
  }
  t.equal(recipes.lines('log').length, 16);
});

t.test('semaphore: there are never more holders than permits, also when a holder is killed', async (t) => {
  const recipes = recipesFor(t, server.url);
  // No process leaves before two have held permits together.
  const work = 'echo + >>log; until [ $(grep -c + log) -ge 2 ]; do sleep 0.05; done; sleep 0.1; echo - >>log';
  const hung = recipes.start('semaphore.sh', ['slots', '2', 'bash', '-c', 'echo in; exec sleep 60'], {
    ttlMs: shortTtlMs,
  });
  await written(hung, 'in');
  const running = times(5, () => recipes.start('semaphore.sh', ['slots', '2', 'bash', '-c', work]));
  await eventually(() => recipes.lines('log').length > 0, 'a second process has a permit');
  await childrenAre('/semaphores/slots/queue', 4);
  t.same(recipes.lines('log'), ['+'], 'and no third process has one');
  await hung.kill9();
  await endsWell(
    t,
    running.map(({ exited }) => exited),
  );
  let leases = 0;
  for (const { events, zxid } of await history(server.broker.store)) {
    for (const { kind, path } of events.filter(({ path }) => path.startsWith('/semaphores/slots/leases/'))) {
      if (kind === 'created') leases += 1;
      if (kind === 'deleted') leases -= 1;
      t.ok(leases <= 2, `${zxid}: ${kind} ${path}, ${leases} are in`);
    }
  }
  t.equal(leases, 0);
  t.equal(recipes.lines('log').length, 10, 'and all processes had a permit');
});

t.test('barrier: all waiting processes pass, also if the barrier is set again at once', async (t) => {
  const own = await startTestServer(t);
  const recipes = recipesFor(t, own.url);
  t.same(await recipes.run('barrier.sh', ['wait', 'gate']), [], 'without a barrier the process does not wait');
  await recipes.run('barrier.sh', ['set', 'gate']);
  const waiting = times(3, () => recipes.start('barrier.sh', ['wait', 'gate']));
  await longPolls(own, 3);
  t.notOk(
    waiting.some(({ hasEnded }) => hasEnded),
    'all three processes wait',
  );
  const node = `${own.url}/v1/nodes/barriers/gate`;
  await Promise.all([http(node, 'DELETE'), http(node, 'PUT', 'again')]);
  await endsWell(
    t,
    waiting.map(({ exited }) => exited),
  );
});

t.test('double barrier: all begin together and end together, without waiting for one that died', async (t) => {
  const recipes = recipesFor(t, server.url);
  // Only the process that dies has a short TTL. With a short TTL the others could lose their sessions on a busy machine.
  const start = (name: string, work: string, options?: { ttlMs: number }) =>
    recipes.start('double-barrier.sh', ['run', '4', name, 'bash', '-c', `echo ${name} >>log; ${work}`], options);
  const [quick, slow, dead] = [
    start('a', 'true'),
    start('b', until('go')),
    start('c', 'exec sleep 60', { ttlMs: shortTtlMs }),
  ];
  await childrenAre('/double-barriers/run/members', 3);
  t.same(recipes.lines('log'), [], 'three of four do not begin yet');
  const last = start('d', 'true');
  await eventually(() => recipes.lines('log').length === 4, 'all four begin');
  await dead.kill9();
  // d leaves, and c has died; a stays, as the first of the remaining members.
  await eventually(async () => (await children('/double-barriers/run/members')).join() === 'a,b', 'a and b are left');
  t.notOk(quick.hasEnded || last.hasEnded, 'a process that is done does not end before all are');
  recipes.write('go', '');
  await endsWell(t, [quick.exited, slow.exited, last.exited]);
});

t.test('counter: every increment counts once, also if its reply is lost', async (t) => {
  const recipes = recipesFor(t, server.url);
  const network = await startFaultyNetwork(t, server.url);
  network.loseReplyTo('PUT /v1/nodes/counters/hits');
  t.same(await recipes.run('counter.sh', ['hits', '5'], { url: network.url }), ['5']);
  t.equal(network.repliesLost, 1);
  const results = await Promise.all(times(8, () => recipes.run('counter.sh', ['hits'])));
  t.same(
    results
      .flat()
      .map(Number)
      .sort((a, b) => a - b),
    [6, 7, 8, 9, 10, 11, 12, 13],
    'each process got a different sum',
  );
  t.same(await recipes.run('counter.sh', ['hits', '0']), ['13']);
});

t.test('service discovery: instances come and go, and a restarted one registers under its old name', async (t) => {
  const recipes = recipesFor(t, server.url);
  const register = (name: string, address: string) =>
    recipes.start('discovery.sh', ['register', 'web', name, address], { ttlMs: shortTtlMs });
  const follower = recipes.start('discovery.sh', ['follow', 'web']);
  const one = register('one', 'http://10.0.0.1');
  const two = register('two', 'http://10.0.0.2');
  await written(one, 'registered /services/web/one');
  await written(two, 'registered /services/web/two');
  await written(follower, 'two http://10.0.0.2');
  t.same(await recipes.run('discovery.sh', ['list', 'web']), ['one http://10.0.0.1', 'two http://10.0.0.2']);
  await two.kill9();
  const again = register('two', 'http://10.0.0.3');
  await written(again, 'registered /services/web/two');
  await written(follower, 'two http://10.0.0.3');
  one.signalAll('SIGTERM');
  await one.exited;
  t.same(
    await recipes.run('discovery.sh', ['list', 'web']),
    ['two http://10.0.0.3'],
    'an instance that ends is removed at once',
  );
});

t.test('configuration: each watcher gets every change once and in order despite broken connections', async (t) => {
  const recipes = recipesFor(t, server.url);
  const network = await startFaultyNetwork(t, server.url);
  const watchers = times(2, () => recipes.start('configuration.mjs', ['shop'], { url: network.url }));
  await eventually(() => watchers.every(({ lines }) => lines.length > 0), 'the watchers are running');
  const sent: number[] = [];
  for (const round of times(8, (i) => i)) {
    const [line] = await recipes.run('configuration.sh', ['shop', `low=${round}`, `high=${round + 10}`]);
    sent.push(Number(line!.replace('zxid ', '')));
    if (round % 3 !== 1) continue;
    await metricIs(server, 'watch_streams_open', 2);
    network.cut();
  }
  const changes = (watcher: { lines: string[] }) =>
    watcher.lines.map((line) => JSON.parse(line)).filter(({ settings }) => settings.low !== undefined);
  for (const watcher of watchers) {
    await eventually(() => changes(watcher).at(-1)?.zxid === sent.at(-1), 'the watcher got the last change');
    t.same(
      changes(watcher).map(({ zxid }) => zxid),
      sent,
      'every change, once, in order',
    );
    t.ok(
      changes(watcher).every(({ settings }) => +settings.high === +settings.low + 10),
      'no change is split',
    );
  }
});

t.test('queue: every item is processed, also the item of a worker that is killed', async (t) => {
  const recipes = recipesFor(t, server.url);
  const network = await startFaultyNetwork(t, server.url);
  const killed = recipes.start('queue.sh', ['process', 'jobs', 'bash', '-c', 'echo has; exec sleep 60'], {
    ttlMs: shortTtlMs,
  });
  network.loseReplyTo('POST /v1/multi');
  await recipes.run('queue.sh', ['put', 'jobs', 'job 0', 'job "1"', 'job 2'], { url: network.url });
  t.equal(network.repliesLost, 1, 'the reply to the put was lost');
  await written(killed, 'has');
  const work = 'read -r LINE || true; echo "$LINE" >>done';
  const workers = times(2, () => recipes.start('queue.sh', ['process', 'jobs', 'bash', '-c', work]));
  await childrenAre('/queues/jobs', 2);
  t.same(recipes.lines('done').sort(), ['job "1"', 'job 2'], 'all items but the claimed one are processed once');
  await killed.kill9();
  await childrenAre('/queues/jobs', 0);
  t.same(recipes.lines('done').sort(), ['job "1"', 'job 0', 'job 2'], 'then the claimed item is processed, too');
  for (const worker of workers) worker.signalAll('SIGTERM');
});

t.test('group membership: all members see each other, and one that was stopped for too long joins again', async (t) => {
  const recipes = recipesFor(t, server.url);
  const join = (name: string, ttlMs: number) => recipes.start('membership.sh', ['crew', name], { ttlMs });
  const ann = join('ann', 15_000);
  await written(ann, 'ann');
  const bob = join('bob', shortTtlMs);
  await written(ann, 'ann bob');
  bob.signalAll('SIGSTOP');
  await eventually(() => ann.lines.at(-1) === 'ann', 'bob is removed');
  bob.signalAll('SIGCONT');
  await eventually(() => ann.lines.at(-1) === 'ann bob', 'bob joins again');
  await eventually(() => bob.lines.at(-1) === 'ann bob', 'and bob sees both members');
  ann.signalAll('SIGTERM');
  await eventually(() => bob.lines.at(-1) === 'bob', 'an instance that ends is removed at once');
});

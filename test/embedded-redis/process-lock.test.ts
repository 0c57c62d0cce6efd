import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { acquireProcessLock, identifyProcess, isAlive, LockHeldError } from '../../src/embedded-redis/process-lock.ts';
import { temporaryFolder } from '../../testbed/scope.ts';

const self = identifyProcess(process.pid)!;
const deadHolder = { ...self, startTime: '1' };

async function startBystander(t: Test): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
  t.teardown(() => child.kill('SIGKILL'));
  await once(child, 'spawn');
  return child;
}

t.test('a process is distinguished from an earlier one with the same pid', async (t) => {
  t.equal(isAlive(self), true);
  t.equal(isAlive(deadHolder), false);
  t.equal(isAlive({ ...self, machine: 'another' }), false);
});

t.test('a process that has ended is not alive', async (t) => {
  const child = await startBystander(t);
  const identity = identifyProcess(child.pid!)!;
  t.equal(isAlive(identity), true);
  child.kill('SIGKILL');
  await once(child, 'exit');
  t.equal(isAlive(identity), false);
});

t.test('a free lock is acquired, is refused to others, and is free again after its release', async (t) => {
  const file = join(temporaryFolder(t), 'lock');
  const lock = await acquireProcessLock(file, 'first');
  t.equal(lock.previousDetails, undefined);
  const refusal = await acquireProcessLock(file, 'second').catch((error) => error);
  t.ok(refusal instanceof LockHeldError);
  t.equal(refusal.holderPid, process.pid);
  lock.release();
  lock.release();
  const next = await acquireProcessLock(file, 'third');
  t.equal(next.previousDetails, undefined);
  next.release();
});

t.test("a dead holder's lock is taken over together with its details", async (t) => {
  const folder = temporaryFolder(t);
  const file = join(folder, 'lock');
  writeFileSync(file, JSON.stringify({ id: 'x', holder: deadHolder, details: 'left behind' }));
  const lock = await acquireProcessLock(file, 'new');
  t.equal(lock.previousDetails, 'left behind');
  t.same(readdirSync(folder), ['lock'], 'no drafts and no gates are left');
  lock.release();
  t.equal(existsSync(file), false);
});

t.test('the details of a dead holder survive a successor that dies before it writes', async (t) => {
  const file = join(temporaryFolder(t), 'lock');
  writeFileSync(file, JSON.stringify({ id: 'x', holder: deadHolder, details: 'left behind' }));
  const program = `
    const { acquireProcessLock } = await import(process.env.MODULE);
    await acquireProcessLock(process.env.FILE, 'new');
    process.kill(process.pid, 'SIGKILL');
  `;
  const successor = spawn(process.execPath, ['--input-type=module', '-e', program], {
    env: { MODULE: new URL('../../src/embedded-redis/process-lock.js', import.meta.url).href, FILE: file },
  });
  await once(successor, 'exit');
  const lock = await acquireProcessLock(file, 'newest');
  t.equal(lock.previousDetails, 'left behind');
  lock.write('written');
  lock.release();
});

t.test('an interrupted takeover does not block the next one', async (t) => {
  const folder = temporaryFolder(t);
  const file = join(folder, 'lock');
  writeFileSync(file, JSON.stringify({ id: 'x', holder: deadHolder, details: 'left behind' }));
  writeFileSync(`${file}.takeover`, JSON.stringify({ id: 'y', holder: deadHolder, details: null }));
  const lock = await acquireProcessLock(file, 'new');
  t.equal(lock.previousDetails, 'left behind');
  t.same(readdirSync(folder), ['lock']);
  lock.release();
});

t.test('a living process that is taking the lock over is the holder', async (t) => {
  const file = join(temporaryFolder(t), 'lock');
  const other = await startBystander(t);
  writeFileSync(file, JSON.stringify({ id: 'x', holder: deadHolder, details: null }));
  writeFileSync(`${file}.takeover`, JSON.stringify({ id: 'y', holder: identifyProcess(other.pid!), details: null }));
  await t.rejects(acquireProcessLock(file, null), { name: 'LockHeldError', holderPid: other.pid });
});

t.test('a holder in another container is alive while it updates its lock file', async (t) => {
  const file = join(temporaryFolder(t), 'lock');
  writeFileSync(file, JSON.stringify({ id: 'x', holder: { ...self, machine: 'another' }, details: null }));
  const heartbeat = setInterval(() => utimesSync(file, new Date(), new Date()), 100);
  t.teardown(() => clearInterval(heartbeat));
  await t.rejects(acquireProcessLock(file, null), { name: 'LockHeldError' });
});

t.test('a holder in another container that has not updated its lock file for long is dead', async (t) => {
  const file = join(temporaryFolder(t), 'lock');
  writeFileSync(file, JSON.stringify({ id: 'x', holder: { ...self, machine: 'another' }, details: 'left behind' }));
  const longAgo = new Date(Date.now() - 60_000);
  utimesSync(file, longAgo, longAgo);
  const lock = await acquireProcessLock(file, 'new');
  t.equal(lock.previousDetails, 'left behind');
  lock.release();
});

t.test('an unreadable lock file has no holder', async (t) => {
  const folder = temporaryFolder(t);
  for (const content of ['', 'no JSON', '{}', '{"id":"x","holder":{}}', '{"id":"x","holder":{"pid":1}}']) {
    const file = join(folder, 'lock');
    writeFileSync(file, content);
    const lock = await acquireProcessLock(file, 'new');
    t.equal(lock.previousDetails, undefined);
    lock.release();
  }
});

t.test('of many processes that take over a stale lock, exactly one gets it', async (t) => {
  const file = join(temporaryFolder(t), 'lock');
  for (let round = 0; round < 20; round++) {
    writeFileSync(file, JSON.stringify({ id: `x${round}`, holder: deadHolder, details: round }));
    const results = await Promise.allSettled(Array.from({ length: 8 }, () => acquireProcessLock(file, -1)));
    const won = results.filter((result) => result.status === 'fulfilled');
    t.equal(won.length, 1);
    t.equal(won[0]!.value.previousDetails, round);
    won[0]!.value.release();
  }
});

t.test(
  'a former holder does not release a lock that was removed by hand and acquired by another process',
  async (t) => {
    const file = join(temporaryFolder(t), 'lock');
    const lock = await acquireProcessLock(file, 'mine');
    const other = await startBystander(t);
    writeFileSync(file, JSON.stringify({ id: 'other', holder: identifyProcess(other.pid!), details: 'theirs' }));
    lock.write('mine again');
    lock.release();
    await t.rejects(acquireProcessLock(file, null), { name: 'LockHeldError', holderPid: other.pid });
  },
);

// Runs the main use on a real log, end to end: `npm run demo [-- FILE]`. Starts a server with a private Redis and produces every
// line of the file, keyed by client address. Two members of a group count the status codes while a watcher prints the changes in
// the tree. Half way, one member is killed with SIGKILL. At the end the totals are compared with a plain count.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Weir } from '@weirkeeper/client';
import { startPrivateServer } from '@weirkeeper/client/testing';

const topic = 'access';
const group = 'stats';
const partitions = 3;
const sessionTimeoutMs = 2000;
/** Batches per file: small ones, so that even a short file takes many of them. */
const batchesPerFile = 100;
const waitMsMax = 60_000;

/** What a member reports to the parent after counting a batch and before committing it, so that nothing counted is unknown. */
interface Counted {
  partition: number;
  line: number;
  status: string;
}

const here = fileURLToPath(import.meta.url);
const repository = join(here, '..', '..', '..');

const statusOf = (line: string): string => / (\d{3}) (?:\d+|-)(?: |$)/.exec(line)?.[1] ?? 'none';
const perSecond = (count: number, ms: number) => Math.round((count * 1000) / ms).toLocaleString('en');

function logFile(): string {
  const candidates = [
    process.argv[2],
    join(repository, '..', 'shared', 'data', 'apache_access.log'),
    join(repository, 'test', 'fixtures', 'access.log'),
  ];
  const found = candidates.find((file) => file !== undefined && existsSync(file));
  if (!found) throw new Error('No log file was found. Name one: npm run demo -- FILE');
  return found;
}

/** Prints the events of the group in the tree, except for offset commits: there is one for every batch. */
async function watchGroup(weir: Weir, seconds: () => string): Promise<void> {
  for await (const { zxid, events } of weir.watch(`/consumers/${group}`, { mode: 'recursive', data: true })) {
    for (const { type, path, data } of events) {
      const owner = path.includes('/owners/') && data ? ` = ${data}` : '';
      console.log(`  ${seconds()} zxid ${zxid} ${type} ${path}${owner}`);
    }
  }
}

async function produceAll(weir: Weir, lines: string[]): Promise<void> {
  const producer = weir.producer({ topic, name: 'demo' });
  const sent: Promise<unknown>[] = [];
  for (const [n, line] of lines.entries()) {
    await producer.ready();
    sent.push(producer.send({ key: line.split(' ', 1)[0]!, value: { n, line } }));
  }
  await Promise.all(sent);
  await producer.close();
}

/** A member in its own process. It counts, reports to the parent and commits until it is killed or asked to leave. */
async function runMember(url: string, memberId: string, maxBuffered: number): Promise<void> {
  const weir = new Weir({ url });
  const consumer = weir.consumer({
    group,
    topics: [topic],
    memberId,
    reset: 'earliest',
    sessionTimeout: sessionTimeoutMs,
    maxBuffered,
  });
  consumer.on('assigned', () => process.send!('joined'));
  process.on('message', () => void consumer.close());
  for await (const { partition, records } of consumer) {
    const lines = records.map(({ value }) => value as { n: number; line: string });
    process.send!(lines.map(({ n, line }): Counted => ({ partition, line: n, status: statusOf(line) })));
  }
  await weir.close();
  process.disconnect();
}

async function main(): Promise<boolean> {
  const file = logFile();
  const lines = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '');
  await using server = await startPrivateServer({ main: join(here, '..', '..', 'src', 'main.js') });
  await using weir = new Weir({ url: server.url });
  const children: ChildProcess[] = [];
  const startedMs = performance.now();
  const seconds = () => `+${((performance.now() - startedMs) / 1000).toFixed(3)}s`;
  try {
    console.log(`server at ${server.url}; ${lines.length} lines of ${file}`);
    await weir.admin.topics.create({ name: topic, partitions });
    watchGroup(weir, seconds).catch(() => {});

    const produceMs = performance.now();
    await produceAll(weir, lines);
    const producedInMs = performance.now() - produceMs;
    console.log(
      `produced ${lines.length} records in ${producedInMs.toFixed(0)} ms: ${perSecond(lines.length, producedInMs)} records/s`,
    );

    // By line: how often it was counted, and with which status.
    const times = new Array<number>(lines.length).fill(0);
    const statuses = new Array<string>(lines.length);
    const countedBy = new Map<string, number>();
    let killedMs: number | undefined;
    let handedOverMs: number | undefined;
    const victim = 'member-b';
    const lastReader = new Map<number, string>();
    const startMember = (memberId: string): ChildProcess => {
      const child = fork(here, ['--member', server.url, memberId, String(Math.ceil(lines.length / batchesPerFile))]);
      children.push(child);
      child.on('message', (message) => {
        if (message === 'joined') return;
        for (const { partition, line, status } of message as Counted[]) {
          times[line]! += 1;
          statuses[line] = status;
          countedBy.set(memberId, (countedBy.get(memberId) ?? 0) + 1);
          if (killedMs !== undefined && memberId !== victim && lastReader.get(partition) === victim) {
            handedOverMs ??= performance.now() - killedMs;
          }
          lastReader.set(partition, memberId);
        }
        const isHalfDone = times.filter((n) => n > 0).length >= lines.length / 2;
        if (killedMs !== undefined || memberId !== victim || !isHalfDone) return;
        killedMs = performance.now();
        child.kill('SIGKILL');
        console.log(`  ${seconds()} ${victim} is killed (kill -9)`);
      });
      return child;
    };

    const consumeMs = performance.now();
    const survivor = startMember('member-a');
    startMember(victim);
    await once(survivor, 'message');
    const deadline = performance.now() + waitMsMax;
    for (let lag = 1; lag > 0; await new Promise((resolve) => setTimeout(resolve, 50))) {
      const { partitions: all } = await weir.admin.groups.describe(group);
      lag = all.length < partitions ? 1 : all.reduce((sum, each) => sum + (each.lag ?? 1), 0);
      if (performance.now() > deadline) throw new Error(`Not within ${waitMsMax} ms: the lag is 0`);
    }
    const consumedInMs = performance.now() - consumeMs;
    survivor.send('leave');
    await once(survivor, 'exit');

    const expected = tally(lines.map(statusOf));
    const counted = tally(statuses.filter((status) => status !== undefined));
    const missing = times.filter((n) => n === 0).length;
    const repeated = times.filter((n) => n > 1).length;
    console.log(
      `consumed in ${consumedInMs.toFixed(0)} ms, including the session timeout of the killed member (${sessionTimeoutMs} ms)`,
    );
    console.log(`counted by ${[...countedBy].map(([member, n]) => `${member}: ${n}`).join(', ')}`);
    console.log(
      `hand-over: ${handedOverMs === undefined ? 'none seen' : `${handedOverMs.toFixed(0)} ms`} from the kill to the first record of its partitions read by the other member`,
    );
    console.log(
      `lines missing: ${missing}; lines counted more than once: ${repeated} (allowed: delivery is at least once)`,
    );
    console.log(`plain count: ${expected}\nthe group's: ${counted}`);
    const right = missing === 0 && counted === expected && killedMs !== undefined && handedOverMs !== undefined;
    console.log(right ? 'The totals agree.' : 'THE TOTALS DO NOT AGREE, or no member was killed.');
    return right;
  } finally {
    for (const child of children) child.kill('SIGKILL');
  }
}

function tally(statuses: string[]): string {
  const counts = new Map<string, number>();
  for (const status of statuses) counts.set(status, (counts.get(status) ?? 0) + 1);
  return [...counts]
    .sort(([, a], [, b]) => b - a)
    .map(([status, n]) => `${n}×${status}`)
    .join(', ');
}

const [, , role, url, memberId, maxBuffered] = process.argv;
if (role === '--member') await runMember(url!, memberId!, Number(maxBuffered));
else process.exitCode = (await main()) ? 0 : 1;

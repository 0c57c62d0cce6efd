// Runs the main use on a real log, end to end: `npm run demo [-- FILE]`. Starts a server with a private Redis and produces every
// line of the file, keyed by client address. Two members of a group count the status codes while a watcher prints the changes in
// the tree. Half way, one member is killed with SIGKILL. At the end the totals are compared with a plain count.
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WebSocket } from 'ws';
import { keepSecret, memberHeader } from '../testbed/member-secrets.ts';
import { untilServing } from '../testbed/server-start.ts';

const topic = 'access';
const group = 'stats';
const partitions = 3;
const recordsPerRequest = 500;
const requestsInFlight = 4;
const sessionTimeoutMs = 2000;
/** Calls per file: small responses, so that even a short file takes many of them. */
const pollsPerFile = 100;
const waitMsMax = 60_000;

/** What a member reports to the parent after counting a batch and before committing it, so that nothing counted is unknown. */
interface Counted {
  member: string;
  partition: number;
  offset: number;
  line: number;
  status: string;
}

const here = fileURLToPath(import.meta.url);
const repository = join(here, '..', '..', '..');

const call = async (url: string, method = 'GET', body?: unknown) => {
  const response = await fetch(url, {
    method,
    headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...memberHeader(url, body) },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${text}`);
  const result = text === '' ? undefined : JSON.parse(text);
  keepSecret(url, result);
  return result;
};

const statusOf = (line: string): string => / (\d{3}) (?:\d+|-)(?: |$)/.exec(line)?.[1] ?? 'none';

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

/** Starts the server as a user would, on a free port and with a private Redis. */
async function startServer(dataDir: string): Promise<{ url: string; process: ChildProcess }> {
  const server = spawn(process.execPath, [join(here, '..', '..', 'src', 'main.js')], {
    env: { ...process.env, WEIR_PORT: '0', WEIR_DATA_DIR: dataDir, WEIR_LOG_LEVEL: 'info' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let url: unknown;
  await untilServing(server, (entry) => {
    if (entry.msg === 'Weirkeeper serves') url = entry.url;
    return url !== undefined;
  });
  return { url: String(url), process: server };
}

/** Prints the events of the group in the tree, except for offset commits: there is one for every batch. */
async function watchGroup(url: string, sinceMs: number): Promise<WebSocket> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/watch`);
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
  const watching = new Promise((resolve) => {
    socket.on('message', (data) => {
      const frame = JSON.parse(data.toString());
      if (frame.type === 'watching') resolve(undefined);
      if (frame.type !== 'events') return;
      for (const { type, path, data: written } of frame.events) {
        const owner = path.includes('/owners/') && written ? ` = ${written}` : '';
        console.log(
          `  +${((performance.now() - sinceMs) / 1000).toFixed(3)}s zxid ${frame.zxid} ${type} ${path}${owner}`,
        );
      }
    });
  });
  socket.send(
    JSON.stringify({ type: 'watch', id: 'group', path: `/consumers/${group}`, mode: 'recursive', data: true }),
  );
  await watching;
  return socket;
}

async function produceAll(url: string, lines: string[]): Promise<void> {
  const requests: object[] = [];
  for (let i = 0; i < lines.length; i += recordsPerRequest) {
    const records = lines
      .slice(i, i + recordsPerRequest)
      .map((line, n) => ({ key: line.split(' ', 1)[0], value: { n: i + n, line } }));
    requests.push({ records });
  }
  // Each sender waits for its response, and all take from one queue. So lines of one client may change their order, which does
  // not matter for counting.
  const send = async () => {
    for (let request = requests.shift(); request; request = requests.shift()) {
      await call(`${url}/v1/topics/${topic}/records`, 'POST', request);
    }
  };
  await Promise.all(Array.from({ length: requestsInFlight }, send));
}

/** A member in its own process. It counts, reports to the parent and commits until it is killed or asked to leave. */
async function runMember(url: string, memberId: string, recordsPerPoll: number): Promise<void> {
  const members = `${url}/v1/groups/${group}/members`;
  const membership = await call(members, 'POST', {
    memberId,
    topics: [topic],
    assignor: 'range',
    reset: 'earliest',
    sessionTimeout: sessionTimeoutMs,
  });
  process.send!('joined');
  let memberEpoch: number = membership.memberEpoch;
  let leaving = false;
  process.on('message', () => {
    leaving = true;
  });
  while (!leaving) {
    const polled = await call(`${members}/${memberId}/records?wait=500ms&maxRecords=${recordsPerPoll}`);
    memberEpoch = polled.memberEpoch;
    if (polled.records.length === 0) continue;
    const counted: Counted[] = [];
    const next = new Map<number, number>();
    for (const { partition, offset, value } of polled.records) {
      counted.push({ member: memberId, partition, offset, line: value.n, status: statusOf(value.line) });
      next.set(partition, offset + 1);
    }
    await new Promise((resolve) => process.send!(counted, resolve));
    const offsets = [...next].map(([partition, offset]) => ({ topic, partition, offset }));
    await call(`${url}/v1/groups/${group}/offsets`, 'POST', { memberId, memberEpoch, offsets });
  }
  await call(`${members}/${memberId}`, 'DELETE');
  process.disconnect();
}

async function main(): Promise<boolean> {
  const file = logFile();
  const lines = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '');
  const dataDir = mkdtempSync(join(tmpdir(), 'weir-demo-'));
  const server = await startServer(dataDir);
  const children: ChildProcess[] = [];
  const startedMs = performance.now();
  try {
    const { url } = server;
    console.log(`server at ${url}; ${lines.length} lines of ${file}`);
    await call(`${url}/v1/topics`, 'POST', { name: topic, partitions });
    const watcher = await watchGroup(url, startedMs);

    const produceMs = performance.now();
    await produceAll(url, lines);
    const producedInMs = performance.now() - produceMs;
    console.log(
      `produced ${lines.length} records in ${producedInMs.toFixed(0)} ms: ${perSecond(lines.length, producedInMs)} records/s`,
    );

    // By line: how often it was counted, and with which status.
    const times = new Array<number>(lines.length).fill(0);
    const statuses = new Array<string>(lines.length);
    const countedBy = new Map<string, number>();
    let killedMs: number | undefined;
    const victimPartitions = new Set<number>();
    let handedOverMs: number | undefined;
    const victim = 'member-b';
    let kill = () => {};

    const startMember = (memberId: string): ChildProcess => {
      const child = fork(here, ['--member', url, memberId, String(Math.ceil(lines.length / pollsPerFile))]);
      children.push(child);
      child.on('message', (message) => {
        if (message === 'joined') return;
        for (const { partition, line, status, member } of message as Counted[]) {
          times[line]! += 1;
          statuses[line] = status;
          countedBy.set(member, (countedBy.get(member) ?? 0) + 1);
          if (member === victim) victimPartitions.add(partition);
          else if (killedMs !== undefined && handedOverMs === undefined && victimPartitions.has(partition)) {
            handedOverMs = performance.now() - killedMs;
          }
        }
        const done = times.filter((n) => n > 0).length;
        if (killedMs === undefined && (countedBy.get(victim) ?? 0) > 0 && done >= lines.length / 2) kill();
      });
      return child;
    };

    const consumeMs = performance.now();
    const survivor = startMember('member-a');
    const doomed = startMember(victim);
    kill = () => {
      killedMs = performance.now();
      doomed.kill('SIGKILL');
      console.log(`  +${((killedMs - startedMs) / 1000).toFixed(3)}s ${victim} is killed (kill -9)`);
    };

    await joined(survivor);
    await eventually('the lag is 0', async () => {
      const { partitions: all } = await call(`${url}/v1/groups/${group}`);
      const lag = all.reduce((sum: number, { lag }: { lag: number | null }) => sum + (lag ?? 1), 0);
      return all.length === partitions && lag === 0;
    });
    const consumedInMs = performance.now() - consumeMs;
    survivor.send('leave');
    await new Promise((resolve) => survivor.once('exit', resolve));
    watcher.close();

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
    server.process.kill('SIGTERM');
    await new Promise((resolve) => server.process.once('exit', resolve));
    rmSync(dataDir, { recursive: true, force: true });
  }
}

/** Resolves when the member has joined the group. */
function joined(member: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    member.on('message', (message) => {
      if (message === 'joined') resolve();
    });
  });
}

function tally(statuses: string[]): string {
  const counts = new Map<string, number>();
  for (const status of statuses) counts.set(status, (counts.get(status) ?? 0) + 1);
  return [...counts]
    .sort(([, a], [, b]) => b - a)
    .map(([status, n]) => `${n}×${status}`)
    .join(', ');
}

function perSecond(count: number, ms: number): string {
  return Math.round((count * 1000) / ms).toLocaleString('en');
}

async function eventually(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + waitMsMax;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`Not within ${waitMsMax} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const [, , role, url, memberId, recordsPerPoll] = process.argv;
if (role === '--member') await runMember(url!, memberId!, Number(recordsPerPoll));
else process.exitCode = (await main()) ? 0 : 1;

// What the examples of examples/node, examples/python and examples/go do, tried as a user would: as processes, over a network that
// breaks, and ended by signals.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Test } from 'tap';
import { startFaultyNetwork } from '../helpers/faulty-network.ts';
import { eventually, http } from '../helpers/server.ts';

/** The command of a program of one language, by its name without an ending. */
export type CommandOf = (program: string) => string[];

export interface Example {
  child: ChildProcess;
  lines: string[];
  errors: string[];
  /** The code or signal with which it has ended. */
  exited: Promise<number | string>;
}

/** Runs a program against the server at `url`. It is killed with the test, if it still runs. */
export function startExample(t: Test, url: string, [file = '', ...first]: string[], ...args: string[]): Example {
  const { NODE_OPTIONS: _, ...env } = process.env;
  const child = spawn(file, [...first, ...args], {
    env: { ...env, WEIR_URL: url, PYTHONDONTWRITEBYTECODE: '1' },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const lines: string[] = [];
  const errors: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
  createInterface({ input: child.stderr }).on('line', (line) => errors.push(line));
  t.teardown(() => {
    if (!t.passing()) t.comment(args.join(' '), child.exitCode ?? child.signalCode ?? 'runs', errors.join('\n'));
    child.kill('SIGKILL');
  });
  const exited = once(child, 'close').then(([code, signal]) => (signal ?? code) as number | string);
  return { child, lines, errors, exited };
}

/** Ends a program as an operator does. @returns its exit code */
export function terminate({ child, exited }: Example): Promise<number | string> {
  child.kill('SIGTERM');
  return exited;
}

/** Tries the four programs of a language. @param language also part of the names that they use */
export function testExamples(t: Test, url: string, language: string, commandOf: CommandOf): void {
  const start = (t: Test, at: string, program: string, ...args: string[]) =>
    startExample(t, at, commandOf(program), ...args);
  const createTopic = (name: string) => http(`${url}/v1/topics`, 'POST', { name });
  const values = async (topic: string): Promise<unknown[]> =>
    (await http(`${url}/v1/topics/${topic}/partitions/0/records?offset=earliest`)).body.records.map(
      ({ value }: { value: unknown }) => value,
    );

  t.test('produce appends each line once, though connections break', async (t) => {
    const topic = `produced-${language}`;
    await createTopic(topic);
    const network = await startFaultyNetwork(t, url);
    const { child, lines, exited } = start(t, network.url, 'produce', topic);
    for (const [offset, line] of ['one', 'two', 'three'].entries()) {
      child.stdin!.write(`${line}\n`);
      await eventually(() => lines.length > offset, `${line} is appended`);
      network.cut();
    }
    child.stdin!.end();
    t.equal(await exited, 0);
    t.same(lines, ['0 0', '0 1', '0 2']);
    t.same(await values(topic), ['one', 'two', 'three']);
  });

  t.test('consume prints each record, goes on after a lost connection, and leaves the group at the end', async (t) => {
    const topic = `consumed-${language}`;
    await createTopic(topic);
    const produce = (value: unknown) => http(`${url}/v1/topics/${topic}/records`, 'POST', { records: [{ value }] });
    const group = async () => (await http(`${url}/v1/groups/${topic}`)).body;
    await produce('one');
    await produce({ page: '/' });
    const network = await startFaultyNetwork(t, url);
    const consumer = start(t, network.url, 'consume', topic, topic);
    await eventually(() => consumer.lines.length === 2, 'both are printed');
    t.same(
      consumer.lines.map((line) => line.replaceAll(' ', '')),
      ['one', '{"page":"/"}'],
    );
    await eventually(async () => (await group()).partitions[0]?.committed === 2, 'both are committed');
    network.cut();
    await produce('three');
    await eventually(() => consumer.lines.includes('three'), 'it goes on');
    await eventually(async () => (await group()).partitions[0]?.committed === 3, 'it is committed');
    t.equal(await terminate(consumer), 0);
    // Long before its session timeout of 45 s.
    await eventually(async () => (await group()).members.length === 0, 'it has left', 30_000);
  });

  t.test('live-configuration prints whole changes, also those during a lost connection', async (t) => {
    const application = `app-${language}`;
    const change = (values: Record<string, string>, op = 'create') => {
      const ops = Object.entries(values).map(([key, data]) => ({ op, path: `/settings/${application}/${key}`, data }));
      return http(`${url}/v1/multi`, 'POST', { ops });
    };
    const network = await startFaultyNetwork(t, url);
    const settings = start(t, network.url, 'live-configuration', application);
    await eventually(() => settings.lines.length > 0, 'it has read that there are none');
    await http(`${url}/v1/nodes/settings/${application}?parents=true`, 'PUT', '');
    await change({ low: '5', high: '15' });
    await eventually(() => settings.lines.at(-1) === '{"high":"15","low":"5"}', 'it prints them');
    network.cut();
    await change({ low: '20', high: '30' }, 'set');
    await eventually(() => settings.lines.at(-1) === '{"high":"30","low":"20"}', 'it prints the change');
    const whole = ['{}', '{"high":"15","low":"5"}', '{"high":"30","low":"20"}'];
    t.same(
      settings.lines.filter((line) => !whole.includes(line)),
      [],
      'never half of a change',
    );
    t.equal(await terminate(settings), 0);
  });

  t.test('leader-election: the next candidate leads when the leader ends or its session does', async (t) => {
    const name = `boss-${language}`;
    await createTopic(name);
    const candidates = async (): Promise<string[]> =>
      (await http(`${url}/v1/nodes/elections/${name}?view=children`)).body.children ?? [];
    const startCandidate = async (candidate: string, place: number) => {
      const started = start(t, url, 'leader-election', name, candidate, name);
      await eventually(async () => (await candidates()).length === place, `${candidate} is a candidate`);
      return started;
    };
    const [ann, bob, eve] = [
      await startCandidate('ann', 1),
      await startCandidate('bob', 2),
      await startCandidate('eve', 3),
    ];
    await eventually(() => ann.lines.includes('ann leads'), 'the first leads');
    t.equal(await terminate(ann), 0);
    await eventually(() => bob.lines.includes('bob leads'), 'the second leads');
    const [first = ''] = await candidates();
    const { stat } = (await http(`${url}/v1/nodes/elections/${name}/${first}?view=stat`)).body;
    await http(`${url}/v1/sessions/${stat.ephemeralOwner}?force=true`, 'DELETE');
    await eventually(() => eve.lines.includes('eve leads'), 'the third leads');
    t.equal(await bob.exited, 1, 'one whose session has ended stops');
    await eventually(async () => (await values(name)).includes('eve leads'), 'it appends');
    const records = await values(name);
    const leaders = records.filter((record, at) => record !== records[at - 1]);
    t.same(leaders, ['ann leads', 'bob leads', 'eve leads'], 'nobody has appended after the next');
    t.equal(await terminate(eve), 0);
    await eventually(async () => (await candidates()).length === 0, 'nobody is left');
  });
}

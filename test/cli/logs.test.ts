// Commands on topics and groups, against a real server.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { TestCli } from '../helpers/cli.ts';
import { eventually, http, startTestServer } from '../helpers/server.ts';

const linesOf = (text: string) => text.split('\n').filter((line) => line !== '');

t.test('one server', async (t) => {
  const server = await startTestServer(t);
  const cli = new TestCli(t, server.url);
  const topic = (name: string, partitions = 1) => http(`${server.url}/v1/topics`, 'POST', { name, partitions });
  const group = async (name: string) => (await http(`${server.url}/v1/groups/${name}`)).body;

  t.test('topics are created, described, altered, truncated and deleted', async (t) => {
    const created = await cli.run(['topic', 'create', 'life', '-p', '2', '-c', 'retention.ms=1000000']);
    t.same([created.code, created.stdout], [0, 'life with 2 partitions\n']);
    t.equal((await cli.run(['topic', 'create', 'life'])).code, 4);
    const dry = await cli.run(['topic', 'alter', 'life', '-c', 'retention.ms=5000000', '--dry-run']);
    t.same([dry.code, dry.stdout], [7, 'retention.ms: 1000000 → 5000000\n']);
    await cli.run(['topic', 'alter', 'life', '-p', '3', '-c', 'retention.ms=']);
    const [described, listed] = await Promise.all([
      cli.run(['topic', 'describe', 'life', '-o', 'json']),
      cli.run(['topic', 'ls', '-o', 'name']),
    ]);
    const { config, partitions } = JSON.parse(described.stdout);
    t.same([config['retention.ms'], partitions.length], [604_800_000, 3]);
    t.ok(linesOf(listed.stdout).includes('life'));
    await cli.run(['produce', 'life', 'a', 'b', '-p', '1']);
    const kept = await cli.run(['topic', 'truncate', 'life', '--partition', '1', '--before', '1']);
    t.match(kept.stdout, / +1 +1 +2\n$/);
    t.equal((await cli.run(['topic', 'rm', 'life'])).code, 0);
    t.equal((await cli.run(['topic', 'describe', 'life'])).code, 3);
  });

  t.test('what is produced is consumed: texts, keys, headers, JSON, bytes, whole records', async (t) => {
    await Promise.all([topic('mixed'), topic('mirror')]);
    const text = await cli.run(['produce', 'mixed', '-K', ':', '-H', 'from=test'], { input: 'ann:/a\nbob:/b:c\n' });
    t.same([text.code, text.stdout, text.stderr], [0, '', 'Appended 2 records to mixed.\n']);
    const json = await cli.run(['produce', 'mixed', '--json', '-o', 'ndjson', '--key', 'k'], { input: '{"x":1}' });
    t.equal(json.stdout, '{"partition":0,"offset":2}\n');
    const bytes = { records: [{ valueBase64: '/wA=' }] };
    await cli.run(['produce', 'mixed', '--records'], { input: JSON.stringify(bytes.records[0]) });
    const [values, formatted, last] = await Promise.all([
      cli.shell('weir consume mixed --from earliest -e | od -An -tx1 | tr -d " \\n"'),
      cli.run(['consume', 'mixed', '--from', 'earliest', '-c', '2', '-f', '%p:%o %k %v %h\\n']),
      cli.run(['consume', 'mixed', '--from', '-2', '-e', '-o', 'name']),
    ]);
    t.equal(values.stdout, Buffer.from('/a\n/b:c\n{"x":1}\n\xff\0\n', 'latin1').toString('hex'));
    t.equal(formatted.stdout, '0:0 ann /a from=test\n0:1 bob /b:c from=test\n');
    t.equal(last.stdout, '0:2\n0:3\n');
    const mirrored = await cli.shell(
      'weir consume mixed --from earliest -e -o ndjson | weir produce mirror --records -q',
    );
    t.equal(mirrored.code, 0, mirrored.stderr);
    const records = async (name: string) =>
      (await http(`${server.url}/v1/topics/${name}/partitions/0/records?offset=0`)).body.records;
    t.same(await records('mirror'), await records('mixed'), 'with their keys, headers, timestamps and bytes');
  });

  t.test('many lines of a file are appended in their order, exactly once', async (t) => {
    await topic('lines');
    const lines = Array.from({ length: 5000 }, (_, at) => `line ${at}`);
    writeFileSync(join(cli.folder, 'lines.txt'), lines.join('\n'));
    const result = await cli.run(['produce', 'lines', '--file', 'lines.txt', '--exactly-once', 'test-1']);
    t.equal(result.stderr, 'Appended 5,000 records to lines.\n');
    const { stdout } = await cli.run(['consume', 'lines', '--from', 'earliest', '-e']);
    t.same(linesOf(stdout), lines);
  });

  t.test('results are printed at the pace of their reader, in the order of the records', async (t) => {
    await topic('printed');
    writeFileSync(join(cli.folder, 'many.txt'), 'x\n'.repeat(30_000));
    // The reader begins to read when the writer has filled the pipe, and waits for it.
    const result = await cli.shell('weir produce printed --file many.txt -o name | { sleep 0.5; cat; }');
    t.equal(result.code, 0);
    t.same(
      linesOf(result.stdout),
      Array.from({ length: 30_000 }, (_, at) => `0:${at}`),
    );
  });

  t.test('a line or a file that is too large is refused before it fills the memory', async (t) => {
    await topic('large');
    const line = await cli.shell('head -c 70000000 /dev/zero | weir produce large -q');
    t.same([line.code, line.stderr], [1, 'stdin cannot be read: a line has more than 67108864 bytes\n']);
    const file = await cli.shell('truncate -s 300M huge && weir node set /huge -f huge');
    t.equal(file.code, 1);
    t.match(file.stderr, /^huge cannot be read: it has 314572800 bytes, and at most 268435456 can be sent at once\n$/);
    const piped = await cli.shell('weir node set /huge -f - <huge');
    t.match(piped.stderr, /^stdin has more than 268435456 bytes\.\n$/);
  });

  t.test('a line that is wrong names its number; what was before it is appended', async (t) => {
    await topic('wrong');
    const { code, stderr } = await cli.run(['produce', 'wrong', '--json'], { input: '1\n2\n{\n' });
    t.equal(code, 2);
    t.match(stderr, /^Appended 2 records to wrong\.\nLine 3 is not JSON: .*\n$/);
    const unknown = await cli.run(['produce', 'nothing', 'x']);
    t.equal(unknown.code, 3);
    t.match(unknown.stderr, /nothing/);
  });

  t.test('a fencing token that is too old is refused with 4', async (t) => {
    await topic('fenced');
    t.equal((await cli.run(['produce', 'fenced', 'new', '--fence', 'job=8'])).code, 0);
    t.equal((await cli.run(['produce', 'fenced', 'old', '--fence', 'job=7'])).code, 4);
  });

  t.test('consume follows a topic, from all partitions, until it is interrupted', async (t) => {
    await topic('followed', 3);
    const { child, output, exited } = cli.start(['consume', 'followed', '--from', 'earliest']);
    await cli.run(['produce', 'followed', 'a', 'b', 'c', 'd', 'e']);
    await eventually(() => linesOf(output.stdout).length === 5, 'all records');
    t.same(linesOf(output.stdout).sort(), ['a', 'b', 'c', 'd', 'e']);
    child.kill('SIGINT');
    t.equal((await exited).code, 0);
    const head = cli.startShell('{ weir consume followed --from earliest; echo "code $?" >&2; } | head -n 1');
    await eventually(async () => {
      await http(`${server.url}/v1/topics/followed/records`, 'POST', { records: [{ value: 'more' }] });
      return head.output.stderr !== '';
    }, 'it ends, as nobody reads it any more');
    t.equal((await head.exited).stderr, 'code 0\n');
  });

  t.test('a member commits what it has printed, and leaves: at a count, at the end, and on SIGINT', async (t) => {
    await topic('shared', 2);
    await cli.run(['produce', 'shared'], { input: Array.from({ length: 10 }, (_, at) => `${at}\n`).join('') });
    const some = await cli.run(['consume', '-g', 'readers', 'shared', '--from', 'earliest', '-c', '3']);
    t.equal(linesOf(some.stdout).length, 3);
    const lagOf = async () => {
      const { state, partitions } = await group('readers');
      return [state, partitions.reduce((sum: number, each: any) => sum + (each.lag ?? 0), 0)];
    };
    const [state] = await lagOf();
    t.equal(state, 'empty', 'it has left');
    const rest = await cli.run(['consume', '-g', 'readers', 'shared', '--from', 'earliest', '-e']);
    t.same([...linesOf(some.stdout), ...linesOf(rest.stdout)].sort(), [
      '0',
      '1',
      '2',
      '3',
      '4',
      '5',
      '6',
      '7',
      '8',
      '9',
    ]);
    t.same(await lagOf(), ['empty', 0]);
    const running = cli.start(['consume', '-g', 'readers', 'shared']);
    await eventually(async () => (await group('readers')).state === 'stable', 'it has joined');
    await cli.run(['produce', 'shared', 'more']);
    await eventually(() => running.output.stdout === 'more\n', 'it prints it');
    running.child.kill('SIGINT');
    t.equal((await running.exited).code, 0);
    t.same(await lagOf(), ['empty', 0], 'it has committed before it left');
  });

  t.test('a command for each record: those that succeed are committed, one that fails is not', async (t) => {
    await topic('jobs');
    await cli.run(['produce', 'jobs', 'a', 'b', 'fail', 'c', '--key', 'k']);
    const command = 'v=$(cat); [ "$v" != fail ] && echo "$WEIR_RECORD_KEY $WEIR_RECORD_OFFSET $v" >>done.txt';
    const { code, stderr } = await cli.run([
      'consume',
      '-g',
      'work',
      'jobs',
      '--from',
      'earliest',
      '-q',
      '--exec',
      command,
    ]);
    t.equal(code, 1);
    t.equal(stderr, 'The command ended with 1 for jobs:0:2; the record is not committed.\n');
    t.equal(readFileSync(join(cli.folder, 'done.txt'), 'utf8'), 'k 0 a\nk 1 b\n');
    t.equal((await group('work')).partitions[0].committed, 2);
  });

  t.test('--commit none looks without moving the group', async (t) => {
    await topic('looked');
    await cli.run(['produce', 'looked', 'a']);
    const looked = await cli.run(['consume', '-g', 'looker', 'looked', '--from', 'earliest', '-e', '--commit', 'none']);
    t.same([looked.code, looked.stdout], [0, 'a\n']);
    t.equal((await cli.run(['consume', '-g', 'looker', 'looked', '--from', 'earliest', '-c', '1'])).stdout, 'a\n');
  });

  t.test('offsets of a group are committed, reset, and judged', async (t) => {
    await topic('judged');
    await cli.run(['produce', 'judged', 'a', 'b', 'c', 'd']);
    t.equal((await cli.run(['group', 'commit', 'judge', 'judged:0=3'])).code, 0);
    const check = (warn: number, crit: number) =>
      cli.run(['check', 'lag', '--group', 'judge', '--warn', String(warn), '--crit', String(crit)]);
    const [dry, ok, critical, missing] = await Promise.all([
      cli.run(['group', 'reset', 'judge', '--to', 'earliest', '--dry-run']),
      check(1, 2),
      check(0, 0),
      cli.run(['check', 'lag', '--group', 'nobody', '--warn', '1', '--crit', '2']),
    ]);
    t.equal(dry.code, 7);
    t.match(dry.stdout, /judged +0 +3 +0\n$/);
    t.same([ok.code, ok.stdout], [0, 'LAG OK - group judge is 1 records behind | lag=1;1;2;0\n']);
    t.same([critical.code, missing.code], [2, 3]);
    t.equal((await cli.run(['group', 'reset', 'judge', '--by', '-2'])).code, 0);
    t.equal((await cli.run(['group', 'lag', 'judge', '-o', 'name'])).stdout, '3\n');
    t.equal((await cli.run(['group', 'rm', 'judge'])).code, 0);
    t.equal((await cli.run(['group', 'describe', 'judge'])).code, 3);
  });
});

// The command line on a terminal: colours, questions, progress. `script` of util-linux gives the commands one.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import t from 'tap';
import { TestCli } from '../helpers/cli.ts';
import { eventually, http, startTestServer } from '../helpers/server.ts';

const hasScript = spawnSync('script', ['--version']).status === 0;
const csi = '\u001b[';

t.test('on a terminal', { skip: hasScript ? false : 'skipped: script of util-linux is not installed' }, async (t) => {
  const server = await startTestServer(t);
  const cli = new TestCli(t, server.url);
  const onTerminal = (line: string, env: Record<string, string> = {}) =>
    cli.startShell(`exec script -qec 'exec ${line}' /dev/null`, { TERM: 'xterm', ...env });
  const run = async (line: string, env?: Record<string, string>) => {
    const { child, exited } = onTerminal(line, env);
    const result = await exited;
    child.stdin.destroy();
    return result;
  };
  await http(`${server.url}/v1/nodes/a`, 'PUT', 'text\u001b[31m');
  await http(`${server.url}/v1/nodes/a/b`, 'PUT', '');
  await http(`${server.url}/v1/topics`, 'POST', { name: 'seen' });
  await http(`${server.url}/v1/topics/seen/records`, 'POST', { records: [{ key: 'k', value: 'v\u0007' }] });
  const offsets = [{ topic: 'seen', partition: 0, offset: 0 }];
  await http(`${server.url}/v1/groups/lagging/offsets`, 'POST', { offsets });

  t.test('titles are bold, unless colours are not wanted', async (t) => {
    const [bold, option, variable] = await Promise.all([
      run('weir topic ls'),
      run('weir topic ls --no-color'),
      run('weir topic ls', { NO_COLOR: '1' }),
    ]);
    t.match(bold.stdout, `${csi}1mTOPIC`);
    for (const plain of [option, variable]) t.notMatch(plain.stdout, csi);
  });

  t.test('control characters in data do not reach it', async (t) => {
    const [data, record] = await Promise.all([
      run('weir node get /a'),
      run('weir consume seen --from earliest -e --no-color'),
    ]);
    t.equal(data.stdout, 'text\\x1b[31m\r\n');
    t.equal(record.stdout, '0:0  k  v\\x07\r\n');
  });

  t.test('what deletes asks first, and does nothing on no', async (t) => {
    const refused = onTerminal('weir node rm -r /a');
    await eventually(() => refused.output.stdout.includes('[y/N]'), 'it asks');
    t.match(refused.output.stdout, /Delete \/a and 1 nodes below it\?/);
    refused.child.stdin.write('n\n');
    t.equal((await refused.exited).code, 1);
    t.equal((await http(`${server.url}/v1/nodes/a`)).status, 200);
    const agreed = onTerminal('weir node rm -r /a');
    await eventually(() => agreed.output.stdout.includes('[y/N]'), 'it asks');
    agreed.child.stdin.write('y\n');
    t.equal((await agreed.exited).code, 0);
    t.equal((await http(`${server.url}/v1/nodes/a`)).status, 404);
  });

  t.test('a file is produced with a progress bar, which is gone in the end', async (t) => {
    writeFileSync(join(cli.folder, 'many.txt'), 'line of some length\n'.repeat(60_000));
    const { code, stdout } = await run('weir produce seen --file many.txt');
    t.equal(code, 0);
    t.match(stdout, /█*░* \d+% .* of 1\.1 MiB, .*\/s/);
    t.ok(stdout.endsWith(`\r${csi}KAppended 60,000 records to seen.\r\n`));
  });

  t.test('tree --live and top draw the whole screen, and end with Ctrl-C', async (t) => {
    const tree = onTerminal('weir node tree /brokers --live');
    await eventually(() => tree.output.stdout.includes('└── '), 'it draws');
    await http(`${server.url}/v1/topics`, 'POST', { name: 'appears' });
    await eventually(() => tree.output.stdout.includes('appears'), 'it draws the change');
    tree.child.stdin.write('\u0003');
    t.equal((await tree.exited).code, 0);
    const narrow = cli.startShell(
      "exec script -qec 'stty cols 60 rows 8; weir top -c 1; weir group describe lagging --watch' /dev/null",
      { TERM: 'xterm' },
    );
    await eventually(() => narrow.output.stdout.includes('lagging: '), 'it describes the group');
    narrow.child.stdin.write('\u0003');
    await narrow.exited;
    const lines = stripVTControlCharacters(narrow.output.stdout).split('\r\n');
    t.same(
      lines.filter((line) => line.length > 60),
      [],
      'no line is longer than the terminal',
    );
    t.match(narrow.output.stdout, /… \d+ more lines/);
    const top = onTerminal('weir top -c 1');
    t.equal((await top.exited).code, 0);
    t.match(top.output.stdout, /requests\/s +\d+/);
  });
});

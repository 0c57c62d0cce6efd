// The page for those who come from ZooKeeper, Kafka or etcd: each command on it is run, in the order of the page.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { projectRoot } from '../../src/config/config.ts';
import { TestCli } from '../helpers/cli.ts';
import { http, startTestServer } from '../helpers/server.ts';

const page = readFileSync(join(projectRoot(), 'docs/coming-from.md'), 'utf8');
/** The first command in the second column of each row. */
const commands = [...page.matchAll(/^\| .* \| `(weir [^`]+)`[^|`]*(?:`[^|]*)?\|$/gm)].map(([, line = '']) => line);
/** They go on until the user ends them. */
const follows =
  /^weir (watch|top$|consume(?!.* -[ec]\b)|node get .*--watch|node create .*--ephemeral|session keep(?!.* -- ))/;

t.test('each command of the page does what it says', async (t) => {
  t.ok(commands.length > 70, `${commands.length} commands`);
  const server = await startTestServer(t);
  const cli = new TestCli(t, server.url);
  for (const path of ['app', 'app/colour', 'tmp', 'tmp/a', 'old', 'old/a'])
    await http(`${server.url}/v1/nodes/${path}`, 'PUT', '');
  for (const name of ['clicks', 'scratch']) await http(`${server.url}/v1/topics`, 'POST', { name });
  const records = ['/a', '/b', '/c'].map((value) => ({ key: 'k', value }));
  await http(`${server.url}/v1/topics/clicks/records`, 'POST', { records });
  const offsets = [{ topic: 'clicks', partition: 0, offset: 2 }];
  for (const group of ['billing', 'retired'])
    await http(`${server.url}/v1/groups/${group}/offsets`, 'POST', { offsets });
  writeFileSync(join(cli.folder, 'operations.ndjson'), '{"op":"set","path":"/app","data":"1"}\n');
  for (const script of ['make-report.sh', 'schedule.sh'])
    writeFileSync(join(cli.folder, script), '#!/bin/sh\n', { mode: 0o755 });
  for (const line of commands) {
    if (line === 'weir serve') continue;
    // What goes on is given up by --timeout, which has an exit code of its own.
    const [code, given] = follows.test(line)
      ? [6, `${line} --timeout 250ms`]
      : [line.endsWith('--dry-run') ? 7 : 0, line];
    // What a shell changes, and commands that weir runs, need one.
    const isPlain = /^[\w ./:=@,-]+$/.test(given) && !given.includes(' -- ');
    const result = isPlain
      ? await cli.run(given.split(' ').slice(1), { input: 'k:line\n' })
      : await cli.shell(given, { input: 'k:line\n' });
    t.equal(result.code, code, `${line}\n${result.stdout}${result.stderr}`);
  }
});

// Runs the examples of every command, in the order of the help, against one server: what the help shows works.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import t from 'tap';
import { Cli } from '../../src/cli/cli.ts';
import { type Example, examplesOf } from '../../src/cli/help.ts';
import { buildProgram } from '../../src/cli/program.ts';
import { type CliResult, TestCli } from '../helpers/cli.ts';
import { eventually, http, startTestServer, type TestServer } from '../helpers/server.ts';

/** All commands that can be run, groups of commands not counted, each with its words. */
function leavesOf(command: Command, words: readonly string[] = []): { name: string; examples: readonly Example[] }[] {
  if (command.commands.length > 0) return command.commands.flatMap((each) => leavesOf(each, [...words, each.name()]));
  return [{ name: words.join(' '), examples: examplesOf(command) }];
}

const { env, stdin, stdout, stderr } = process;
const leaves = leavesOf(await buildProgram(new Cli({ env, stdin, stdout, stderr })));

/** What the examples stand on. */
async function prepare({ url }: TestServer, folder: string): Promise<Record<string, string>> {
  for (const path of ['app', 'app/colour', 'copy', 'copy/size', 'tmp', 'tmp/a']) {
    await http(`${url}/v1/nodes/${path}`, 'PUT', path === 'app/colour' ? 'red' : '');
  }
  for (const [name, partitions] of [
    ['clicks', 2],
    ['copy', 1],
    ['old', 1],
    ['scratch', 1],
  ] as const) {
    await http(`${url}/v1/topics`, 'POST', { name, partitions });
    const records = ['/', '/a', '/b', '/c'].map((value, at) => ({ key: `k${at}`, value, partition: at % partitions }));
    await http(`${url}/v1/topics/${name}/records`, 'POST', { records });
  }
  const offsets = [{ topic: 'clicks', partition: 0, offset: 1 }];
  for (const group of ['billing', 'retired']) await http(`${url}/v1/groups/${group}/offsets`, 'POST', { offsets });
  writeFileSync(join(folder, 'access.log'), 'GET /\nGET /shop\n');
  const { body } = await http(`${url}/v1/sessions`, 'POST', { ttl: '10m' });
  return { SESSION: body.session };
}

/** Runs a line: in this process where it is one of plain words, as that is quicker; else in a shell. */
function run(cli: TestCli, line: string, env: Record<string, string>): Promise<CliResult> {
  // What a guarded command prints would go to the output of the test.
  if (!/^weir [\w ./:=@,-]+$/.test(line) || line.includes(' -- ')) return cli.shell(line, { env });
  return cli.run(line.split(' ').slice(1), { env });
}

t.test('each command has examples, and each of them works', async (t) => {
  t.ok(leaves.length > 40, 'there are commands');
  t.same(
    leaves.filter(({ examples }) => examples.length === 0).map(({ name }) => name),
    [],
    'every command has an example',
  );
  t.same(
    leaves.flatMap(({ name, examples }) =>
      examples.some(({ line }) => line.includes(`weir ${name}`)) ? [] : [`no example names ${name}`],
    ),
    [],
  );
  const server = await startTestServer(t);
  const cli = new TestCli(t, server.url);
  const variables = await prepare(server, cli.folder);
  for (const { name, examples } of leaves) {
    await t.test(name, async (t) => {
      for (const { line, exit = 0, follows } of examples) {
        if (!follows) {
          const result = await run(cli, line, variables);
          t.equal(result.code, exit, `${line}\n${result.stdout}${result.stderr}`);
          continue;
        }
        const isServer = name === 'serve';
        const { child, output, exited } = cli.startShell(`exec ${line}${isServer ? '' : ' -v'}`, variables);
        await eventually(
          () => (isServer ? output.stdout.includes('serves') : output.stdout !== '' || output.stderr !== ''),
          `${line} says something`,
        );
        child.kill('SIGINT');
        const { code } = await exited;
        t.equal(code, 0, `${line}\n${output.stdout}${output.stderr}`);
      }
    });
  }
});

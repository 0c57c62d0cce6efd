import { mkdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { packageVersion } from '../../src/config/config.ts';
import { freePort } from '../../testbed/scope.ts';
import { TestCli } from '../helpers/cli.ts';
import { startTestServer } from '../helpers/server.ts';

t.test('one server, and the command line beside it', async (t) => {
  const server = await startTestServer(t);
  const cli = new TestCli(t, server.url);

  t.test('results are printed as tables, as JSON of the API, or as names', async (t) => {
    const [plain, json] = await Promise.all([cli.runProcess(['status']), cli.runProcess(['status', '-o', 'json'])]);
    t.equal(plain.code, 0);
    t.match(plain.stdout, /^Cluster: +\S+\nController: +broker \d+\n/);
    t.notMatch(plain.stdout, /\p{Cc}\[/u, 'no colours where no terminal is');
    t.same(Object.keys(JSON.parse(json.stdout)), ['clusterId', 'controller', 'brokers', 'store']);
    const version = await cli.runProcess(['version', '-o', 'name']);
    t.equal(version.stdout, `${packageVersion()}\n`);
  });

  t.test('options that all commands share may stand before and after the command', async (t) => {
    const results = await Promise.all([
      cli.runProcess(['-u', server.url, 'health'], { env: { WEIR_URL: '' } }),
      cli.runProcess(['health', `--url=${server.url}`], { env: { WEIR_URL: 'http://127.0.0.1:1' } }),
    ]);
    t.same(
      results.map(({ code, stdout }) => [code, stdout]),
      [
        [0, 'ok\n'],
        [0, 'ok\n'],
      ],
    );
  });

  t.test('-v prints the curl command, with the name of the variable in place of the token', async (t) => {
    const { stderr } = await cli.runProcess(['-v', 'health', '--token', 'weir_x_secret']);
    t.equal(stderr, `curl -H "Authorization: Bearer $WEIR_TOKEN" ${server.url}/health/ready\n`);
  });

  t.test('wrong usage ends with 2 and what was perhaps meant', async (t) => {
    const [command, option, ofGroup] = await Promise.all([
      cli.runProcess(['helth']),
      cli.runProcess(['health', '--wiat', '1s']),
      cli.run(['topic', 'make', 'clicks']),
    ]);
    t.same([command.code, option.code, ofGroup.code], [2, 2, 2]);
    t.equal(ofGroup.stderr, "unknown command 'make'\nweir topic --help lists its commands.\n");
    t.equal(command.stderr, "unknown command 'helth'\n(Did you mean health?)\nweir --help lists the commands.\n");
    t.match(
      option.stderr,
      /^unknown option '--wiat'\n\(Did you mean --wait\?\)\nUsage: weir health \[options\]\n--help says more, with examples\.\n$/,
    );
  });

  t.test('a file that cannot be opened, or is a folder, is wrong usage, whichever command is to read it', async (t) => {
    mkdirSync(join(cli.folder, 'folder'));
    const commands = [
      ['node', 'set', '/x', '-f'],
      ['node', 'import'],
      ['multi'],
      ['produce', 'x', '--file'],
      ['restore'],
    ];
    for (const args of commands.flatMap((command) => ['absent', 'folder'].map((file) => [...command, file]))) {
      const { code, stderr } = await cli.run(args);
      t.equal(code, 2, args.join(' '));
      t.match(stderr, /^(absent cannot be read: ENOENT|folder cannot be read: EISDIR).*\n$/);
    }
  });

  t.test('a reader that goes away ends a command quietly', async (t) => {
    const { code, stderr } = await cli.shell('{ weir status; echo "code $?" >&2; } | true');
    t.equal(code, 0);
    t.match(stderr, /^code 0\n$/);
  });
});

t.test('a server that cannot be reached ends with 5, one that does not respond in time with 6', async (t) => {
  const silent = createServer();
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  t.teardown(() => silent.close());
  const { port } = silent.address() as { port: number };
  const cli = new TestCli(t, `http://127.0.0.1:${port}`);
  const closed = await freePort();
  const [late, refused] = await Promise.all([
    cli.runProcess(['status', '--timeout', '300ms']),
    cli.runProcess(['health', '-u', `http://127.0.0.1:${closed}`]),
  ]);
  t.same([late.code, late.stderr], [6, 'The command was not done within 300 ms (--timeout).\n']);
  t.equal(refused.code, 5);
  t.match(refused.stderr, `http://127.0.0.1:${closed} does not respond: connect ECONNREFUSED`);
  t.match(refused.stderr, /; start a server there with weir serve, or name another with -u URL or WEIR_URL\.\n$/);
});

t.test('help needs no server, and names the exit codes and variables', async (t) => {
  const cli = new TestCli(t, 'http://127.0.0.1:1');
  const [help, version, short] = await Promise.all([
    cli.runProcess(['--help']),
    cli.runProcess(['--version']),
    cli.runProcess(['-v']),
  ]);
  t.equal(help.code, 0);
  for (const part of ['WEIR_TOKEN', 'Exit codes:', 'status', '--dry-run']) t.match(help.stdout, part);
  t.same([version.stdout, short.stdout], [`${packageVersion()}\n`, `${packageVersion()}\n`]);
});

t.test('help before a command is its --help, and a wrong option of a server is wrong usage', async (t) => {
  const cli = new TestCli(t, 'http://127.0.0.1:1');
  const [all, usual, get, server, wrong] = await Promise.all([
    cli.runProcess(['help']),
    cli.runProcess(['--help']),
    cli.runProcess(['help', 'node', 'get']),
    cli.runProcess(['help', 'serve']),
    cli.runProcess(['serve', '--prot', '7171']),
  ]);
  t.same([all.code, all.stdout], [0, usual.stdout]);
  t.match([get.code, get.stdout], [0, /^Usage: weir node get /]);
  t.match([server.code, server.stdout], [0, /--log-level/]);
  t.match([wrong.code, wrong.stderr], [2, /--prot.*--port/]);
});

// Commands on the tree, against a real server.
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { TestCli } from '../helpers/cli.ts';
import { eventually, http, startTestServer } from '../helpers/server.ts';

t.test('one server', async (t) => {
  const server = await startTestServer(t);
  const cli = new TestCli(t, server.url);
  const put = (path: string, data: string) => http(`${server.url}/v1/nodes${path}?parents=true`, 'PUT', data);

  t.test('what the server says of requests, the command line says of commands', async (t) => {
    await put('/full/child', '');
    const [full, topic] = [await cli.run(['node', 'rm', '/full']), await cli.run(['topic', 'describe', 'none'])];
    t.same(
      [full.code, full.stderr],
      [4, 'Node /full has 1 children; delete them first; weir node rm -r deletes all of it.\n'],
    );
    t.same([topic.code, topic.stderr], [3, 'Topic none does not exist; weir topic create makes one.\n']);
    const orphan = await cli.run(['node', 'set', '/no/parent', 'x']);
    t.equal(orphan.code, 3);
    t.match(orphan.stderr, /; -p of weir node set, create and import makes missing parents\.\n$/);
    const lock = await cli.run(['lock', 'name']);
    t.same([lock.code, lock.stderr.split('\n')[1]], [2, 'Usage: weir lock [options] <name> -- <command...>']);
  });

  t.test('topics take settings with units', async (t) => {
    const settings = ['-c', 'retention.ms=7d', '-c', 'retention.bytes=1GiB', '-c', 'cleanup.policy=compact'];
    t.equal((await cli.run(['topic', 'create', 'kept', ...settings])).code, 0);
    const { config } = (await http(`${server.url}/v1/topics/kept`)).body;
    t.match(config, { 'retention.ms': 604_800_000, 'retention.bytes': 2 ** 30, 'cleanup.policy': 'compact' });
    t.equal((await cli.run(['topic', 'alter', 'kept', '-c', 'retention.ms=-1'])).code, 0);
  });

  t.test('set, get and rm: data as they are, versions, and exit codes that say what was wrong', async (t) => {
    const created = await cli.run(['node', 'set', '-p', '/a/b', 'one']);
    t.same([created.code, created.stdout], [0, '/a/b version 0\n']);
    const [got, json, stat, absent, conflict] = await Promise.all([
      cli.run(['node', 'get', 'a/b/']),
      cli.run(['node', 'get', '/a/b', '-o', 'json']),
      cli.run(['node', 'get', '/a/b', '--stat', '-o', 'json']),
      cli.run(['node', 'get', '/none']),
      cli.run(['node', 'set', '/a/b', 'two', '--if-version', '5']),
    ]);
    t.equal(got.stdout, 'one', 'no byte more');
    t.match(JSON.parse(json.stdout), { path: '/a/b', data: 'one', stat: { version: 0 } });
    t.match(JSON.parse(stat.stdout), { path: '/a/b', stat: { dataLength: 3 } });
    t.same([absent.code, absent.stdout], [3, '']);
    t.match(absent.stderr, /^Node \/none does not exist.*\n$/);
    t.equal(conflict.code, 4);
    t.match(conflict.stderr, /version/);
  });

  t.test('bytes go in and out unchanged, through stdin and files', async (t) => {
    const bytes = Buffer.from([0, 255, 10, 13, 128]);
    t.equal((await cli.run(['node', 'set', '/bytes', '-f', '-'], { input: bytes })).code, 0);
    const { body } = await http(`${server.url}/v1/nodes/bytes?view=node`);
    t.same([body.encoding, Buffer.from(body.data, 'base64')], ['base64', bytes]);
    const result = await cli.shell(
      'weir node get /bytes >out.bin && weir node set /bytes2 -f out.bin && weir node diff /bytes /bytes2',
    );
    t.equal(result.code, 0, result.stderr);
  });

  t.test('ls and tree show what is there: names, long, recursive, drawn', async (t) => {
    await Promise.all([put('/l/x/deep', ''), put('/l/y', 'data')]);
    const [names, long, below, tree] = await Promise.all([
      cli.run(['node', 'ls', '/l']),
      cli.run(['node', 'ls', '-l', '/l']),
      cli.run(['node', 'ls', '-R', '/l']),
      cli.run(['node', 'tree', '/l']),
    ]);
    t.equal(names.stdout, 'x\ny\n');
    t.match(long.stdout, /^VERSION +SIZE +CHILDREN +CHANGED +OWNER +NAME\n +0 +0 B +1 .* x\n +0 +4 B +0 .* y\n$/);
    t.equal(below.stdout, '/l/x\n/l/x/deep\n/l/y\n');
    t.equal(tree.stdout, '/l\n├── x\n│   └── deep\n└── y\n');
  });

  t.test('rm -r --dry-run lists what would be deleted, and ends with 7; without it, it is deleted', async (t) => {
    await put('/doomed/below', '');
    const dry = await cli.run(['node', 'rm', '-r', '/doomed', '--dry-run']);
    t.same([dry.code, dry.stdout], [7, '/doomed\n/doomed/below\n']);
    t.equal((await cli.run(['node', 'rm', '/doomed'])).code, 4, 'it has a child');
    t.equal((await cli.run(['node', 'rm', '-r', '/doomed'])).code, 0);
    t.equal((await http(`${server.url}/v1/nodes/doomed`)).status, 404);
  });

  t.test('diff says + - ~ for each difference, and ends with 7', async (t) => {
    await Promise.all([put('/d1/same', 's'), put('/d1/other', '1'), put('/d1/gone', ''), put('/d2/same', 's')]);
    await Promise.all([put('/d2/other', '2'), put('/d2/new', '')]);
    const { code, stdout } = await cli.run(['node', 'diff', '/d1', '/d2']);
    t.equal(code, 7);
    t.equal(stdout, '- /d1/gone\n+ /d2/new\n~ /d1/other  1 → 2\n');
  });

  t.test('a subtree is copied, moved, exported, and imported elsewhere', async (t) => {
    await Promise.all([put('/x1/a', '1'), put('/x1/b/c', 'text')]);
    const copied = await cli.run(['node', 'cp', '/x1', '/x2']);
    t.same([copied.code, copied.stdout], [0, 'Copied 4 nodes to /x2\n']);
    t.equal((await cli.run(['node', 'cp', '/x1', '/x2'])).code, 4, 'it exists');
    t.equal((await cli.run(['node', 'mv', '/x2', '/x3'])).code, 0);
    t.equal((await cli.run(['node', 'diff', '/x1', '/x3'])).code, 0, 'the same');
    const exported = await cli.run(['node', 'export', '/x1', '-f', 'x.ndjson']);
    t.same([exported.code, exported.stderr], [0, 'Exported 4 nodes.\n']);
    t.equal(statSync(join(cli.folder, 'x.ndjson')).mode & 0o077, 0);
    const dry = await cli.run(['node', 'import', 'x.ndjson', '--to', '/x4', '--dry-run']);
    t.same([dry.code, dry.stdout], [7, '4 would be created\n']);
    const imported = await cli.shell('weir node export /x1 | weir node import - --to /x4');
    t.same([imported.code, imported.stdout], [0, '4 created\n']);
    t.equal((await cli.run(['node', 'diff', '/x1', '/x4'])).code, 0);
    t.not((await cli.run(['node', 'import', 'x.ndjson', '--to', '/new/x5'])).code, 0, 'there is no parent');
    const withParents = await cli.run(['node', 'import', 'x.ndjson', '--to', '/new/x5', '-p']);
    t.same([withParents.code, withParents.stdout], [0, '4 created\n']);
    await put('/x1/a', 'other');
    t.equal((await cli.run(['node', 'import', 'x.ndjson'])).code, 4, 'a node has other data');
    const skipped = await cli.run(['node', 'import', 'x.ndjson', '--on-conflict', 'skip']);
    t.equal(skipped.stdout, '1 skipped, 3 the same already\n');
    t.equal((await cli.run(['node', 'import', '-'], { input: 'no export' })).code, 2);
  });

  t.test('edit writes what the editor left, and keeps the text if somebody was faster', async (t) => {
    await put('/edited', 'before');
    const edited = await cli.run(['node', 'edit', '/edited'], { env: { EDITOR: 'sed -i s/before/after/' } });
    t.same([edited.code, edited.stdout], [0, '/edited version 1\n']);
    t.equal((await http(`${server.url}/v1/nodes/edited`)).body, 'after');
    const faster = join(cli.folder, 'faster');
    writeFileSync(faster, `#!/bin/sh\nweir node set /edited faster >/dev/null\nprintf mine >"$1"\n`);
    chmodSync(faster, 0o755);
    const refused = await cli.run(['node', 'edit', '/edited'], { env: { EDITOR: faster } });
    t.equal(refused.code, 4);
    const [, file = ''] = /Your text is in (.*)\.\n$/.exec(refused.stderr) ?? [];
    t.equal(readFileSync(file, 'utf8'), 'mine');
    t.equal(statSync(file).mode & 0o077, 0, 'nobody else can read it');
  });

  t.test('an ephemeral node exists as long as the command runs', async (t) => {
    const { child, exited } = cli.start(['node', 'set', '/here', 'me', '--ephemeral']);
    const exists = async () => (await http(`${server.url}/v1/nodes/here`)).status === 200;
    await eventually(exists, 'the node is there');
    child.kill('SIGTERM');
    t.equal((await exited).code, 0);
    t.notOk(await exists());
  });

  t.test('watch prints each change in its order, from any moment that is kept, until it is interrupted', async (t) => {
    await put('/w', '');
    const { child, output, exited } = cli.start(['watch', '/w', '-r', '--data', '-o', 'ndjson']);
    await eventually(() => output.stderr.includes('Watching /w since'), 'it watches');
    await put('/w/a', '1');
    await put('/w/a', '2');
    await http(`${server.url}/v1/nodes/w/a`, 'DELETE');
    const changes = () =>
      output.stdout
        .split('\n')
        .filter((line) => line !== '')
        .flatMap((line) =>
          JSON.parse(line).events.map((event: any) => `${event.type} ${event.path} ${event.data ?? ''}`),
        );
    await eventually(() => changes().some((change) => change.startsWith('deleted')), 'it has told all of them');
    t.match(changes().join('\n'), /^created \/w\/a 1\n(.*\n)*changed \/w\/a 2\n(.*\n)*deleted \/w\/a/);
    child.kill('SIGINT');
    t.equal((await exited).code, 0);
    const again = await cli.run(['watch', '/w', '-r', '--since', '0', '-c', '1', '-o', 'name']);
    t.equal(again.stdout.split('\n')[0], '/w');
  });

  t.test('multi is all or nothing, and history shows what happened, the newest first', async (t) => {
    await put('/m', '');
    const ops = [
      { op: 'create', path: '/m/x', data: '1' },
      { op: 'check', path: '/m/none' },
    ];
    const refused = await cli.run(['multi', '-'], { input: JSON.stringify({ ops }) });
    t.equal(refused.code, 3);
    t.equal((await http(`${server.url}/v1/nodes/m/x`)).status, 404);
    const done = await cli.run(['multi', '-', '-o', 'name'], { input: `${JSON.stringify(ops[0])}\n` });
    t.same([done.code, done.stdout], [0, '/m/x\n']);
    t.equal((await cli.run(['multi', '-'], { input: 'create /x' })).code, 2);
    const { stdout } = await cli.run(['node', 'history', '/m', '--data', '-o', 'json']);
    t.match(JSON.parse(stdout).transactions[0].events.at(0), { type: 'created', path: '/m/x' });
  });

  t.test('contexts are kept in a file of its owner, and used where nothing else is said', async (t) => {
    const env = { WEIR_URL: '' };
    const run = (...args: string[]) => cli.run(args, { env });
    t.equal((await run('context', 'add', 'here', '--url', server.url, '--token', 'weir_x_secret')).code, 0);
    const file = join(cli.folder, '.config', 'weir', 'config.yaml');
    t.equal(statSync(file).mode & 0o777, 0o600);
    t.equal((await run('context', 'add', 'away', '--url', 'http://127.0.0.1:1')).code, 0);
    const list = await run('context', 'ls');
    t.match(list.stdout, /\* +here +http.*\*\*\*/);
    t.notMatch(list.stdout, 'secret');
    t.equal((await run('health')).code, 0, 'the first one is the current one');
    t.equal((await run('health', '--context', 'away')).code, 5);
    t.equal((await run('context', 'use', 'nowhere')).code, 3);
    t.equal((await run('context', 'rm', 'away', '--dry-run')).code, 7);
    t.match((await run('context', 'ls', '-o', 'name')).stdout, 'away', 'it is still there');
    const elsewhere = await run('-v', 'health', '-u', server.url);
    t.notMatch(elsewhere.stderr, 'Authorization', 'its token goes to no other server');
    chmodSync(file, 0o644);
    t.match((await run('health')).stderr, /has the mode 644, so others can read its tokens\. Run: chmod 600/);
    t.ok(existsSync(file));
  });
});

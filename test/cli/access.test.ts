// Tokens, policies and certificates: a server on https with a policy, and the command line that it trusts.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { TestCli } from '../helpers/cli.ts';
import { eventually } from '../helpers/server.ts';
import { makeTlsFiles, startTlsServer } from '../helpers/tls.ts';

t.test('a token that weir made, an authority of its own, and what the policy allows', async (t) => {
  const files = await makeTlsFiles(t);
  const made = await new TestCli(t, '').runProcess(['token', 'new', 'reader', '--id', 'reader-1', '-o', 'json']);
  const { token, id, sha256 } = JSON.parse(made.stdout);
  const accessFile = join(files.folder, 'policy.yaml');
  writeFileSync(
    accessFile,
    `identities:\n  reader: { tokens: [ { id: ${id}, sha256: "${sha256}" } ] }\nallow:\n  - who: reader\n    nodes: { "/app/**": [read, write] }\n`,
    { mode: 0o600 },
  );
  const server = await startTlsServer(t, files, { accessFile });
  const cli = new TestCli(t, server.url);
  writeFileSync(join(cli.folder, 'reader.token'), `${token}\n`, { mode: 0o600 });
  const env = { WEIR_CACERT: files.caFile, WEIR_TOKEN: '@reader.token' };

  const [me, allowed, missing, refused, nobody, untrusted] = await Promise.all([
    cli.runProcess(['access', 'me', '-o', 'name'], { env }),
    cli.runProcess(['access', 'check', 'write', '--path', '/app/x'], { env }),
    cli.runProcess(['access', 'check', 'read', '--topic', 'clicks'], { env }),
    cli.runProcess(['topic', 'create', 'clicks'], { env }),
    cli.runProcess(['node', 'ls', '/'], { env: { WEIR_CACERT: files.caFile } }),
    cli.runProcess(['node', 'ls', '/'], { env: { WEIR_TOKEN: token } }),
  ]);
  t.same([me.code, me.stdout], [0, 'reader\n'], me.stderr);
  t.same([allowed.code, allowed.stdout], [0, 'allowed\n']);
  t.same([missing.code, missing.stdout], [1, 'refused: reader needs read on topic clicks\n']);
  t.equal(refused.code, 1);
  t.match(refused.stderr, /reader/);
  t.same([nobody.code, untrusted.code], [1, 5]);
  t.match(untrusted.stderr, /does not respond: .*certificate/);

  // Over a socket, too.
  await cli.runProcess(['node', 'set', '-p', '/app/x', '1'], { env });
  const watch = cli.start(['watch', '/app', '-r', '--data'], env);
  await eventually(() => watch.output.stderr.includes('Watching'), 'it watches');
  await cli.runProcess(['node', 'set', '/app/x', '2'], { env });
  await eventually(() => /changed +\/app\/x +2\n/.test(watch.output.stdout), 'it prints the change');
  watch.child.kill('SIGINT');
  t.equal((await watch.exited).code, 0);

  const wrong = await cli.runProcess(['health'], { env: { WEIR_CACERT: 'reader.token' } });
  t.equal(wrong.code, 1);
  t.match(wrong.stderr, /The file of WEIR_CACERT has no certificate in PEM form/);
});

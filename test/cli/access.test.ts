// Tokens, policies and certificates: a server on https with a policy, and the command line that it trusts.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { TestAuthority, writeIdentity } from '../../testbed/test-certificates.ts';
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
  t.match(nobody.stderr, /Give a token: --token, WEIR_TOKEN, or a context\.\n$/);
  const follower = await cli.runProcess(['consume', '-g', 'none', 'clicks'], { env });
  t.equal(follower.code, 1);
  t.match(follower.stderr, /^reader needs [^\n]+\n$/, 'a refusal is no lost connection');
  t.match(
    untrusted.stderr,
    /does not respond: .*certificate.*; WEIR_CACERT, or --cacert .* names the authorities to trust\.\n$/,
  );

  // Over a socket, too.
  await cli.runProcess(['node', 'set', '-p', '/app/x', '1'], { env });
  const watch = cli.start(['watch', '/app', '-r', '--data'], env);
  await eventually(() => watch.output.stderr.includes('Watching'), 'it watches');
  await cli.runProcess(['node', 'set', '/app/x', '2'], { env });
  await eventually(() => /changed +\/app\/x +2\n/.test(watch.output.stdout), 'it prints the change');
  watch.child.kill('SIGINT');
  t.equal((await watch.exited).code, 0);
});

t.test('a client with a certificate of its own is who that says', async (t) => {
  const files = await makeTlsFiles(t);
  const clients = await TestAuthority.create();
  const tlsClientCa = writeIdentity(files.folder, 'clients', { cert: clients.cert, key: '' }).cert;
  const accessFile = join(files.folder, 'policy.yaml');
  writeFileSync(accessFile, 'identities:\n  ops: { certs: [CN=ops] }\nallow: []\n', { mode: 0o600 });
  const server = await startTlsServer(t, files, { accessFile, tlsClientCa });
  const cli = new TestCli(t, server.url);
  const { cert, key } = writeIdentity(cli.folder, 'ops', await clients.issue({ subject: 'CN=ops' }));
  const env = { WEIR_CACERT: files.caFile, WEIR_CERT: cert, WEIR_KEY: key };
  const me = await cli.runProcess(['access', 'me', '-o', 'name', '-v'], { env });
  t.same([me.code, me.stdout], [0, 'ops\n'], me.stderr);
  t.match(me.stderr, `curl --cacert ${files.caFile} --cert ${cert} --key ${key} `);
  const add = ['context', 'add', 'here', '--url', server.url, '--cacert', files.caFile, '--cert', cert, '--key', key];
  t.equal((await cli.run(add, { env: { WEIR_URL: '' } })).code, 0);
  const byContext = await cli.runProcess(['access', 'me', '-o', 'name'], { env: { WEIR_URL: '' } });
  t.same([byContext.code, byContext.stdout], [0, 'ops\n'], byContext.stderr);
});

t.test('what is wrong on this machine is told at once, and ends with 2', async (t) => {
  const cli = new TestCli(t, 'https://127.0.0.1:1');
  const authority = await TestAuthority.create();
  const { cert, key } = writeIdentity(cli.folder, 'one', await authority.issue());
  const other = writeIdentity(cli.folder, 'other', await authority.issue());
  writeFileSync(join(cli.folder, 'empty'), '\n');
  const wrong: [env: Record<string, string>, says: RegExp][] = [
    [{ WEIR_CACERT: 'absent.pem' }, /^absent\.pem \(WEIR_CACERT\) cannot be read: ENOENT/],
    [{ WEIR_CACERT: 'empty' }, /^empty \(WEIR_CACERT\) has no certificate in PEM form/],
    [{ WEIR_CERT: cli.folder, WEIR_KEY: key }, /\(WEIR_CERT\) cannot be read: EISDIR/],
    [{ WEIR_CERT: cert }, /^WEIR_CERT is given without WEIR_KEY/],
    [{ WEIR_CERT: cert, WEIR_KEY: other.key }, /are no certificate and its key in PEM form/],
    [{ WEIR_CERT: 'empty', WEIR_KEY: key }, /are no certificate and its key in PEM form/],
    [{ WEIR_TOKEN: '@absent' }, /^absent \(the token\) cannot be read: ENOENT/],
    [{ WEIR_TOKEN: '@empty' }, /^The first line of empty has no token/],
    [{ WEIR_TOKEN: 'weir_a b' }, /^The token has a space or another character/],
    [{ WEIR_URL: 'localhost:7070' }, /^"localhost:7070" is not the URL of a server: it begins with http:/],
    [{ WEIR_URL: 'http://a,,http://b' }, /^"" is not the URL of a server/],
  ];
  for (const [env, says] of wrong) {
    // Without an end: it would be tried for ever.
    const { code, stderr } = await cli.run(['status', '--timeout', '1h'], { env });
    t.same([code, says.test(stderr), stderr.split('\n').length], [2, true, 2], stderr);
  }
  const early = await cli.run(['context', 'add', 'early', '--url', 'https://127.0.0.1:1', '--cacert', 'absent.pem']);
  t.same(
    [early.code, early.stderr],
    [0, `There is no file ${join(cli.folder, 'absent.pem')} yet; cacert is read from it.\n`],
  );
  const late = await cli.run(['status', '--context', 'early']);
  t.equal(late.code, 2);
  t.match(late.stderr, /absent\.pem \(cacert of the context early\) cannot be read: ENOENT/);
  const bad = await cli.run(['context', 'add', 'bad', '--url', 'nowhere']);
  t.same(
    [bad.code, bad.stderr],
    [2, '"nowhere" is not the URL of a server: it begins with http:// or https://, such as http://localhost:7070.\n'],
  );
});

// Changed TLS files are taken without a restart and without closing a connection; what is broken changes nothing.
import { writeFileSync } from 'node:fs';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { ServerTls } from '../../src/tls/server-tls.ts';
import { TestAuthority, writeIdentity } from '../../testbed/test-certificates.ts';
import { startServerProcess } from '../helpers/process.ts';
import { eventually } from '../helpers/server.ts';
import { askAt, makeTlsFiles, startTlsServer } from '../helpers/tls.ts';
import { startWorkers } from '../helpers/workers.ts';

const dayMs = 24 * 3_600_000;

/** A connection whose handshake is complete, and the fingerprint of the server's certificate. */
async function shake(t: Test, url: string, options: ConnectionOptions = {}): Promise<[TLSSocket, string]> {
  const { port } = new URL(url);
  const socket = connect({ port: Number(port), host: '127.0.0.1', rejectUnauthorized: false, ...options });
  t.teardown(() => socket.destroy());
  await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
  return [socket, socket.getPeerCertificate().fingerprint256];
}

/** A logger that keeps its lines. */
function keptLog(): { log: pino.Logger; lines: Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = [];
  const log = pino({ level: 'debug' }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  return { log, lines };
}

t.test('a changed certificate is used by new connections, and open ones go on', async (t) => {
  const files = await makeTlsFiles(t);
  const server = await startTlsServer(t, files);
  const [open, before] = await shake(t, server.url);
  writeIdentity(files.folder, 'server', await files.authority.issue());
  await eventually(async () => (await shake(t, server.url))[1] !== before, 'the new certificate');
  let text = '';
  open.on('data', (piece) => {
    text += String(piece);
  });
  open.write('GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await eventually(() => /^HTTP\/1\.1 200 /.test(text), 'the open connection is served');
  t.match((await server.ask('GET', '/metrics')).body, /^weir_tls_reload_errors_total 0$/m);
});

t.test('files that make no identity change nothing, and are counted and logged once', async (t) => {
  const files = await makeTlsFiles(t);
  const { log, lines } = keptLog();
  const paths = { cert: files.config.tlsCert, key: files.config.tlsKey, clientCa: files.caFile };
  const tls = await ServerTls.load(paths, log);
  t.teardown(() => tls.close());
  const { fingerprint256 } = tls.certificate;
  const other = await files.authority.issue();
  const { cert, key } = await files.authority.issue({ validTo: Date.now() - 1000, validFrom: Date.now() - dayMs });
  const good = await files.authority.issue();
  const broken: [what: string, change: () => void, message: RegExp][] = [
    ['a key of another certificate', () => writeFileSync(paths.key, other.key), /is not the key of the certificate in/],
    ['no key', () => writeFileSync(paths.key, 'x'), /has no private key that can be used/],
    [
      'an encrypted key',
      () => writeFileSync(paths.key, '-----BEGIN ENCRYPTED PRIVATE KEY-----\nx\n-----END ENCRYPTED PRIVATE KEY-----'),
      /encrypted with a passphrase/,
    ],
    ['no certificate', () => writeFileSync(paths.cert, ''), /has no certificate in PEM format/],
    [
      'a damaged certificate',
      () => writeFileSync(paths.cert, '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----'),
      /Certificate 1 in .* cannot be read/,
    ],
    ['an expired pair', () => void writeIdentity(files.folder, 'server', { cert, key }), /has expired on/],
    [
      'no authorities',
      () => {
        writeIdentity(files.folder, 'server', good);
        writeFileSync(paths.clientCa, 'x');
      },
      /WEIR_TLS_CLIENT_CA is .*no certificate in PEM format/,
    ],
  ];
  for (const [i, [what, change, message]] of broken.entries()) {
    change();
    await eventually(() => tls.errors === i + 1, `${what} is counted`);
    t.equal(tls.certificate.fingerprint256, fingerprint256, what);
    const failures = lines.filter(({ level }) => level === 50);
    t.equal(failures.length, i + 1, 'logged once');
    t.match((failures.at(-1)?.err as Error).message, message, what);
  }
  t.notMatch(JSON.stringify(lines), /PRIVATE KEY/);
  await tls.reload();
  t.equal(lines.filter(({ level }) => level === 50).length, broken.length + 1, 'again to an operator who asks');
  writeFileSync(paths.clientCa, files.authority.cert);
  await eventually(() => tls.certificate.fingerprint256 !== fingerprint256, 'the repaired files are used');
});

t.test('a server does not start with files that make no identity', async (t) => {
  const files = await makeTlsFiles(t);
  await t.rejects(startTlsServer(t, files, { tlsKey: `${files.config.tlsKey}.none` }), {
    message: /WEIR_TLS_KEY is .*none, which cannot be read: ENOENT/,
  });
  await t.rejects(startTlsServer(t, files, { tlsKey: files.config.tlsCert }), {
    message: /WEIR_TLS_KEY is .* has no private key/,
  });
});

t.test('the log warns once a day of a certificate that expires soon, by its length of life', async (t) => {
  const files = await makeTlsFiles(t);
  let now = Date.now();
  const cases: [livesMs: number, warns: [leftMs: number, message: RegExp | undefined][]][] = [
    [
      90 * dayMs,
      [
        [15 * dayMs, undefined],
        [13 * dayMs, /expires soon/],
        [-1, /has expired/],
      ],
    ],
    [
      dayMs,
      [
        [dayMs / 4, undefined],
        [dayMs / 6, /expires soon/],
      ],
    ],
  ];
  for (const [livesMs, warns] of cases) {
    const validFrom = Math.floor(Date.now() / 1000) * 1000;
    const validTo = validFrom + livesMs;
    const { cert, key } = writeIdentity(files.folder, 'short', await files.authority.issue({ validFrom, validTo }));
    for (const [leftMs, message] of warns) {
      now = validTo - leftMs;
      const { log, lines } = keptLog();
      const tls = await ServerTls.load({ cert, key }, log, () => now);
      t.teardown(() => tls.close());
      const warnings = lines.filter(({ level }) => Number(level) >= 40);
      t.equal(warnings.length, message === undefined ? 0 : 1, `${livesMs} ms long, ${leftMs} ms left`);
      if (message) t.match(String(warnings[0]?.msg), message);
      t.equal(tls.expiresAt, validTo);
    }
  }
});

t.test('SIGHUP makes a server read its files again, and does not stop it', async (t) => {
  const files = await makeTlsFiles(t);
  const env = { WEIR_TLS_CERT: files.config.tlsCert, WEIR_TLS_KEY: files.config.tlsKey, WEIR_DATA_DIR: files.folder };
  const server = await startServerProcess(t, { ...env, WEIR_DATA_DIR: `${files.folder}/data` });
  const [, before] = await shake(t, server.url);
  writeIdentity(files.folder, 'server', await files.authority.issue());
  server.child.kill('SIGHUP');
  await eventually(async () => (await shake(t, server.url))[1] !== before, 'the new certificate');
  t.equal((await askAt(server.url, files.authority)('GET', '/health/ready')).status, 200);
  server.child.kill('SIGTERM');
  t.equal(await server.exited, 0);
});

t.test('workers serve with TLS, and the primary process passes SIGHUP on to all', async (t) => {
  const files = await makeTlsFiles(t);
  const server = await startWorkers(t, { WEIR_TLS_CERT: files.config.tlsCert, WEIR_TLS_KEY: files.config.tlsKey });
  t.match(server.url, /^https:/);
  const [, before] = await shake(t, server.url);
  writeIdentity(files.folder, 'server', await files.authority.issue());
  server.child.kill('SIGHUP');
  const told = () => server.log.filter(({ msg }) => /TLS files have changed/.test(String(msg)));
  await eventually(() => new Set(told().map(({ worker }) => worker)).size === 2, 'both workers have read them');
  for (let i = 0; i < 4; i += 1) t.not((await shake(t, server.url))[1], before, 'whichever worker serves');
  const { body } = await askAt(server.url, files.authority)('GET', '/metrics');
  t.match(body, /^weir_tls_certificate_expiry_timestamp_seconds \d+$/m);
});

t.test('SIGHUP stops a server that has no files to read', async (t) => {
  const server = await startServerProcess(t, { WEIR_DATA_DIR: `${(await makeTlsFiles(t)).folder}/data` });
  server.child.kill('SIGHUP');
  t.equal(await server.exited, 0);
});

t.test('a certificate of another authority replaces the first one', async (t) => {
  const files = await makeTlsFiles(t);
  const server = await startTlsServer(t, files);
  const other = await TestAuthority.create('CN=Another');
  writeIdentity(files.folder, 'server', await other.issue());
  await eventually(
    () =>
      askAt(server.url, other)('GET', '/health/live').then(
        ({ status }) => status === 200,
        () => false,
      ),
    'clients of the other authority are served',
  );
});

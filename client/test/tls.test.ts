// The client where the server has TLS, with certificates that Node.js does not know, and asks for one of the client.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { WebSocket } from 'ws';
import { makeTlsFiles, startTlsServer } from '../../test/helpers/tls.ts';
import { TestAuthority, writeIdentity } from '../../testbed/test-certificates.ts';
import { Weir, type WeirOptions } from '../src/index.ts';
import { startClient, take, values } from './client.ts';

const files = await makeTlsFiles(t);
const clients = await TestAuthority.create();
const clientCa = writeIdentity(files.folder, 'clients', { cert: clients.cert, key: '' }).cert;
const server = await startTlsServer(t, files, { tlsClientCa: clientCa });
const own = await clients.issue();
const tls = { ca: files.authority.cert, ...own };

for (const [way, options] of [
  ['WebSockets of the package ws', {}],
  ['HTTP', { webSocket: null }],
] as const) {
  t.test(`with the option tls, over ${way}`, async (t) => {
    const weir = startClient(t, server.url, { tls, ...options });
    const name = way === 'HTTP' ? 'over-http' : 'over-socket';
    const watch = weir.watch(`/${name}`, { mode: 'recursive' });
    await watch.started;
    await weir.tree.create(`/${name}`, 'blue', { mode: 'ephemeral' });
    t.equal((await weir.tree.get(`/${name}`))?.text, 'blue');
    t.equal(await weir.tree.get('/absent'), undefined);
    t.match(await watch.next(), { value: { events: [{ type: 'created' }] } });
    await watch.return();
    await weir.admin.topics.create({ name });
    await weir.producer({ topic: name }).sendBatch([{ value: 1 }, { value: 2 }]);
    t.same(values(await take(weir.tail(name, { from: 'earliest' }), 2)), [1, 2]);
    for await (const { records } of weir.consumer({ group: name, topics: [name], reset: 'earliest' })) {
      t.same(values(records), [1, 2]);
      break;
    }
    // A body larger than what one write takes, and its response, too.
    await weir.tree.set('/large', 'x'.repeat(900_000), { create: true });
    t.equal((await weir.tree.get('/large'))?.text.length, 900_000);
    await weir.admin.topics.delete(name);
    const connected = weir.heard.some(({ type }) => type === 'connected');
    t.equal(connected, way !== 'HTTP');
  });
}

t.test('a server whose authority is not known is refused, unless certificates are not to be checked', async (t) => {
  const retry = { for: '200ms', minDelay: 10 };
  const stranger = startClient(t, server.url, { tls: { ...own }, retry });
  await t.rejects(stranger.tree.exists('/'), { code: 'UNREACHABLE' });
  const stream = startClient(t, server.url, { tls: { ...own }, webSocket: null, retry });
  await t.rejects(stream.tree.exists('/'), { code: 'UNREACHABLE', detail: /certificate/ });
  const careless = startClient(t, server.url, { tls: { ...own, rejectUnauthorized: false } });
  t.equal(await careless.tree.exists('/'), true);
});

t.test('the environment names files', async (t) => {
  const { cert, key } = writeIdentity(files.folder, 'client', own);
  const before = { ...process.env };
  Object.assign(process.env, {
    WEIR_URL: server.url,
    WEIR_CACERT: files.caFile,
    WEIR_CERT: cert,
    WEIR_KEY: key,
  });
  t.teardown(() => {
    process.env = before;
  });
  const weir = Weir.fromEnv();
  t.equal(await weir.tree.exists('/'), true);
  await weir.close();
  const wrong = Weir.fromEnv({ tls: { ca: { file: join(files.folder, 'absent.pem') } }, retry: { for: '100ms' } });
  await t.rejects(wrong.admin.topics.list(), { code: 'MISCONFIGURED', detail: /absent\.pem/ });
  await wrong.close();
});

t.test('what only this machine can repair fails at once, and is not retried', async (t) => {
  const noPem = join(files.folder, 'no.pem');
  writeFileSync(noPem, 'no certificate');
  const other = await clients.issue();
  const wrong: [options: Partial<WeirOptions>, detail: RegExp][] = [
    [
      { tls: { ca: { file: join(files.folder, 'absent.pem') } } },
      /^The file of tls\.ca cannot be read: ENOENT.*absent\.pem/,
    ],
    [{ tls: { ...own, key: { file: files.folder } } }, /^The file of tls\.key cannot be read: EISDIR/],
    [{ tls: { ca: { file: noPem } } }, /^tls\.ca has no certificate in PEM form/],
    [{ tls: { ...own, cert: 'no certificate' } }, /^tls\.cert and tls\.key are no pair in PEM form/],
    [{ tls: { cert: own.cert, key: other.key } }, /^tls\.cert and tls\.key are no pair in PEM form/],
    [{ tls, token: 'weir_a_b\n' }, /^The token has a space or another character/],
    [{ tls, token: async () => 'a b' }, /^The token has a space or another character/],
  ];
  for (const [options, detail] of wrong) {
    // Without an end: a retry would be one for ever.
    const weir = startClient(t, server.url, { ...options, retry: { for: Number.MAX_SAFE_INTEGER } });
    const problem = { code: 'MISCONFIGURED', detail, retryable: false };
    await t.rejects(weir.tree.exists('/'), problem, `${detail}: the socket`);
    await t.rejects(weir.admin.topics.list(), problem, 'a request');
    await t.rejects(weir.watch('/').started, problem, 'a watch');
    await t.rejects(weir.tail('none').next(), problem, 'a tail');
    await t.rejects(take(weir.consumer({ group: 'g', topics: ['none'] }), 1), problem, 'a consumer');
    await weir.close();
    t.notOk(weir.heard.some(({ type }) => type === 'retry'));
  }
});

t.test('the global fetch and WebSocket are not asked, and options that are given go before', async (t) => {
  const asked: string[] = [];
  const weir = startClient(t, server.url, {
    tls,
    webSocket: (url, protocols) => {
      asked.push('socket');
      return new WebSocket(url, protocols, tls) as never;
    },
  });
  t.equal(await weir.tree.exists('/'), true);
  t.same(asked, ['socket']);
});

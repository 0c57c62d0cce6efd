// Client certificates as identities: every route, mixed with tokens, and what a browser that shows one by itself must not do.
import { writeFileSync } from 'node:fs';
import { Agent } from 'node:https';
import t from 'tap';
import { WebSocket } from 'ws';
import { TestAuthority } from '../../testbed/test-certificates.ts';
import { decidingBodies, forAnyIdentity, openOperations, writePolicy } from '../helpers/access.ts';
import { eventually } from '../helpers/server.ts';
import { makeTlsFiles, startTlsServer } from '../helpers/tls.ts';

const identities = `
  ops: { certs: [ "CN=ops" ] }
  poor: { certs: [ "CN=poor", "URI:spiffe://example/poor" ] }
  both: { certs: [ "CN=both" ] }
  other: { certs: [ "O=Both" ] }
`;
const rules = `
allow:
  - who: ops
    admin: true
  - who: billing
    nodes: { "/billing/**": [read, write] }
`;
const files = await makeTlsFiles(t);
const clients = await TestAuthority.create('CN=Clients');
const clientCa = `${files.folder}/clients.pem`;
writeFileSync(clientCa, clients.cert);
const policy = await writePolicy(t, ['billing'], rules);
const tokenLine = `  billing: { tokens: [ { id: ${policy.tokens.billing!.id}, sha256: "${policy.tokens.billing!.sha256}" } ] }`;
const policyText = (allow = rules) => `public: [docs, metrics]\nidentities:${identities}${tokenLine}\n${allow}`;
await policy.write(policyText());
const server = await startTlsServer(t, files, { accessFile: policy.file, tlsClientCa: clientCa });
const { ask, url } = server;

async function client(subject: string, more: Parameters<TestAuthority['issue']>[0] = {}, by = clients) {
  const identity = await by.issue({ subject, names: [], ...more });
  const call = (method: string, path: string, body?: string, headers: Record<string, string> = {}) =>
    ask(method, path, { body, headers, tls: identity });
  return Object.assign(call, { identity });
}

const ops = await client('CN=ops');
const poor = await client('CN=poor');

t.test('a certificate is an identity: every route refuses one without rights, and lets an admin in', async (t) => {
  const { body: document } = await ops('GET', '/openapi.json');
  const paths: Record<string, Record<string, { operationId: string }>> = document.paths;
  let checked = 0;
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, { operationId }] of Object.entries(methods)) {
      // The policy above makes the metrics public, and with them the statistics, whose stream does not end.
      if (openOperations.has(operationId) || ['metrics', 'stats.stream'].includes(operationId)) continue;
      const at = path.replaceAll(/\{[^}]*\}|\*/g, '0');
      const given = decidingBodies[operationId];
      // A text is NDJSON.
      const isText = typeof given === 'string';
      const body = given === undefined ? undefined : isText ? given : JSON.stringify(given);
      const json = { 'content-type': isText ? 'application/x-ndjson' : 'application/json' };
      const { status, body: problem } = await poor(method.toUpperCase(), at, body, body ? json : {});
      t.not(status, 401, `${operationId}: the certificate is taken`);
      if (forAnyIdentity.has(operationId)) continue;
      checked += 1;
      t.equal(status, 403, `${operationId} without rights`);
      t.match(problem.detail, /poor needs /, operationId);
      if (operationId.endsWith('.stream') || operationId === 'elections.create') continue;
      const mighty = await ops(method.toUpperCase(), at, body, body ? json : {});
      t.notOk([401, 403].includes(mighty.status), `${operationId} as admin ${mighty.status}`);
    }
  }
  t.ok(checked > 25, `${checked} routes`);
});

t.test('who one is by a certificate, and until when', async (t) => {
  const { body } = await poor('GET', '/v1/access/me');
  t.match(body, { identity: 'poor', certificate: 'CN=poor', admin: false });
  t.ok(body.expires > Date.now());
  t.notOk('token' in body);
  const spiffe = await client('CN=pod', { names: [{ type: 'url', value: 'spiffe://example/poor' }] });
  t.equal((await spiffe('GET', '/v1/access/me')).body.identity, 'poor');
});

t.test('a token counts before the certificate, also if it is not valid', async (t) => {
  const { authorization } = policy.as('billing');
  t.equal((await ops('GET', '/v1/access/me', undefined, { authorization })).body.identity, 'billing');
  t.equal((await ops('GET', '/v1/nodes/x', undefined, { authorization })).status, 403);
  t.equal((await ops('GET', '/v1/nodes/x', undefined, { authorization: `${authorization}x` })).status, 401);
  t.equal((await ask('GET', '/v1/access/me', { headers: { authorization } })).body.identity, 'billing');
});

t.test('a client without a certificate, or one of no identity, is anonymous and told why', async (t) => {
  const bare = await ask('GET', '/v1/cluster');
  t.equal(bare.status, 401);
  t.match(bare.body.detail, /Send a token/);
  const nobody = await client('CN=nobody');
  const { status, body } = await nobody('GET', '/v1/cluster');
  t.equal(status, 401);
  t.match(body.detail, /No identity of the policy has a client certificate such as CN=nobody among its certs/);
  t.equal((await nobody('GET', '/docs/errors')).status, 200, 'what is public stays public');
});

t.test('a certificate that cannot be trusted is refused with the reason, and health is served', async (t) => {
  const hour = 3_600_000;
  const cases: [what: string, caller: Awaited<ReturnType<typeof client>>, reason: RegExp][] = [
    [
      'of an unknown authority',
      await client('CN=ops', {}, await TestAuthority.create('CN=No')),
      /is not trusted: [A-Z_]+/,
    ],
    [
      'expired',
      await client('CN=ops', { validFrom: Date.now() - 2 * hour, validTo: Date.now() - hour }),
      /is not trusted: CERT_HAS_EXPIRED/,
    ],
    ['not valid yet', await client('CN=ops', { validFrom: Date.now() + hour }), /CERT_NOT_YET_VALID/],
    ['of a server', await client('CN=ops', { uses: ['server'] }), /INVALID_PURPOSE/],
  ];
  for (const [what, caller, reason] of cases) {
    const { status, body } = await caller('GET', '/v1/cluster');
    t.equal(status, 401, what);
    t.equal(body.code, 'AUTH_REQUIRED');
    t.match(body.detail, reason, what);
    t.equal((await caller('GET', '/health/ready')).status, 200);
  }
  // One that claims the name of an authority, but signs with another key.
  const fake = await clients.issueAuthority('CN=Between');
  t.equal((await (await client('CN=ops', {}, fake))('GET', '/v1/cluster')).status, 401, 'the chain is incomplete');
});

t.test('a forged certificate opens nothing, and does not disturb the connections of others', async (t) => {
  // OpenSSL may end its connection, as the signature is wrong, before there is a response.
  const forged = await client('CN=ops', {}, await TestAuthority.create('CN=Clients'));
  const agent = new Agent({ keepAlive: true, maxSockets: 1, ca: files.authority.cert, ...poor.identity });
  t.teardown(() => agent.destroy());
  let isDone = false;
  const good = (async () => {
    let served = 0;
    for (; !isDone || served === 0; served += 1) {
      const { status } = await ask('GET', '/v1/access/me', { tls: { agent } });
      if (status !== 200) throw new Error(`${status} instead of 200`);
    }
    return served;
  })();
  const versions = ['TLSv1.2', 'TLSv1.3'] as const;
  const results = await Promise.all(
    Array.from({ length: 40 }, (_, i) =>
      ask('GET', '/v1/cluster', { tls: { ...forged.identity, maxVersion: versions[i % 2] } }).then(
        ({ status }) => status,
        () => 'closed' as const,
      ),
    ),
  );
  isDone = true;
  t.ok((await good) > 0, 'the good client was served throughout');
  t.same(
    [...new Set(results)].filter((result) => result !== 401 && result !== 'closed'),
    [],
  );
});

t.test('a certificate of an authority between is taken if its client sends the chain', async (t) => {
  const between = await clients.issueAuthority('CN=Between');
  const identity = await between.issue({ subject: 'CN=poor', names: [] });
  const chain = { key: identity.key, cert: `${identity.cert}\n${between.cert}` };
  t.equal((await ask('GET', '/v1/access/me', { tls: chain })).body.identity, 'poor');
});

t.test('a certificate that two identities match is refused', async (t) => {
  const { status, body } = await (await client('CN=both, O=Both'))('GET', '/v1/cluster');
  t.equal(status, 401);
  t.match(body.detail, /Two identities of the policy match .*, both and other/);
});

t.test('for pages of other sites a certificate does not count, as browsers show it by themselves', async (t) => {
  const port = await startTlsServer(
    t,
    files,
    { accessFile: policy.file, tlsClientCa: clientCa, corsOrigins: ['*'] },
    { target: server.target },
  );
  const own = new URL(port.url);
  const put = (headers: Record<string, string>) =>
    port.ask('PUT', '/v1/nodes/page', { body: 'x', headers, tls: ops.identity });
  t.equal((await put({ origin: 'https://evil.example' })).status, 401);
  t.match((await put({ origin: 'https://evil.example' })).body.detail, /does not count for pages of other sites/);
  t.equal((await put({ origin: `http://${own.host}` })).status, 401, 'not by plain HTTP either');
  t.equal((await put({ 'sec-fetch-site': 'cross-site' })).status, 401);
  t.equal((await put({ origin: own.origin, 'sec-fetch-site': 'same-origin' })).status, 201, 'its own page may');
  const { authorization } = policy.as('billing');
  const asked = await port.ask('GET', '/v1/access/me', {
    headers: { origin: 'https://app.example', authorization },
    tls: ops.identity,
  });
  t.equal(asked.body.identity, 'billing', 'with a token another site may');
  const preflight = await port.ask('OPTIONS', '/v1/nodes/page', {
    headers: { origin: 'https://app.example', 'access-control-request-method': 'PUT' },
  });
  t.equal(preflight.status, 204, 'a preflight needs no identity');
});

t.test('a WebSocket is open as long as its certificate and the policy allow', async (t) => {
  const ws = new WebSocket(`${url.replace('https', 'wss')}/v1/watch`, { ca: files.authority.cert, ...ops.identity });
  t.teardown(() => ws.terminate());
  const closed = new Promise<number>((resolve) => ws.on('close', resolve));
  await new Promise((resolve, reject) => ws.on('open', resolve).on('error', reject));
  await policy.write(policyText().replace('CN=ops', 'CN=chief'));
  t.equal(await closed, 4401, 'it has no identity any more');
  await policy.write(policyText());
  await eventually(async () => (await ops('GET', '/v1/cluster')).status === 200, 'the first policy is back');
});

t.test('an authority that is removed takes its certificates with it, also on open connections', async (t) => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1, ca: files.authority.cert, ...poor.identity });
  t.teardown(() => agent.destroy());
  const me = () => ask('GET', '/v1/access/me', { tls: { agent } });
  t.equal((await me()).status, 200);
  const other = await TestAuthority.create('CN=Next');
  writeFileSync(clientCa, `${clients.cert}\n${other.cert}`);
  const next = await client('CN=poor', {}, other);
  await eventually(async () => (await next('GET', '/v1/access/me')).status === 200, 'the second authority is taken');
  t.equal((await me()).status, 200, 'that of the first still is');
  writeFileSync(clientCa, other.cert);
  await eventually(async () => (await me()).status === 401, 'the first is removed');
  t.match((await me()).body.detail, /authorities of client certificates have changed/);
  t.equal((await poor('GET', '/v1/access/me')).status, 401, 'and for new connections');
  t.equal((await next('GET', '/v1/access/me')).status, 200);
});

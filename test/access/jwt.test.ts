// JWTs: verified with the keys of their issuer, and only of it.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import t, { type Test } from 'tap';
import { Authenticator } from '../../src/access/authenticator.ts';
import { Policy } from '../../src/access/policy.ts';

const [ours, theirs] = await Promise.all([generateKeyPair('ES256'), generateKeyPair('ES256')]);

/** Serves the public key of the issuer; `reads` counts how often it was asked for. */
async function startIssuer(t: Test) {
  const issuer = { jwksUri: '', reads: 0, isBroken: false };
  const key = { ...(await exportJWK(ours.publicKey)), alg: 'ES256', kid: 'k' };
  const server = createServer((_request, response) => {
    issuer.reads += 1;
    response.statusCode = issuer.isBroken ? 500 : 200;
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ keys: [key] }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  issuer.jwksUri = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`;
  return issuer;
}

function policyOf(jwksUri: string, rest = ''): Policy {
  return new Policy(`
identities:
  sre: { jwt: { claim: groups, has: sre } }
  dba: { jwt: { claim: groups, has: dba } }
  billing: {}
jwt: { issuer: "https://login.example", audience: weirkeeper, jwksUri: "${jwksUri}"${rest} }
allow:
  - who: sre
    topics: { "*": [read] }
  - who: "*"
    nodes: { "/people/$identity/**": [read] }
`);
}

function sign(
  claims: Record<string, unknown>,
  { key = ours.privateKey, expires = '1h', issuer = 'https://login.example', audience = 'weirkeeper' } = {},
) {
  return new SignJWT(claims)
    .setProtectedHeader({ alg: 'ES256', kid: 'k' })
    .setIssuer(issuer)
    .setAudience(audience)
    .setExpirationTime(expires)
    .sign(key);
}

t.test('a user has the identity of its claim, with its rights, until the JWT expires', async (t) => {
  const { jwksUri } = await startIssuer(t);
  const authenticator = new Authenticator(policyOf(jwksUri));
  const caller = await authenticator.callerOf({
    authorization: `Bearer ${await sign({ groups: ['dev', 'sre'] })}`,
    client: 'c',
  });
  t.equal(caller.identity, 'sre');
  t.ok(caller.rights.allows('read', { kind: 'topics', name: 'x' }));
  t.ok(caller.expiresAt !== undefined && caller.expiresAt > Date.now());
});

t.test('with a name claim each user is an identity of its own', async (t) => {
  const { jwksUri } = await startIssuer(t);
  const authenticator = new Authenticator(policyOf(jwksUri, ', nameClaim: sub'));
  const caller = await authenticator.callerOf({
    authorization: `Bearer ${await sign({ sub: 'ann@example.com' })}`,
    client: 'c',
  });
  t.equal(caller.identity, 'ann@example.com');
  t.ok(caller.rights.allows('read', { kind: 'nodes', name: '/people/ann@example.com/x' }));
  t.notOk(caller.rights.allows('read', { kind: 'nodes', name: '/people/bob/x' }));
});

t.test('a JWT that is not of this issuer, for this server, signed and in time is refused', async (t) => {
  const { jwksUri } = await startIssuer(t);
  const authenticator = new Authenticator(policyOf(jwksUri, ', nameClaim: sub'));
  const sre = { groups: ['sre'] };
  const none = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from(JSON.stringify({ ...sre, iss: 'https://login.example', aud: 'weirkeeper', exp: 4e9 })).toString('base64url')}.`;
  const shared = await new SignJWT(sre)
    .setProtectedHeader({ alg: 'HS256' })
    .setIssuer('https://login.example')
    .setAudience('weirkeeper')
    .setExpirationTime('1h')
    .sign(new TextEncoder().encode('a secret of at least thirty-two bytes'));
  const cases: [string, string, RegExp][] = [
    ['another key', await sign(sre, { key: theirs.privateKey }), /signature/],
    ['another issuer', await sign(sre, { issuer: 'https://evil.example' }), /"iss"/],
    ['another audience', await sign(sre, { audience: 'other' }), /"aud"/],
    ['expired', await sign(sre, { expires: '-1h' }), /"exp"/],
    ['unsigned', none, /JWT is not valid|malformed/],
    ['a shared secret', shared, /"alg"/],
    ['no claim that matches', await sign({ groups: 'sre2' }), /no identity of the policy matches/],
    ['two that match', await sign({ groups: ['sre', 'dba'] }), /Two identities .* sre and dba/],
    ['the name of one with other credentials', await sign({ sub: 'billing' }), /no identity/],
  ];
  for (const [what, token, detail] of cases) {
    await t.rejects(
      async () => authenticator.callerOf({ authorization: `Bearer ${token}`, client: 'c' }),
      { code: 'AUTH_REQUIRED', message: detail },
      what,
    );
  }
});

t.test('a verified JWT is believed for a while, and not beyond its end', async (t) => {
  const issuer = await startIssuer(t);
  let now = Date.now();
  const authenticator = new Authenticator(policyOf(issuer.jwksUri), undefined, () => now);
  const authorization = `Bearer ${await sign({ groups: 'sre' }, { expires: '30s' })}`;
  for (let i = 0; i < 3; i += 1)
    t.equal((await authenticator.callerOf({ authorization, client: 'c' })).identity, 'sre');
  t.equal(issuer.reads, 1, 'the keys were read once');
  now += 100_000;
  await t.rejects(async () => authenticator.callerOf({ authorization, client: 'c' }), {
    code: 'AUTH_REQUIRED',
    message: /"exp"/,
  });
});

t.test('without the keys of the issuer nobody is let in, and the reason is told', async (t) => {
  const issuer = await startIssuer(t);
  issuer.isBroken = true;
  const authenticator = new Authenticator(policyOf(issuer.jwksUri));
  const authorization = `Bearer ${await sign({ groups: 'sre' })}`;
  await t.rejects(async () => authenticator.callerOf({ authorization, client: 'c' }), {
    code: 'AUTH_REQUIRED',
    message: /keys of its issuer|JWKS|JSON Web Key Set/,
  });
});

t.test('without a section jwt no JWT is accepted', async (t) => {
  const authenticator = new Authenticator(new Policy('identities: { a: {} }\n'));
  const authorization = `Bearer ${await sign({ sub: 'a' })}`;
  await t.rejects(async () => authenticator.callerOf({ authorization, client: 'c' }), { message: /no section jwt/ });
});

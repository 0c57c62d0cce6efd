// What a policy asks of a client certificate, and how a certificate is read: each name as a whole, whatever stands in it.
import { X509Certificate } from 'node:crypto';
import t from 'tap';
import { matchesPattern, parseCertificatePattern, readClientCertificate } from '../../src/access/client-certificate.ts';
import { PolicyError, readPolicy } from '../../src/access/policy-file.ts';
import { type CertificateOptions, TestAuthority } from '../../testbed/test-certificates.ts';

const authority = await TestAuthority.create();

async function issued(options: CertificateOptions) {
  return readClientCertificate(new X509Certificate((await authority.issue(options)).cert));
}

function matches(certificate: Awaited<ReturnType<typeof issued>>, text: string): boolean {
  const pattern = parseCertificatePattern(text);
  if (!pattern) throw new Error(`no pattern: ${text}`);
  return matchesPattern(certificate, pattern);
}

t.test('attributes of the subject are compared as a whole, and all that are named must fit', async (t) => {
  const ops = await issued({ subject: 'CN=ops, O=Example, OU=a, OU=b' });
  for (const text of ['CN=ops', 'CN=ops, O=Example', 'O=Example,CN=ops']) t.ok(matches(ops, text), text);
  for (const text of ['CN=op', 'CN=ops ', 'CN=OPS', 'cn=ops', 'CN=ops,O=Other', 'OU=a', 'L=x', 'DNS:ops', 'CN=*']) {
    t.notOk(matches(ops, text), text);
  }
});

t.test('an attribute that stands in a subject twice matches nothing', async (t) => {
  t.notOk(matches(await issued({ subject: 'CN=ops, CN=other' }), 'CN=ops'));
  t.notOk(matches(await issued({ subject: 'CN=other, CN=ops' }), 'CN=ops'));
});

t.test('alternative names are compared as a whole, host names in either case', async (t) => {
  const names = [
    { type: 'dns', value: 'Ops.example' },
    { type: 'url', value: 'spiffe://example/ns/ops' },
    { type: 'email', value: 'ops@example.org' },
    { type: 'ip', value: '10.0.0.1' },
    { type: 'dns', value: '*.wild.example' },
  ] as const;
  const certificate = await issued({ subject: 'CN=x', names: [...names] });
  for (const text of ['DNS:ops.example', 'URI:spiffe://example/ns/ops', 'email:ops@example.org', 'IP:10.0.0.1']) {
    t.ok(matches(certificate, text), text);
  }
  for (const text of ['DNS:example', 'URI:spiffe://example/ns', 'DNS:a.wild.example', 'DNS:10.0.0.1', 'IP:10.0.0.2']) {
    t.notOk(matches(certificate, text), text);
  }
});

t.test('a name that holds the text of another one is not that one', async (t) => {
  const hostile = await issued({
    subject: 'CN=evil\\, CN\\=ops',
    names: [
      { type: 'url', value: 'http://evil/, DNS:ops.example' },
      { type: 'dns', value: 'evil", DNS:ops.example, "' },
      { type: 'email', value: 'evil\nDNS:ops.example' },
    ],
  });
  for (const text of ['CN=ops', 'DNS:ops.example']) t.notOk(matches(hostile, text), text);
  t.ok(matches(hostile, 'CN=evil\\, CN=ops'), 'a comma in a value is written with a backslash');
  const lines = await issued({ subject: 'CN=evil\\0ACN\\=ops' });
  t.notOk(matches(lines, 'CN=ops'));
  t.notMatch(lines.label, /\n/);
});

t.test('the policy file takes patterns, and says which it cannot take', async (t) => {
  const good = `identities:\n  ops: { certs: [ "CN=ops", "CN=ops, O=Example", "URI:spiffe://example/ops" ] }\n`;
  t.same(readPolicy(good).identities.ops?.certs.length, 3);
  const cases: [yaml: string, message: RegExp][] = [
    ['  ops: { certs: [ "ops" ] }', /line 2: .*identities\.ops\.certs\.0.*CN=ops or/],
    ['  ops: { certs: [ "DNS:" ] }', /must be attributes of the subject/],
    ['  ops: { certs: [ "CN=a" ] }\n  other: { certs: [ "CN=a" ] }', /line 3: .*CN=a stands for ops already/],
    [`  ops: { certs: [ ${'"CN=a", '.repeat(21)} ] }`, /may be at most 20/],
  ];
  for (const [yaml, message] of cases) {
    t.throws(() => readPolicy(`identities:\n${yaml}\n`), PolicyError);
    t.throws(() => readPolicy(`identities:\n${yaml}\n`), { message });
  }
});

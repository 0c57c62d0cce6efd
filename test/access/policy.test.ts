// The policy file, and what it gives to whom.
import { createHash } from 'node:crypto';
import t from 'tap';
import { Policy } from '../../src/access/policy.ts';
import { missingText } from '../../src/access/rights.ts';
import { hasHash, newToken, tokenIdOf } from '../../src/access/tokens.ts';

const example = `
public: [docs]
identities:
  billing: { tokens: [ { id: 2026a, sha256: "${'0'.repeat(64)}", expires: 2027-03-01 } ] }
  ops: {}
  sre:     { jwt: { claim: groups, has: sre } }
  prometheus: {}
jwt: { issuer: "https://login.example", audience: weirkeeper, jwksUri: "https://login.example/jwks", nameClaim: sub }
allow:
  - who: billing
    nodes:  { "/app/billing/**": [read, write, delete], "/app/shared": [read] }
    topics: { "billing.*": [read, write, manage] }
    groups: { "billing.*": [use] }
  - who: "*"
    nodes:  { "/people/$identity/**": [read, write, delete] }
  - who: prometheus
    read: [metrics]
  - who: ops
    admin: true
`;

t.test('the policy of the documentation is valid, and says what it seems to say', async (t) => {
  const policy = new Policy(example);
  const billing = policy.rightsOf('billing');
  t.ok(billing.allows('write', { kind: 'nodes', name: '/app/billing/x' }));
  t.notOk(billing.allows('write', { kind: 'nodes', name: '/app/shared' }));
  t.ok(billing.allows('read', { kind: 'nodes', name: '/app/shared' }));
  t.ok(billing.allows('manage', { kind: 'topics', name: 'billing.orders' }));
  t.notOk(billing.allows('read', { kind: 'topics', name: 'orders' }));
  t.ok(billing.allows('write', { kind: 'nodes', name: '/people/billing/x' }));
  t.notOk(billing.allows('write', { kind: 'nodes', name: '/people/ops/x' }));
  t.ok(policy.rightsOf('ops').isAdmin);
  t.ok(policy.rightsOf('ops').allows('manage', { kind: 'topics', name: 'any' }));
  t.ok(policy.rightsOf('prometheus').reads('metrics'));
  t.notOk(billing.reads('metrics'));
  t.ok(billing.reads('docs'));
  t.ok(policy.anonymous.reads('docs'));
  t.notOk(policy.anonymous.allows('read', { kind: 'nodes', name: '/app/shared' }));
});

t.test('reserved nodes follow what they describe', async (t) => {
  const { rightsOf } = new Policy(example);
  const billing = rightsOf.call(new Policy(example), 'billing');
  const may = (name: string) => billing.allows('read', { kind: 'nodes', name });
  for (const path of [
    '/brokers',
    '/brokers/ids',
    '/brokers/ids/1',
    '/brokers/topics',
    '/controller',
    '/cluster/id',
    '/consumers',
  ]) {
    t.ok(may(path), path);
  }
  t.ok(may('/consumers/billing.g/offsets/orders/0'), 'use on the group is enough');
  t.notOk(may('/consumers/other'));
  t.ok(may('/brokers/topics/billing.x/partitions/0/state'));
  t.notOk(may('/brokers/topics/orders'));
  t.notOk(may('/config/topics/orders'));
  t.ok(may('/admin/delete_topics'));
  t.notOk(may('/admin/delete_topics/orders'));
  for (const path of [
    '/admin/consumer_instances',
    '/admin/consumer_instances/x',
    '/config/others',
    '/brokers/others/x',
  ])
    t.notOk(may(path), `${path} is for admins, as is whatever the service will keep there`);
  for (const verb of ['write', 'delete'] as const) {
    const changes = (name: string) => billing.allows(verb, { kind: 'nodes', name });
    t.ok(changes('/consumers/billing.g'), 'it gets RESERVED_PATH');
    t.notOk(changes('/consumers/other'), 'which would tell whether the group exists');
    t.notOk(billing.allowsSubtree(verb, '/consumers/other'));
  }
  t.notOk(billing.allowsSubtree('read', '/consumers'));
  t.ok(billing.allowsSubtree('read', '/consumers/billing.g'));
});

t.test('what is missing is named as the policy would say it', async (t) => {
  t.equal(missingText('billing', 'read', { kind: 'topics', name: 'orders' }), 'billing needs read on topic orders');
  t.equal(missingText('billing', 'read', { kind: 'nodes', name: '/consumers/g/ids' }), 'billing needs use on group g');
  t.equal(missingText('a', 'read', { kind: 'nodes', name: '/admin/x' }), 'a needs admin: true for node /admin/x');
});

t.test('errors name the line and the field', async (t) => {
  const problemsOf = (text: string) => {
    try {
      new Policy(text);
    } catch (error) {
      return (error as Error).message;
    }
    return '';
  };
  const cases: [string, RegExp][] = [
    ['allow:\n  - who: ops\n', /^line 2: allow\.0\.who: ops is not among the identities$/],
    [
      'identities:\n  ops: {}\nallow:\n  - who: ops\n    nodes:\n      "/a/*/b": [read]\n',
      /^line 6: allow\.0\.nodes\.\/a\/\*\/b: may have \*/,
    ],
    [
      'identities:\n  ops: {}\nallow:\n  - who: ops\n    nodes: { "/a": [use] }\n',
      /^line 5: .*must be one of read, write, delete\.$/,
    ],
    [
      'identities:\n  ops: { tokens: [ { id: a, sha256: xx } ] }\n',
      /^line 2: identities\.ops\.tokens\.0\.sha256: must be the SHA-256/,
    ],
    ['identities:\n  "..": {}\n', /line 2: .*must have 1 to 64 of the characters/],
    ['alow: []\n', /alow/],
    ['public: [docs\n', /^line \d+: /],
    ['identities:\n  a: { jwt: { claim: x, has: y } }\n', /^line 2: identities\.a\.jwt: needs a jwt section/],
    ['', /^line 1: the file is empty/],
    ['# nothing\n', /^line 1: the file is empty/],
    ['- 1\n', /must be|expected|object/],
  ];
  for (const [text, expected] of cases) t.match(problemsOf(text), expected, JSON.stringify(text));
});

t.test('all problems of a file are told at once', async (t) => {
  t.throws(() => new Policy('allow:\n  - who: a\n  - who: b\n'), { message: /who: a .*\n.*who: b / });
});

t.test('token ids are unique in the file', async (t) => {
  const token = `{ id: x, sha256: "${'0'.repeat(64)}" }`;
  const text = `identities:\n  a: { tokens: [ ${token} ] }\n  b: { tokens: [ ${token} ] }\n`;
  t.throws(() => new Policy(text), { message: /line 3: .* x is the id of a token of a already/ });
});

t.test('a token is found by its id and its hash', async (t) => {
  const { token, id, sha256 } = newToken('2026a');
  t.match(token, /^weir_2026a_[\w-]{43}$/);
  t.equal(tokenIdOf(token), id);
  t.equal(sha256, createHash('sha256').update(token).digest('hex'));
  t.ok(hasHash(token, Buffer.from(sha256, 'hex')));
  const policy = new Policy(`identities:\n  a: { tokens: [ { id: 2026a, sha256: "${sha256}" } ] }\n`);
  t.match(policy.tokenOf(token), { identity: 'a', id: '2026a' });
  for (const bad of [
    '',
    'weir_2026a_',
    token.slice(0, -1),
    `${token.slice(0, -1)}~`,
    newToken('2026a').token,
    newToken('b').token,
  ]) {
    t.equal(policy.tokenOf(bad), undefined, bad);
  }
});

t.test('ids of digits are ids', async (t) => {
  const { token, sha256 } = newToken('2026');
  t.match(new Policy(`identities:\n  a: { tokens: [ { id: 2026, sha256: "${sha256}" } ] }\n`).tokenOf(token), {
    id: '2026',
  });
});

t.test('a user is who its claims say, and never who has other credentials', async (t) => {
  const policy = new Policy(example);
  t.same(policy.identitiesOfUser({ sub: 'ann' }), ['ann']);
  t.same(policy.identitiesOfUser({ sub: 'ann', groups: ['dev', 'sre'] }), ['sre']);
  t.same(policy.identitiesOfUser({ sub: 'ann', groups: 'sre' }), ['sre']);
  for (const sub of ['billing', 'a/b', '..', '', 7, undefined])
    t.same(policy.identitiesOfUser({ sub }), [], String(sub));
});

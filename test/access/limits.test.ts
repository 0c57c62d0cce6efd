// The limits in a policy: how they are written, what is refused, and which of several counts.
import t from 'tap';
import { Accounts } from '../../src/access/accounts.ts';
import { Policy } from '../../src/access/policy.ts';

function policyOf(...rules: string[]): Policy {
  return new Policy(`identities: { a: {}, b: {} }\nallow:\n${rules.map((rule) => `  - ${rule}`).join('\n')}\n`);
}

t.test('limits are written with units', async (t) => {
  const policy = policyOf(
    '{ who: a, limits: { requests: 2k/s, bytes: 20MiB/s, inFlight: 100, sockets: 0, watches: 3M } }',
  );
  t.same(policy.limitsOf('a'), {
    requests: 2000,
    bytes: 20 * 1024 ** 2,
    inFlight: 100,
    sockets: 0,
    watches: 3_000_000,
  });
  t.equal(policy.limitsOf('b'), undefined);
});

t.test('what is no limit is refused with its line and field', async (t) => {
  for (const [limits, text] of [
    ['requests: 500', 'line 3: allow.0.limits.requests: must be a number of requests a second, such as 500/s'],
    ['requests: 0/s', 'must be a number of requests a second'],
    ['bytes: 1KiB/s', 'must be a size a second of at least 16KiB/s'],
    ['bytes: 20MiB', 'must be a size a second'],
    ['inFlight: 0', 'must be a whole number of at least 1'],
    ['sockets: -1', 'must be a whole number of at least 0'],
    ['watches: 1.5', 'must be a whole number'],
    ['watches: many', 'must be a whole number'],
    ['sockets: 9999999999999', 'must be a whole number'],
    ['speed: 1', 'speed'],
  ]) {
    t.throws(
      () => policyOf(`{ who: a, limits: { ${limits} } }`),
      { message: new RegExp(String(text).replaceAll('.', '\\.')) },
      String(limits),
    );
  }
  t.throws(() => policyOf('{ who: a, admin: true, limits: { sockets: 1 } }'), {
    message: /line 3: allow\.0\.limits: an admin has no limits/,
  });
});

t.test('of several rules the largest of each limit counts, and an admin has none', async (t) => {
  const policy = policyOf(
    '{ who: a, limits: { requests: 10/s, sockets: 7 } }',
    '{ who: "*", limits: { requests: 20/s, watches: 3 } }',
    '{ who: a, limits: { sockets: 5 } }',
    '{ who: b, admin: true }',
  );
  t.same(policy.limitsOf('a'), { requests: 20, sockets: 7, watches: 3 });
  t.equal(policy.limitsOf('b'), undefined);
});

t.test('each of several workers has an equal part, and at least one of what is counted', async (t) => {
  const account = new Accounts(4).open('identity a', 'a', {
    requests: 2,
    bytes: 1e6,
    inFlight: 10,
    sockets: 2,
    watches: 0,
  });
  t.equal(account?.inFlightMax, 2);
  t.match(account?.usage(), {
    requests: { limit: 0.5 },
    bytes: { limit: 250_000 },
    sockets: { limit: 1 },
    watches: { limit: 0 },
  });
  account?.hold('sockets');
  t.throws(() => account?.hold('sockets'), {
    message: /a may have 2 open sockets.*, 1 of them with this worker, and has 1/,
  });
  t.throws(() => account?.hold('watches'), { code: 'TOO_MANY_REQUESTS' });
});

t.test('accounts without use are forgotten, and those with something open are kept', async (t) => {
  const accounts = new Accounts(1);
  const limits = { requests: 1e9, sockets: 5 };
  for (let n = 0; n < 25_000; n += 1) {
    const account = accounts.open(`identity ${n}`, `${n}`, limits);
    if (n % 1000 === 0) account?.hold('sockets');
  }
  const left = [...accounts.all];
  t.ok(left.length <= 20_000, `${left.length} are left`);
  t.equal(left.filter((account) => account.usage().sockets?.used === 1).length, 25);
});

t.test('limits that are taken away no longer bind what is open', async (t) => {
  const accounts = new Accounts(1);
  const account = accounts.open('identity a', 'a', { requests: 1 });
  account?.useRequests(5);
  t.ok(account?.overdrawn());
  t.equal(accounts.open('identity a', 'a', undefined), undefined);
  t.equal(account?.overdrawn(), undefined);
});

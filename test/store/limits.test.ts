// The limits of one transaction, which blocks Redis while it runs.

import { pino } from 'pino';
import t from 'tap';
import { unrestricted } from '../../src/core/actor.ts';
import { hasCode } from '../../src/core/service-error.ts';
import { redisCommand } from '../../src/embedded-redis/redis-command.ts';
import { coordinationKeys } from '../../src/store/keys.ts';
import { ConcurrencyLimiter } from '../../src/store/redis/concurrency-limiter.ts';
import { Store } from '../../src/store/store.ts';
import type { Op } from '../../src/store/tree/namespace.ts';
import { brokerCredential } from '../../src/store/tree/sessions.ts';
import { startTestRedis } from '../helpers/redis.ts';
import { testConfig } from '../helpers/server.ts';

const { socketPath } = await startTestRedis(t);
const store = new Store({ ...testConfig, target: { socketPath } }, pino({ level: 'silent' }));
await store.open();
t.teardown(() => store.close());
const { namespace } = store;
const nodesMax = 8000;
/** A name of the maximum length. */
const longName = (i: number) => `${String(i).padStart(4, '0')}${'x'.repeat(2300)}`;
const bytesMax = 4 * 1024 * 1024;

t.test(
  'a session has at most 8,000 ephemeral nodes, however they are created, and their deletion is one transaction',
  async (t) => {
    await namespace.write([{ op: 'create', path: '/owned' }]);
    const session = brokerCredential((await store.sessions.create(600_000, unrestricted)).id);
    const ephemeral = (name: string): Op => ({ op: 'create', path: `/owned/${name}`, mode: 'ephemeral', session });
    const some = (from: number, count: number) => Array.from({ length: count }, (_, i) => ephemeral(`n${from + i}`));
    for (let from = 0; from < nodesMax - 1000; from += 1000) await namespace.write(some(from, 1000));
    await t.rejects(namespace.write(some(nodesMax, 1001)), {
      code: 'TOO_LARGE',
      fields: { failed: 1000, maxNodes: nodesMax },
    });
    t.match(
      await namespace.stat('/owned'),
      { stat: { numChildren: nodesMax - 1000 } },
      'a refused create changes nothing',
    );
    await namespace.write(some(nodesMax, 999));
    const last = await Promise.allSettled([namespace.write([ephemeral('x')]), namespace.write([ephemeral('y')])]);
    t.match(last, [{ status: 'fulfilled' }, { status: 'rejected', reason: { code: 'TOO_LARGE' } }]);
    await namespace.write([{ op: 'delete', path: '/owned/x' }, ephemeral('y')]);
    t.equal((await store.sessions.get(session)).ephemerals.length, nodesMax);
    const before = await store.events.newestZxid();
    t.match(await store.sessions.end(session), { ephemerals: nodesMax, zxid: before + 1 });
    t.match(await namespace.stat('/owned'), { stat: { numChildren: 0 } });
  },
);

t.test('what 64 clients write or read at once is one call of the store', async (t) => {
  const calls: string[] = [];
  store.connection.onCall((name) => calls.push(name));
  t.teardown(() => store.connection.onCall(() => {}));
  const paths = Array.from({ length: 64 }, (_, n) => `/once-${n}`);
  const data = 'x'.repeat(1000);
  const origin = { isDead: false };
  const callsOf = async (request: (path: string) => Promise<unknown>) => {
    calls.length = 0;
    await Promise.all(paths.map(request));
    return calls.filter((name) => name.startsWith('nodes/'));
  };
  t.same(await callsOf((path) => namespace.writeOne({ op: 'create', path, data })), ['nodes/write']);
  t.same(await callsOf((path) => namespace.writeOne({ op: 'set', path, data }, { origin })), ['nodes/write']);
  t.same(await callsOf((path) => namespace.get(path)), ['nodes/get']);
  // Their sizes are known now (node-sizes.ts).
  t.same(await callsOf((path) => namespace.get(path, { origin })), ['nodes/get']);
  t.same(await callsOf((path) => namespace.writeOne({ op: 'delete', path })), ['nodes/delete']);
});

t.test(
  'recursive deletes wait for each other in the broker, and one that waits too long is refused before it is sent',
  async (t) => {
    const limiter = new ConcurrencyLimiter('things', 2, 20);
    const ends: (() => void)[] = [];
    const started: number[] = [];
    const ask = (n: number) =>
      limiter.run(() => {
        started.push(n);
        return new Promise<number>((resolve) => ends.push(() => resolve(n)));
      });
    const first = [ask(1), ask(2)];
    const third = ask(3);
    const late = await third.catch((error: unknown) => error);
    t.ok(hasCode(late, 'TOO_MANY_REQUESTS'), 'the third waits for too long');
    t.match((late as Error).message, /was not started/);
    t.same(started, [1, 2]);
    const fourth = ask(4);
    ends[0]!();
    t.equal(await first[0], 1);
    ends[1]!();
    await first[1];
    ends[2]!();
    t.equal(await fourth, 4, 'the next delete starts when one has ended');
    const failing = limiter.run(async () => {
      throw new Error('lost');
    });
    await t.rejects(failing, /lost/);
    const after = [ask(5), ask(6)];
    t.same(started, [1, 2, 4, 5, 6], 'a delete that fails also releases its place');
    for (const end of ends.slice(3)) end();
    await Promise.all(after);
  },
);

t.test('simultaneous recursive deletes all succeed', async (t) => {
  await namespace.write([{ op: 'create', path: '/many' }]);
  for (let i = 0; i < 5; i++) {
    await namespace.write([
      { op: 'create', path: `/many/${i}/a`, parents: true } as Op,
      { op: 'create', path: `/many/${i}/b` },
    ]);
  }
  const deletes = Array.from({ length: 5 }, (_, i) =>
    namespace.writeOne({ op: 'delete-recursive', path: `/many/${i}` }),
  );
  t.equal(new Set((await Promise.all(deletes)).map(({ zxid }) => zxid)).size, 5, 'each is a transaction');
  t.same(await namespace.allChildren('/many'), []);
});

t.test(
  'paths and events of ephemeral nodes are bounded by their bytes, so that a session ends in one transaction',
  async (t) => {
    await namespace.write([{ op: 'create', path: '/heavy' }]);
    const session = brokerCredential((await store.sessions.create(600_000, unrestricted)).id);
    const ephemeral = (i: number): Op => ({ op: 'create', path: `/heavy/${longName(i)}`, mode: 'ephemeral', session });
    const weight = 2 * `/heavy/${longName(0)}`.length + 96;
    const most = Math.floor(bytesMax / weight);
    for (let from = 0; from < most; from += 300) {
      await namespace.write(Array.from({ length: Math.min(300, most - from) }, (_, i) => ephemeral(from + i)));
    }
    const refused = {
      code: 'TOO_LARGE',
      fields: { bytes: most * weight, maxBytes: bytesMax },
      message: /shorter names/,
    };
    await t.rejects(namespace.writeOne(ephemeral(most)), refused);
    await namespace.writeOne({ op: 'delete', path: `/heavy/${longName(0)}` });
    await namespace.writeOne(ephemeral(most));
    await t.rejects(namespace.writeOne(ephemeral(0)), refused, 'a deleted node frees its bytes');
    // Nodes from a version without this counter: their bytes are counted once.
    const { ephemeralBytes } = coordinationKeys('weir');
    await redisCommand(socketPath, ['HDEL', ephemeralBytes, session.id]);
    await t.rejects(namespace.writeOne(ephemeral(0)), refused);
    const before = await store.events.newestZxid();
    t.match(await store.sessions.end(session), { ephemerals: most, zxid: before + 1 });
    t.equal(await redisCommand(socketPath, ['HLEN', ephemeralBytes]), 0, 'no count of bytes is left');
  },
);

t.test('a recursive delete over a limit is refused with the number of nodes, and nothing is deleted', async (t) => {
  const refusals: [what: string, count: number, name: (i: number) => string, fields: object][] = [
    ['8,000 names of 2,300 characters', 8000, longName, { maxBytes: bytesMax }],
    ['8,001 nodes', nodesMax, (i) => `n${i}`, { maxNodes: nodesMax }],
  ];
  for (const [what, count, name, fields] of refusals) {
    await namespace.write([{ op: 'create', path: '/wide' }]);
    for (let from = 0; from < count; from += 400) {
      const some = Array.from({ length: Math.min(400, count - from) }, (_, i) => name(from + i));
      await namespace.write(some.map((each): Op => ({ op: 'create', path: `/wide/${each}` })));
    }
    const error = await namespace.writeOne({ op: 'delete-recursive', path: '/wide' }).catch((error: unknown) => error);
    t.match(error, { code: 'TOO_LARGE', fields, message: /Nothing was deleted.*first, in pages/ }, what);
    t.equal((await namespace.stat('/wide')).stat.numChildren, count);
    // The remedy that the error names.
    let pages = 0;
    for (; ; pages++) {
      const { children } = await namespace.children('/wide', { limit: 1000 });
      if (children.length === 0) break;
      for (let i = 0; i < children.length; i += 500) {
        const some = children.slice(i, i + 500);
        await namespace.write(some.map((child): Op => ({ op: 'delete', path: `/wide/${child.name}` })));
      }
    }
    t.ok(pages >= count / 1000, `${pages} pages`);
    await namespace.writeOne({ op: 'delete', path: '/wide' });
  }
});

t.test('a transaction over the limit of operations or bytes is refused before it is sent', async (t) => {
  const before = await store.events.newestZxid();
  const many = (count: number, make: (i: number) => Op) => Array.from({ length: count }, (_, i) => make(i));
  const large = 'x'.repeat(100_000);
  const refused: [what: string, operations: Op[], fields: object, message: RegExp][] = [
    [
      'writes',
      many(4001, (i) => ({ op: 'create', path: `/w${i}` })),
      { operations: 4001, maxWrites: 4000 },
      /4001 operations that write and 0 checks/,
    ],
    [
      'checks',
      many(10_001, () => ({ op: 'check', path: '/' })),
      { operations: 10_001 },
      /0 operations that write and 10001 checks/,
    ],
    [
      'both',
      [
        ...many(3000, (i): Op => ({ op: 'set', path: `/w${i}`, data: '' })),
        ...many(2501, (): Op => ({ op: 'check', path: '/' })),
      ],
      { operations: 5501 },
      /3000 .* 2501/,
    ],
    [
      'data',
      many(50, (i) => ({ op: 'create', path: `/w${i}`, data: large })),
      { maxBytes: bytesMax },
      /limit is 4194304/,
    ],
    [
      'data of a thousand nodes',
      many(1000, (i) => ({ op: 'create', path: `/w${i}`, data: large.slice(0, 15_000) })),
      { maxBytes: bytesMax },
      /bytes of paths, data/,
    ],
    [
      'paths',
      many(1000, (i) => ({ op: 'delete', path: `/${longName(i)}` })),
      { maxBytes: bytesMax },
      /limit is 4194304/,
    ],
    [
      'paths of creates',
      many(1000, (i) => ({ op: 'create', path: `/${longName(i)}` })),
      { maxBytes: bytesMax },
      /limit is 4194304/,
    ],
  ];
  for (const [what, operations, fields, message] of refused) {
    await t.rejects(namespace.write(operations), { code: 'TOO_LARGE', fields, message }, what);
  }
  t.equal(await store.events.newestZxid(), before, 'nothing was changed');
  await namespace.write(many(10_000, () => ({ op: 'check', path: '/' })));
  await namespace.write([
    { op: 'create', path: '/bounded' },
    ...many(3999, (i): Op => ({ op: 'create', path: `/bounded/${i}` })),
  ]);
  await namespace.write([
    ...many(2000, (i): Op => ({ op: 'delete', path: `/bounded/${i}` })),
    ...many(5000, (): Op => ({ op: 'check', path: '/' })),
  ]);
  await namespace.writeOne({ op: 'delete-recursive', path: '/bounded' });
  await namespace.writeOne({ op: 'create', path: '/largest', data: 'x'.repeat(testConfig.maxNodeBytes) });
});

t.test('many large nodes read at once come in several replies, each with its own data', async (t) => {
  const data = (i: number) => Buffer.alloc(700_000, i);
  for (let i = 0; i < 20; i++) await namespace.writeOne({ op: 'create', path: `/large-${i}`, data: data(i) });
  const reads = await Promise.all(Array.from({ length: 20 }, (_, i) => namespace.get(`/large-${i}`)));
  t.ok(reads.every((read, i) => read.data.equals(data(i))));
});

t.test('pages of children and trees end early if the names are long, and report that', async (t) => {
  await namespace.write([{ op: 'create', path: '/paged' }]);
  for (let from = 0; from < 1500; from += 300) {
    await namespace.write(
      Array.from({ length: 300 }, (_, i): Op => ({ op: 'create', path: `/paged/${longName(from + i)}` })),
    );
  }
  for (const stats of [false, true]) {
    const names: string[] = [];
    let pages = 0;
    for (let after: string | undefined; ; pages++) {
      const page = await namespace.children('/paged', { after, limit: 10_000, stats });
      names.push(...page.children.map(({ name }) => name));
      after = page.next;
      if (after === undefined) break;
    }
    t.same(
      names,
      Array.from({ length: 1500 }, (_, i) => longName(i)),
    );
    t.ok(pages > 0, 'the tree comes in several pages');
  }
  const { tree, truncated } = await namespace.tree('/paged', { depth: 5, limit: 10_000 });
  t.equal(truncated, true);
  t.ok(tree.children!.length > 100 && tree.children!.length < 1500);
});

t.test('a limiter admits tasks by weight and in order, and runs a task over the limit alone', async (t) => {
  const limiter = new ConcurrencyLimiter('things', 10, 60_000);
  const ends = new Map<string, () => void>();
  const ask = (name: string, weight: number) =>
    limiter.run(() => new Promise<void>((resolve) => ends.set(name, resolve)), weight);
  const tasks = [ask('a', 4), ask('b', 4), ask('too heavy', 50), ask('light', 1)];
  t.same([...ends.keys()], ['a', 'b'], 'the light one does not overtake the heavy one');
  t.match({ inFlight: limiter.inFlight, waiting: limiter.waiting }, { inFlight: 2, waiting: 2 });
  ends.get('a')!();
  await tasks[0];
  t.equal(ends.size, 2, 'there is not enough free weight yet');
  ends.get('b')!();
  await tasks[1];
  t.same([...ends.keys()].slice(2), ['too heavy']);
  ends.get('too heavy')!();
  await tasks[2];
  ends.get('light')!();
  await Promise.all(tasks);
  t.match({ inFlight: limiter.inFlight, waiting: limiter.waiting }, { inFlight: 0, waiting: 0 });
});

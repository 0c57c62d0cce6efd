// The largest calls of the scripts of nodes and sessions.
import { unrestricted } from '../../src/core/actor.ts';
import type { Namespace, Op } from '../../src/store/tree/namespace.ts';
import { brokerCredential, type SessionCredential } from '../../src/store/tree/sessions.ts';
import { range, type ScriptCase, type ScriptSite } from './site.ts';

const most = 10_000;
const writes = 4000;
const nodes = 8000;
const transactionBytes = 4 * 1024 * 1024;
/** Names that are so long that a thousand of them fill an event. */
const longName = (i: number) => `${String(i).padStart(6, '0')}${'x'.repeat(2000)}`;

/** Names with the same hash in Lua: it skips some letters of a long string, and the names differ only in those. */
const unseen = [0, 4, 6, 10, 12, 16, 18, 22, 24, 28, 30, 34, 36, 40];
const alike = (i: number) => {
  const letters = Array.from('-'.repeat(60));
  for (const [bit, at] of unseen.entries()) if ((i >> bit) & 1) letters[at] = 'x';
  return letters.join('');
};

export function treeCases({ store }: ScriptSite): ScriptCase[] {
  const { namespace, sessions } = store;
  const write = async (operations: Op[], atOnce = 1000) => {
    for (let i = 0; i < operations.length; i += atOnce) await namespace.write(operations.slice(i, i + atOnce));
  };
  let made = 0;
  /** The parent of the nodes of the case; each round has a new one. */
  const m = () => `/m${made}`;
  const fresh = async () => {
    made += 1;
    await namespace.write([{ op: 'create', path: m() }]);
  };
  const filled = async (count: number, name = (i: number) => `n${i}`, kind: object = {}) => {
    await fresh();
    await write(
      range(count, (i): Op => ({ op: 'create', path: `${m()}/${name(i)}`, ...kind })),
      400,
    );
  };
  const owner = async (): Promise<SessionCredential> =>
    brokerCredential((await sessions.create(600_000, unrestricted)).id);
  let session: SessionCredential = brokerCredential('');
  const ephemerals = async (count: number, name?: (i: number) => string) => {
    session = await owner();
    await filled(count, name, { mode: 'ephemeral', session });
  };
  let epoch = 0;
  const origin = { isDead: false };
  /** So many that the results of the first ones are dropped. */
  const sets = (options: (i: number) => Parameters<Namespace['write']>[1]) =>
    Promise.all(range(640, (i) => namespace.write([{ op: 'set', path: `${m()}/n${i % 64}`, data: 'x' }], options(i))));
  let long = '';
  const some = 2 * Math.floor(transactionBytes / 2 / (2 * 16_384 + 150) / 2);
  const multi = (count: number, make: (i: number) => Op) => () => namespace.write(range(count, make));
  const large = 'x'.repeat(16_384);
  return [
    {
      what: '4,000 sequential creates',
      scripts: ['nodes/write'],
      prepare: () => fresh(),
      run: multi(writes, () => ({ op: 'create', path: `${m()}/n-`, sequential: true })),
    },
    {
      what: '4,000 creates below 4,000 parents',
      scripts: ['nodes/write'],
      prepare: async () => {
        await filled(5000);
      },
      run: multi(writes, (i) => ({ op: 'create', path: `${m()}/n${i}/below` })),
    },
    {
      what: '4,000 sets',
      scripts: ['nodes/write'],
      prepare: () => filled(most),
      run: multi(writes, (i) => ({ op: 'set', path: `${m()}/n${i}`, data: 'x' })),
    },
    {
      what: '10,000 checks',
      scripts: ['nodes/write'],
      run: multi(most, (i) => ({ op: 'check', path: `${m()}/n${i}`, exists: true })),
    },
    {
      what: '4,000 deletes',
      scripts: ['nodes/delete'],
      prepare: () => filled(most),
      run: multi(writes, (i) => ({ op: 'delete', path: `${m()}/n${i}` })),
    },
    {
      what: '4 MiB in creates of 16 KiB',
      scripts: ['nodes/write'],
      prepare: () => fresh(),
      run: multi(some, (i) => ({ op: 'create', path: `${m()}/n${i}`, data: large })),
    },
    {
      what: '4 MiB in 450 creates with the longest paths',
      scripts: ['nodes/write'],
      prepare: () => fresh(),
      run: multi(450, (i) => ({
        op: 'create',
        path: `${m()}/${String(i).padStart(2000, '0')}/${'x'.repeat(2300)}`,
        parents: true,
      })),
    },
    {
      what: '64 requests of 1 KiB at once',
      scripts: ['nodes/write'],
      prepare: () => fresh(),
      run: () =>
        Promise.all(
          range(640, (i) => namespace.write([{ op: 'create', path: `${m()}/n${i}`, data: large.slice(0, 1024) }])),
        ),
    },
    {
      what: '64 sets at once',
      scripts: ['nodes/write'],
      prepare: () => filled(64),
      run: () => sets(() => ({})),
    },
    {
      what: '64 sets at once, with a sequence',
      scripts: ['nodes/write'],
      prepare: async () => {
        await filled(64);
        session = await owner();
        ({ epoch } = await sessions.attach(session));
      },
      run: () => sets((i) => ({ origin, sequence: { sessionId: session.id, epoch, seq: i + 1 } })),
    },
    {
      what: 'multis of 60 creates of 16 KiB at once',
      scripts: ['nodes/write'],
      prepare: () => fresh(),
      run: () =>
        Promise.all(
          range(4, (j) =>
            namespace.write(range(60, (i): Op => ({ op: 'create', path: `${m()}/n${j}-${i}`, data: large }))),
          ),
        ),
    },
    {
      what: 'a recursive delete of 8,000 nodes',
      scripts: ['nodes/delete'],
      prepare: () => filled(nodes - 1),
      run: () => namespace.write([{ op: 'delete-recursive', path: m() }]),
    },
    {
      what: 'a recursive delete of 5,000 names that differ in few letters',
      scripts: ['nodes/delete'],
      prepare: () => filled(5000, alike),
      run: () => namespace.write([{ op: 'delete-recursive', path: m() }]),
    },
    {
      what: 'a recursive delete of 1,000 nodes with names of 2,000 characters',
      scripts: ['nodes/delete'],
      prepare: () => filled(1000, longName),
      run: () => namespace.write([{ op: 'delete-recursive', path: m() }]),
    },
    {
      what: 'a recursive delete that is refused: too many bytes',
      scripts: ['nodes/delete'],
      prepare: async () => {
        if (long !== '') return;
        await filled(8000, longName);
        long = m();
      },
      run: () => namespace.write([{ op: 'delete-recursive', path: long }]).catch(() => undefined),
    },
    {
      what: 'a page of children with long names, limit 10,000',
      scripts: ['nodes/children'],
      run: () => namespace.children(long, { limit: most }),
    },
    {
      what: 'the tree view of long names, limit 10,000',
      scripts: ['nodes/tree'],
      run: () => namespace.tree(long, { depth: 10, limit: most }),
    },
    {
      what: 'a page of 10,000 children with stats',
      scripts: ['nodes/children'],
      prepare: async () => {
        if ((await namespace.stat(m())).stat.numChildren !== most) await filled(most);
      },
      run: () => namespace.children(m(), { limit: most, stats: true }),
    },
    {
      what: 'the tree view of 10,000 nodes',
      scripts: ['nodes/tree'],
      run: () => namespace.tree(m(), { depth: 10, limit: most }),
    },
    {
      what: '64 reads of nodes of 1 MiB at once',
      scripts: ['nodes/get'],
      prepare: async () => {
        if (await namespace.stat('/big').catch(() => undefined)) return;
        await namespace.write([{ op: 'create', path: '/big' }]);
        for (let i = 0; i < 64; i++) {
          await namespace.write([{ op: 'create', path: `/big/${i}`, data: Buffer.alloc(2 ** 20) }]);
        }
      },
      run: () => Promise.all(range(64, (i) => namespace.get(`/big/${i}`))),
    },
    {
      what: 'the end of a session with 8,000 ephemeral nodes',
      scripts: ['sessions/end'],
      prepare: () => ephemerals(nodes),
      run: () => sessions.end(session),
    },
    {
      what: 'the end of a session with 1,000 ephemeral nodes of long names',
      scripts: ['sessions/end'],
      prepare: () => ephemerals(1000, longName),
      run: () => sessions.end(session),
    },
    {
      what: 'one more ephemeral node, and the description of a session with 8,000',
      scripts: ['nodes/write', 'sessions/get'],
      prepare: () => ephemerals(nodes - 1),
      run: async () => {
        await namespace.write([{ op: 'create', path: `${m()}/more`, mode: 'ephemeral', session }]);
        await sessions.get(session);
      },
    },
    {
      what: '200 sessions of 50 ephemeral nodes each that end together',
      scripts: ['sessions/reap'],
      prepare: async () => {
        await fresh();
        for (let i = 0; i < 200; i++) {
          const one: SessionCredential = brokerCredential((await sessions.create(1000, unrestricted)).id);
          await namespace.write(
            range(50, (j): Op => ({ op: 'create', path: `${m()}/n${i}-${j}`, mode: 'ephemeral', session: one })),
          );
        }
      },
      run: async () => {
        while ((await namespace.stat(m())).stat.numChildren > 0) await new Promise((go) => setTimeout(go, 100));
      },
    },
    {
      what: '1,000 containers and TTL nodes that are due',
      scripts: ['nodes/expire'],
      prepare: () => filled(1000, undefined, { mode: 'ttl', ttlMs: 1 }),
      run: async () => {
        while ((await namespace.stat(m())).stat.numChildren > 0) await new Promise((go) => setTimeout(go, 100));
      },
    },
    {
      what: 'a page of 200 transactions of the history',
      scripts: ['nodes/history'],
      run: () => store.events.range('main', 0, Number.MAX_SAFE_INTEGER, 200),
    },
  ];
}

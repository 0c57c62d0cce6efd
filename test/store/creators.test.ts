// What counts against creators is what the tree has of them, after any operations; and without creators nothing is read or written for them.
import { pino } from 'pino';
import t from 'tap';
import { unrestricted } from '../../src/core/actor.ts';
import { ServiceError } from '../../src/core/service-error.ts';
import { coordinationKeys } from '../../src/store/keys.ts';
import { Store } from '../../src/store/store.ts';
import type { Op } from '../../src/store/tree/namespace.ts';
import { brokerCredential } from '../../src/store/tree/sessions.ts';
import { chooseSeed, randomOf } from '../helpers/random.ts';
import { startTestRedis } from '../helpers/redis.ts';
import { testConfig } from '../helpers/server.ts';

async function openStore(t: Parameters<typeof startTestRedis>[0]) {
  const { socketPath } = await startTestRedis(t);
  const store = new Store({ ...testConfig, target: { socketPath } }, pino({ level: 'silent' }));
  await store.open();
  t.teardown(() => store.close());
  return store;
}

const keys = coordinationKeys(testConfig.prefix);

t.test('without limits on what is stored there are no creators', async (t) => {
  const store = await openStore(t);
  await store.namespace.writeOne({ op: 'create', path: '/a', data: 'x' });
  await store.namespace.writeOne({ op: 'set', path: '/a', data: 'y' });
  await store.namespace.writeOne({ op: 'delete', path: '/a' });
  const left = await store.connection.command(false, (client) => client.keys('*creator*'), keys.root);
  t.same(left, []);
  t.equal(await store.connection.command(false, (client) => client.hget(keys.root, 'creators'), keys.root), null);
  t.equal(await store.creators.find('a'), undefined);
});

t.test('after random operations the counts are those of the nodes that are there', async (t) => {
  const store = await openStore(t);
  const { namespace, sessions } = store;
  const seed = chooseSeed();
  t.comment(`WEIR_TEST_SEED=${seed}`);
  const { next: random, pick } = randomOf(seed);
  const names = ['a', 'b', 'c', undefined];
  const limits = { nodes: 4, storedBytes: 600 };
  let session = brokerCredential((await sessions.create(60_000, unrestricted)).id);
  const path = () =>
    `/${pick(['x', 'y'])}${random() < 0.6 ? `/${pick(['p', 'q', 'r'])}${random() < 0.5 ? `/${pick(['1', '2'])}` : ''}` : ''}`;
  const data = () => 'd'.repeat(Math.floor(random() * 300));
  const op = (): Op => {
    const kind = random();
    if (kind < 0.45) {
      const isEphemeral = random() < 0.2;
      return {
        op: pick(['create', 'put'] as const),
        path: path(),
        data: data(),
        parents: random() < 0.5,
        ...(isEphemeral && { mode: 'ephemeral' as const, session }),
      };
    }
    if (kind < 0.7) return { op: 'set', path: path(), data: data() };
    return { op: 'delete', path: path() };
  };
  let refused = 0;
  for (let round = 0; round < 600; round += 1) {
    const name = pick(names);
    const ops: Op[] =
      random() < 0.05 ? [{ op: 'delete-recursive', path: path() }] : Array.from({ length: pick([1, 1, 2, 4]) }, op);
    const written = namespace.write(ops, { creator: name === undefined ? undefined : { name, limits } });
    await written.catch((error: unknown) => {
      if (!(error instanceof ServiceError)) throw error;
      if (error.code === 'QUOTA_EXCEEDED') refused += 1;
    });
    if (random() < 0.01) {
      await sessions.end(session);
      session = brokerCredential((await sessions.create(60_000, unrestricted)).id);
    }
    if (round % 50 === 49) t.same(await countsOf(store), await countedIn(store), `after ${round + 1} operations`);
  }
  t.ok(refused > 0, `${refused} were refused for a limit`);
  for (const { nodes, bytes } of (await countsOf(store)).values()) {
    t.ok(nodes <= limits.nodes);
    t.ok(bytes <= limits.storedBytes);
  }
});

type Counts = Map<string, { nodes: number; bytes: number }>;

/** What the store says. */
async function countsOf({ creators }: Store): Promise<Counts> {
  const counts: Counts = new Map();
  for await (const { name, nodes, bytes } of creators.all()) if (nodes > 0) counts.set(name, { nodes, bytes });
  return new Map([...counts].sort());
}

/** What the nodes say. */
async function countedIn({ connection }: Store): Promise<Counts> {
  const read = <T>(command: Parameters<typeof connection.command<T>>[1]) =>
    connection.command(false, command, keys.root);
  const names = new Map<string, string>();
  for (const [name, number] of Object.entries(await read((client) => client.hgetall(keys.creators))))
    names.set(number, name);
  const counts: Counts = new Map();
  for (const key of await read((client) => client.keys(keys.node('/*').replaceAll(/[{}]/g, '\\$&')))) {
    const [number, data] = await read((client) => client.hmget(key, 'creator', 'data'));
    if (number == null) continue;
    const name = names.get(number) ?? 'unknown';
    const { nodes, bytes } = counts.get(name) ?? { nodes: 0, bytes: 0 };
    counts.set(name, { nodes: nodes + 1, bytes: bytes + key.length - keys.node('').length + (data ?? '').length });
  }
  return new Map([...counts].sort());
}

// Through a network that cuts, delays, duplicates and reorders: nothing is lost, nothing happens twice, and no lock is held twice.
import t from 'tap';
import { chooseSeed, randomOf } from '../../../test/helpers/random.ts';
import { startTestServer } from '../../../test/helpers/server.ts';
import type { Tree } from '../../src/index.ts';
import { lock } from '../../src/recipes/index.ts';
import { startClient, take } from '../client.ts';
import { startHostileNetwork } from './hostile-network.ts';

const seconds = Number(process.env.WEIR_CLIENT_SECONDS ?? 10);
const seed = chooseSeed();
t.comment(`WEIR_TEST_SEED=${seed}`);
const random = randomOf(seed).next;
const server = await startTestServer(t);

for (const [link, options] of [
  ['the socket', {}],
  ['HTTP', { webSocket: null }],
] as const) {
  t.test(`every node is created once, over ${link}`, async (t) => {
    const network = await startHostileNetwork(t, server.url, random);
    const { tree } = startClient(t, network.url, { ...options, retry: { for: '60s', minDelay: 5, maxDelay: 100 } });
    const parent = link === 'HTTP' ? '/once-http' : '/once-socket';
    await tree.set(parent, '', { create: true });
    const names: string[] = [];
    for (const until = performance.now() + seconds * 500; performance.now() < until || network.duplicates === 0; ) {
      const all = await Promise.all(Array.from({ length: 20 }, () => tree.createSequential(`${parent}/n-`)));
      names.push(...all.map(({ name }) => name));
    }
    network.calm();
    t.comment(`${network.cuts} cuts, ${network.duplicates} duplicates`);
    t.same(await namesBelow(tree, parent), names.toSorted(), `${names.length} nodes`);
  });

  t.test(`every record is appended once, in order, over ${link}`, async (t) => {
    const topic = link === 'HTTP' ? 'once-http' : 'once-socket';
    await startClient(t, server.url).admin.topics.create({ name: topic });
    const network = await startHostileNetwork(t, server.url, random);
    const weir = startClient(t, network.url, { ...options, retry: { for: '60s', minDelay: 5, maxDelay: 100 } });
    const producer = weir.producer({ topic, name: topic, linger: 1 });
    let sent = 0;
    for (const until = performance.now() + seconds * 500; performance.now() < until; ) {
      const from = sent;
      sent += 50;
      await Promise.all(Array.from({ length: 50 }, (_, n) => producer.send({ value: from + n })));
    }
    network.calm();
    const records = await take(startClient(t, server.url).tail(topic, { from: 'earliest' }), sent);
    t.same(
      records.map(({ value }) => value),
      Array.from({ length: sent }, (_, n) => n),
      `${sent} records, ${network.cuts} cuts, ${network.duplicates} duplicates`,
    );
  });
}

t.test('a lock is never held twice, and a watch misses nothing', async (t) => {
  const network = await startHostileNetwork(t, server.url, random);
  const options = { retry: { for: '60s', minDelay: 5, maxDelay: 100 } } as const;
  const watcher = startClient(t, network.url, options);
  const watch = watcher.watch('/locks/shared', { mode: 'recursive' });
  await watch.started;
  let inside = 0;
  let most = 0;
  const tokens: number[] = [];
  const until = performance.now() + seconds * 500;
  await Promise.all(
    Array.from({ length: 4 }, async () => {
      const weir = startClient(t, network.url, options);
      while (performance.now() < until) {
        await lock(weir, 'shared').with(async ({ token, signal }) => {
          inside += 1;
          most = Math.max(most, inside);
          tokens.push(token);
          await weir.tree.exists('/locks/shared');
          if (!signal.aborted) inside -= 1;
          else inside = 0;
        });
      }
    }),
  );
  network.calm();
  t.equal(most, 1, `${tokens.length} holders, ${network.cuts} cuts`);
  t.same(
    tokens,
    tokens.toSorted((a, b) => a - b),
  );
  const created = new Set<number>();
  for await (const { zxid, events } of watch) {
    for (const { type } of events) if (type === 'created') created.add(zxid);
    if (zxid >= tokens.at(-1)!) break;
  }
  t.same(
    tokens.filter((token) => !created.has(token)),
    [],
    'the watch has told of every holder',
  );
});

/** The names of all children, however many pages they fill. */
async function namesBelow(tree: Tree, path: string): Promise<string[]> {
  const names: string[] = [];
  for (let after: string | undefined; ; ) {
    const page = await tree.children(path, after === undefined ? {} : { after });
    names.push(...page.names);
    if (page.next === undefined) return names;
    after = page.next;
  }
}

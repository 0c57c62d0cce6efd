// Reads from a broker's memory: what is kept, how it follows the event stream, and when the store is asked instead.
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { createMetrics } from '../../../src/broker/metrics.ts';
import { EventTail } from '../../../src/broker/watches/event-tail.ts';
import { LocalNodes } from '../../../src/broker/watches/local-nodes.ts';
import type { Namespace } from '../../../src/store/tree/namespace.ts';
import { holdEvents } from '../../helpers/held-events.ts';
import { startLossyRedis } from '../../helpers/lossy-redis.ts';
import { eventually } from '../../helpers/server.ts';
import { create, remove, set, startBroker, type WatchBroker } from '../../helpers/watch-hub.ts';

const log = pino({ level: 'silent' });
const bytesMax = 32 * 1024 * 1024;

interface Options {
  target?: WatchBroker['target'];
  bytesMax?: number;
  namespace?: (real: Namespace) => Pick<Namespace, 'get' | 'stat' | 'children'>;
  /** Whether news become old as time passes. Else they are as old as `age` says, however slow the machine is. */
  aging?: boolean;
}

/** A broker whose tail can be held back, and its reads from memory. */
async function start(t: Test, options: Options = {}) {
  const { store, write, target } = await startBroker(t, options.target ? { target: options.target } : {});
  const held = holdEvents(store.events);
  const tail = new EventTail(held.events, log);
  let newsAgeMs = 0;
  if (!options.aging) Object.defineProperty(tail, 'completeAt', { get: () => performance.now() - newsAgeMs });
  const age = (ms: number) => {
    newsAgeMs = ms;
  };
  const metrics = createMetrics();
  const namespace = (options.namespace?.(store.namespace) ?? store.namespace) as Namespace;
  const nodes = new LocalNodes(namespace, tail, options.bytesMax ?? bytesMax, metrics);
  await tail.start();
  t.teardown(() => tail.stop());
  /** Makes a read, and adds its source. */
  const read = async (view: 'get' | 'stat' | 'children', path: string, minZxid = 0, page = { limit: 1000 }) => {
    let source = 'none';
    const reads = nodes.reads({ minZxid, served: (from) => (source = from) });
    const reading = view === 'children' ? reads.children(path, page) : reads[view](path);
    const result: any = await reading.catch((error: any) => ({ code: error.code, zxid: error.fields?.zxid }));
    return { ...result, source };
  };
  const received = (zxid: number) => eventually(() => tail.position >= zxid, 'the broker has received the transaction');
  /** The number of bytes in memory. */
  const bytes = async () => Number(/^weir_node_cache_bytes (\d+)/m.exec(await metrics.registry.metrics())![1]);
  return { store, target, write, tail, held, age, read, received, bytes };
}

/** A node that was read, so that it is in memory, with its list of children. */
async function readBefore({ write, read, received }: Awaited<ReturnType<typeof start>>, path: string, data = 'old') {
  await received(await write(create(path, data)));
  await read('get', path);
  await read('children', path);
  return (await read('get', path)).source === 'local';
}

t.test('a node that was read before is read from memory, exactly as the store has it after each change', async (t) => {
  const broker = await start(t);
  const { store, write, read, received } = broker;
  t.ok(await readBefore(broker, '/a'));
  const changes = [
    [set('/a', 'new')],
    [create('/a/x')],
    [create('/a/y'), set('/a', 'newer'), create('/a/z')],
    [remove('/a/y')],
    [remove('/a/x'), create('/a/x', 'again'), set('/a/x', 'and again')],
    [set('/a', '')],
    [remove('/a/x'), remove('/a/z'), remove('/a'), create('/a', 'reborn'), create('/a/w')],
  ];
  for (const [index, change] of changes.entries()) {
    const zxid = await write(...change);
    await received(zxid);
    const [node, stat, list] = [await read('get', '/a'), await read('stat', '/a'), await read('children', '/a')];
    t.same([node.source, stat.source, list.source], ['local', 'local', 'local'], `change ${index}`);
    t.same([node.zxid, stat.zxid, list.zxid], [zxid, zxid, zxid]);
    const { source: _, ...shown } = node;
    t.same(shown, await store.namespace.get('/a'));
    t.same(stat.stat, shown.stat);
    const { source: __, ...shownList } = list;
    t.same(shownList, await store.namespace.children('/a', { limit: 1000 }));
  }
});

t.test('a node that does not exist is known not to, until it is created', async (t) => {
  const { write, read, received } = await start(t);
  t.match(await read('get', '/n'), { code: 'NO_NODE', source: 'store' });
  t.match(await read('stat', '/n'), { code: 'NO_NODE', source: 'local' });
  t.match(await read('children', '/n'), { code: 'NO_NODE', source: 'local' });
  await received(await write(create('/n', 'here')));
  t.match(await read('get', '/n'), { data: Buffer.from('here'), source: 'local' });
  const gone = await write(remove('/n'));
  await received(gone);
  t.match(await read('get', '/n'), { code: 'NO_NODE', zxid: gone, source: 'local' });
});

t.test('data beyond the size of an event are read from the store once, and the stat stays in memory', async (t) => {
  const broker = await start(t);
  const { write, read, received } = broker;
  await readBefore(broker, '/a');
  const large = 'x'.repeat(100_000);
  await received(await write(set('/a', large)));
  t.match(await read('stat', '/a'), { stat: { dataLength: 100_000 }, source: 'local' });
  t.match(await read('get', '/a'), { data: Buffer.from(large), source: 'store' });
  t.match(await read('get', '/a'), { data: Buffer.from(large), source: 'local' });
});

t.test('lists of children are in byte order, and go out in pages', async (t) => {
  const broker = await start(t);
  const { store, write, read, received } = broker;
  await readBefore(broker, '/l');
  const names = ['b', 'a', '\uffe5', '\u4e2d', 'é', 'B', 'a-', 'ab'];
  await received(await write(...names.map((name) => create(`/l/${name}`))));
  const all = (await read('children', '/l')).children.map(({ name }: any) => name);
  t.same(
    all,
    [...names].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))),
  );
  for (const after of ['', 'a', 'aa', 'z', '\uffe5']) {
    for (const limit of [1, 3, 100]) {
      const { source, zxid: _, ...page } = await read('children', '/l', 0, { after, limit } as any);
      t.equal(source, 'local');
      const { zxid: __, ...stored } = await store.namespace.children('/l', { after, limit });
      t.same(page, stored, `after ${after}`);
    }
  }
});

t.test('a page of a list that is not in memory is read from the store, and the whole list is kept', async (t) => {
  const { store, write, read } = await start(t);
  await write(create('/p'), ...[1, 2, 3].map((n) => create(`/p/${n}`)));
  const page = { limit: 2 };
  t.match(await read('children', '/p', 0, page), {
    children: [{ name: '1' }, { name: '2' }],
    next: '2',
    source: 'store',
  });
  t.match(await read('children', '/p'), { children: { length: 3 }, source: 'local' });
  await write(create('/q'), ...Array.from({ length: 1500 }, (_, n) => create(`/q/${n}`)));
  const { source, zxid: _, ...first } = await read('children', '/q', 0, page);
  t.equal(source, 'store');
  const { zxid: __, ...stored } = await store.namespace.children('/q', page);
  t.same(first, stored);
});

t.test('a list of more than 10,000 names is not kept', async (t) => {
  const broker = await start(t);
  const { write, read, received } = broker;
  await readBefore(broker, '/many');
  let last = 0;
  for (let n = 0; n < 11_000; n += 1000) {
    const names = Array.from({ length: 1000 }, (_, i) => create(`/many/${n + i}`));
    if (n === 10_000) t.match(await read('children', '/many'), { stat: { numChildren: 10_000 }, source: 'local' });
    last = await write(...names);
    await received(last);
  }
  t.match(await read('children', '/many'), { stat: { numChildren: 11_000 }, source: 'store' });
  t.match(await read('stat', '/many'), { stat: { numChildren: 11_000 }, source: 'local' });
});

t.test('memory has a limit: the nodes that were not read for the longest time make room', async (t) => {
  const limit = 1024 * 1024;
  const { write, read, bytes } = await start(t, { bytesMax: limit });
  const data = 'x'.repeat(50_000);
  for (let n = 0; n < 50; n++) await write(create(`/e${n}`, data));
  for (let n = 0; n < 50; n++) {
    t.equal((await read('get', `/e${n}`)).source, 'store');
    t.equal((await read('get', '/e0')).source, 'local', 'a node that is read often stays');
    t.ok((await bytes()) <= limit);
  }
  t.ok((await bytes()) > limit / 2);
  t.equal((await read('get', '/e1')).source, 'store', 'the first one has made room');
  await write(create('/huge', 'x'.repeat(limit / 2)));
  await read('get', '/huge');
  t.equal((await read('get', '/huge')).source, 'store', 'one node takes at most a quarter');
  t.equal((await read('get', '/e0')).source, 'local', 'and displaces nothing');
});

t.test('committed offsets are not kept', async (t) => {
  const { write, read } = await start(t);
  await write(create('/consumers/g'), create('/consumers/g/offsets'), create('/consumers/g/offsets/t'));
  for (const path of ['/consumers/g/offsets/t', '/consumers/g/offsets']) {
    await read('get', path);
    t.equal((await read('get', path)).source, 'store');
  }
  await read('get', '/consumers/g');
  t.equal((await read('get', '/consumers/g')).source, 'local');
});

t.test('without memory every read goes to the store', async (t) => {
  const { write, read } = await start(t, { bytesMax: 0 });
  await write(create('/a'));
  await read('get', '/a');
  t.equal((await read('get', '/a')).source, 'store');
});

t.test('a reply that changes have overtaken is brought up to date before it is kept', async (t) => {
  let pass = () => {};
  const gate = new Promise<void>((resolve) => {
    pass = resolve;
  });
  /** Replies that have waited on their way. */
  const late = (real: Namespace) => ({
    get: async (path: string) => {
      const reply = await real.get(path);
      await gate;
      return reply;
    },
    stat: (path: string) => real.stat(path),
    children: async (path: string, page: { limit: number }) => {
      const reply = await real.children(path, page);
      await gate;
      return reply;
    },
  });
  const { store, write, read, received } = await start(t, { namespace: late });
  await received(await write(create('/a', 'old'), create('/a/x')));
  const reading = [read('get', '/a'), read('children', '/a')];
  // The next read comes after those, as calls of one connection are carried out in order.
  await store.namespace.stat('/a');
  const last = await write(set('/a', 'new'), remove('/a/x'), create('/a/y'));
  await received(last);
  pass();
  t.match(await Promise.all(reading), [{ data: Buffer.from('old') }, { children: [{ name: 'x' }] }]);
  t.match(await read('get', '/a'), { data: Buffer.from('new'), zxid: last, source: 'local' });
  t.match(await read('children', '/a'), { children: [{ name: 'y' }], source: 'local' });
  t.same((await read('stat', '/a')).stat, (await store.namespace.stat('/a')).stat);
});

t.test('a reply that is older than what the broker remembers of the event stream is not kept', async (t) => {
  let pass = () => {};
  const gate = new Promise<void>((resolve) => {
    pass = resolve;
  });
  const late = (real: Namespace) => ({
    get: async (path: string) => {
      const reply = await real.get(path);
      await gate;
      return reply;
    },
    stat: (path: string) => real.stat(path),
    children: (path: string, page: { limit: number }) => real.children(path, page),
  });
  const { store, write, read, received } = await start(t, { namespace: late });
  await write(create('/a', 'old'), create('/b'));
  const reading = read('get', '/a');
  await store.namespace.stat('/a');
  let last = await write(set('/a', 'new'));
  for (let n = 0; n < 60; n++) last = await write(...Array.from({ length: 10 }, () => set('/b', 'x'.repeat(16_384))));
  await received(last);
  pass();
  t.match(await reading, { data: Buffer.from('old'), source: 'store' });
  t.match(await read('get', '/a'), { data: Buffer.from('new'), source: 'store' });
});

t.test('what the store replied is read from memory only when the broker has received all of it', async (t) => {
  const { write, read, held, received } = await start(t);
  held.hold();
  const zxid = await write(create('/a', '1'));
  t.match(await read('get', '/a'), { data: Buffer.from('1'), zxid, source: 'store' });
  t.match(await read('get', '/a'), { data: Buffer.from('1'), zxid, source: 'store' }, 'not yet');
  held.release();
  await received(zxid);
  t.match(await read('get', '/a'), { data: Buffer.from('1'), zxid, source: 'local' });
  t.match(await read('stat', '/a'), { stat: { version: 0 } }, 'no transaction was applied twice');
});

t.test('a caller reads its own writes by minZxid, also while the broker has not received them', async (t) => {
  const broker = await start(t);
  const { write, read, held, received } = broker;
  await readBefore(broker, '/a');
  held.hold();
  const zxid = await write(set('/a', 'mine'));
  t.match(await read('get', '/a'), { data: Buffer.from('old'), source: 'local' }, 'others may read what was before');
  t.match(await read('get', '/a', zxid), { data: Buffer.from('mine'), source: 'store' });
  held.release();
  await received(zxid);
  t.match(await read('get', '/a', zxid), { data: Buffer.from('mine'), zxid, source: 'local' });
});

t.test('a read waits a moment for what the broker is about to receive', async (t) => {
  const broker = await start(t);
  const { write, read } = broker;
  await readBefore(broker, '/a');
  let sources = '';
  for (let n = 0; n < 50; n++) sources += (await read('get', '/a', await write(set('/a', `${n}`)))).source;
  t.match(sources, /local/);
});

t.test('after a reply of the store, no read through the same broker shows an older state', async (t) => {
  const broker = await start(t);
  const { write, read, held, received } = broker;
  await readBefore(broker, '/a');
  held.hold();
  await write(set('/a', 'new'));
  const later = await write(create('/b'));
  t.match(await read('get', '/b'), { zxid: later, source: 'store' });
  t.match(await read('get', '/a'), { data: Buffer.from('new'), source: 'store' });
  held.release();
  await received(later);
  t.match(await read('get', '/a'), { data: Buffer.from('new'), source: 'local' });
});

t.test('without news from the store for too long, memory is not used', async (t) => {
  const broker = await start(t);
  const { write, read, held, age, received } = broker;
  await readBefore(broker, '/a');
  held.hold();
  const zxid = await write(set('/a', 'new'));
  age(2500);
  t.match(await read('get', '/a'), { data: Buffer.from('old'), source: 'local' });
  age(3500);
  t.match(await read('get', '/a'), { data: Buffer.from('new'), source: 'store' });
  age(0);
  held.release();
  await received(zxid);
  t.match(await read('get', '/a'), { data: Buffer.from('new'), source: 'local' });
});

t.test('while the store is away reads fail rather than show an old state for long', async (t) => {
  const lossy = await startLossyRedis(t);
  const broker = await start(t, { target: { socketPath: lossy.socketPath }, aging: true });
  const { write, read } = broker;
  await readBefore(broker, '/a');
  await lossy.kill();
  await eventually(async () => (await read('get', '/a')).code === 'STORE_UNAVAILABLE', 'reads fail');
  await lossy.restart();
  // From the store, or already from memory again.
  await eventually(async () => (await read('get', '/a')).source !== undefined, 'reads succeed again');
  const zxid = await eventually(() => write(set('/a', 'new')).catch(() => undefined), 'writes succeed again');
  await eventually(async () => (await read('get', '/a', zxid)).source === 'local', 'memory is used again');
  t.match(await read('get', '/a'), { data: Buffer.from('new') });
});

t.test('changes that Redis has lost do not stay in memory', async (t) => {
  const lossy = await startLossyRedis(t);
  const broker = await start(t, { target: { socketPath: lossy.socketPath } });
  const { write, read, received, tail } = broker;
  await readBefore(broker, '/a', 'kept');
  lossy.backUp();
  const lost = await write(set('/a', 'lost'), create('/a/lost'));
  await received(lost);
  t.match(await read('get', '/a'), { data: Buffer.from('lost'), source: 'local' });
  let gaps = 0;
  tail.onGap(() => {
    gaps += 1;
  });
  await lossy.killAndRestore();
  await eventually(() => gaps > 0, 'the loss is noticed');
  t.match(await read('get', '/a'), { data: Buffer.from('kept'), source: 'store' });
  t.match(await read('children', '/a'), { children: { length: 0 } });
  await received(await write(create('/a/new')));
  // A read that came before the broker knew of the new epoch was not kept.
  await eventually(async () => {
    const { children, source } = await read('children', '/a');
    t.match(children, [{ name: 'new' }]);
    return source === 'local';
  }, 'memory is used again');
});

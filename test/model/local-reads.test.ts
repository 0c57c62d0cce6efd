// Reads from the memory of two brokers while clients write at random. Each result names the transaction that it reflects, so it can be
// compared with what the tree was exactly then: with data, stat and children. That is more than sequential consistency.
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import type { Stat } from '../../schemas/common.ts';
import { chooseSeed, type Random, randomOf } from '../helpers/random.ts';
import { eventually, type HttpResponse, http, startTestServer, type TestServer } from '../helpers/server.ts';

const seed = chooseSeed();
const [writers, readers, writesEach, root] = [3, 4, 120, '/r'];
/** Of two folders and a few nodes in each, so that they are often deleted, created again, and full of children. */
const folders = ['/r', '/r/a', '/r/b', '/r/a/sub'];
const paths = [...folders, '/r/x', '/r/y', '/r/a/x', '/r/a/y', '/r/b/x', '/r/a/sub/x'];

interface Op {
  op: 'create' | 'set' | 'delete';
  path: string;
  data?: string;
}

/** A change of the tree: the operations of one transaction, and the stats of the nodes after each. */
interface Change {
  zxid: number;
  ops: Op[];
  stats: (Stat | undefined)[];
}

interface Observed {
  view: 'node' | 'children';
  path: string;
  zxid: number;
  /** Undefined = no such node. */
  body: any;
}

/** A tree to which changes are applied one after the other. */
class Tree {
  readonly nodes = new Map<string, { data: string; stat: Stat }>();

  apply({ zxid, ops, stats }: Change): void {
    for (const [index, { op, path, data = '' }] of ops.entries()) {
      if (op === 'delete') this.nodes.delete(path);
      else this.nodes.set(path, { data, stat: stats[index]! });
      const parent = this.nodes.get(path.slice(0, path.lastIndexOf('/')));
      if (op === 'set' || !parent) continue;
      const { cversion, numChildren } = parent.stat;
      const by = op === 'create' ? 1 : -1;
      parent.stat = { ...parent.stat, pzxid: zxid, cversion: cversion + 1, numChildren: numChildren + by };
    }
  }

  shown(path: string, view: Observed['view']): any {
    const node = this.nodes.get(path);
    if (!node) return undefined;
    if (view === 'node') return { data: node.data, stat: node.stat };
    const children = [...this.nodes.keys()].filter((each) => each.slice(0, each.lastIndexOf('/')) === path);
    return { children: children.map((each) => each.slice(path.length + 1)).sort(), stat: node.stat };
  }
}

const zxidOf = ({ headers }: HttpResponse) => Number(headers.get('weir-zxid'));
const url = (server: TestServer, path: string, query: string) => `${server.url}/v1/nodes${path}?${query}`;

async function read(server: TestServer, path: string, view: Observed['view'], query: string) {
  const response = await http(url(server, path, `view=${view}&${query}`));
  if (response.status !== 200 && response.status !== 404)
    throw new Error(`${response.status}: ${response.body.detail}`);
  const { data, children, stat } = response.body;
  const body = response.status === 404 ? undefined : view === 'node' ? { data, stat } : { children, stat };
  const observed: Observed = { view, path, zxid: zxidOf(response), body };
  return { observed, source: response.headers.get('weir-read') };
}

/** Writes at random, and returns the changes that were made. After each, reads what it has written. */
async function runWriter(servers: TestServer[], random: Random, observations: Observed[]): Promise<Change[]> {
  const changes: Change[] = [];
  for (let n = 0; n < writesEach; n++) {
    const size = random.chance(0.1) ? 20_000 : 10;
    const op = (): Op => {
      const path = random.pick(paths.slice(1));
      const kind = random.pick(['create', 'create', 'set', 'set', 'delete'] as const);
      return kind === 'delete'
        ? { op: kind, path }
        : { op: kind, path, data: `${random.below(1e9)}`.padEnd(size, '.') };
    };
    const again = op();
    const ops = random.chance(0.6)
      ? [again]
      : random.chance(0.5)
        ? [op(), op()]
        : [
            { op: 'delete' as const, path: again.path },
            { op: 'create' as const, path: again.path, data: 'again' },
          ];
    const response = await http(`${random.pick(servers).url}/v1/multi`, 'POST', { ops });
    if (response.status !== 200) continue;
    const { zxid, results } = response.body;
    changes.push({ zxid, ops, stats: results.map(({ stat }: { stat?: Stat }) => stat) });
    const { observed } = await read(random.pick(servers), ops.at(-1)!.path, 'node', `read=local&minZxid=${zxid}`);
    if (observed.zxid < zxid) throw new Error(`A read with minZxid=${zxid} reflects only ${observed.zxid}`);
    observations.push(observed);
  }
  return changes;
}

/** Reads at random through one broker until the writers have finished. */
async function runReader(server: TestServer, random: Random, isDone: () => boolean, observations: Observed[]) {
  const sources = { local: 0, store: 0 };
  let newest = 0;
  while (!isDone()) {
    const view = random.pick(['node', 'children'] as const);
    // Some reads go to the store: they prove the rules of this test.
    const isLocal = random.chance(0.9);
    const { observed, source } = await read(server, random.pick(paths), view, isLocal ? 'read=local' : '');
    if (isLocal) {
      if (observed.zxid < newest) throw new Error(`Local reads went back from ${newest} to ${observed.zxid}`);
      newest = observed.zxid;
      sources[source as 'local' | 'store'] += 1;
    }
    observations.push(observed);
  }
  return sources;
}

/** From now on replies of the store come late at random, so that later changes overtake them. */
function delayReplies({ broker }: TestServer, random: Random): void {
  const { namespace } = broker.store;
  const late =
    <A extends unknown[], R>(read: (...args: A) => Promise<R>) =>
    async (...args: A) => {
      const reply = await read(...args);
      await pause(random.chance(0.5) ? random.below(10) : 0);
      return reply;
    };
  namespace.get = late(namespace.get.bind(namespace));
  namespace.children = late(namespace.children.bind(namespace));
}

async function check(servers: TestServer[], name: string): Promise<void> {
  await t.test(`each local read shows the tree as it was at its zxid: ${name} (WEIR_TEST_SEED=${seed})`, async (t) => {
    const random = randomOf(seed).fork(name);
    for (const server of servers) delayReplies(server, random.fork('delays'));
    await http(url(servers[0]!, root, 'recursive=true'), 'DELETE');
    const begun = await http(`${servers[0]!.url}/v1/multi`, 'POST', { ops: [{ op: 'create', path: root, data: '' }] });
    const begin = {
      zxid: begun.body.zxid,
      ops: [{ op: 'create', path: root } as const],
      stats: [begun.body.results[0].stat],
    };
    const [first] = servers;
    await eventually(async () => {
      const reads = await Promise.all(
        servers.map((each) => read(each, root, 'node', `read=local&minZxid=${begin.zxid}`)),
      );
      return reads.every(({ observed }) => observed.zxid >= begin.zxid);
    }, 'all brokers have received the root');
    const observations: Observed[] = [];
    let isDone = false;
    const reading = Array.from({ length: readers }, (_, n) =>
      runReader(servers[n % servers.length]!, random.fork(`reader ${n}`), () => isDone, observations),
    );
    const writing = Array.from({ length: writers }, (_, n) =>
      runWriter(servers, random.fork(`writer ${n}`), observations),
    );
    const changes = await Promise.all(writing).finally(() => {
      isDone = true;
    });
    const sources = await Promise.all(reading);
    for (const path of paths) {
      for (const view of ['node', 'children'] as const)
        observations.push((await read(first!, path, view, '')).observed);
    }

    const history = [begin, ...changes.flat()].sort((a, b) => a.zxid - b.zxid);
    observations.sort((a, b) => a.zxid - b.zxid);
    const tree = new Tree();
    let applied = 0;
    let wrong = 0;
    for (const { view, path, zxid, body } of observations) {
      if (zxid < begin.zxid) continue;
      while (applied < history.length && history[applied]!.zxid <= zxid) tree.apply(history[applied++]!);
      const expected = tree.shown(path, view);
      if (JSON.stringify(sorted(body)) === JSON.stringify(sorted(expected)) || ++wrong > 5) continue;
      t.same(body, expected, `${view} ${path} at ${zxid}`);
    }
    t.equal(wrong, 0, 'every read is right');
    t.ok(history.length > writesEach / 2, `${history.length} changes`);
    const local = sources.reduce((sum, each) => sum + each.local, 0);
    t.ok(local > 0, `${local} of ${observations.length} reads came from memory`);
  });
}

/** With the fields of the stat in a fixed order. */
function sorted(body: any): unknown {
  return body && { ...body, stat: Object.entries(body.stat).sort(([a], [b]) => (a < b ? -1 : 1)) };
}

const one = await startTestServer(t);
const two = await startTestServer(t, {}, one.target);
/** Room for few nodes: they are evicted and read again all the time. */
const small = { nodeCacheBytes: 6 * 1024 };
const three = await startTestServer(t, small, one.target);
const four = await startTestServer(t, small, one.target);
t.setTimeout(240_000);
await check([one, two], 'two brokers');
await check([three, four], 'little memory');

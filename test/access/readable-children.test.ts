// Pages of children for a client that may not read all of them.
import t from 'tap';
import { readableChildren, visiblePage } from '../../src/access/readable-children.ts';

/** Reads pages of a sorted list of names, and counts how often. */
function listOf(names: readonly string[]) {
  const list = {
    reads: 0,
    read: async ({ after = '', limit }: { after?: string | undefined; limit: number }) => {
      list.reads += 1;
      const rest = names.filter((name) => name > after);
      const children = rest.slice(0, limit).map((name) => ({ name }));
      return { children, next: rest.length > limit ? children.at(-1)?.name : undefined };
    },
  };
  return list;
}

const hidden = (count: number) => Array.from({ length: count }, (_, i) => `hidden-${String(i).padStart(6, '0')}`);
const mayRead = (name: string) => !name.startsWith('hidden');

t.test('a client that may read all gets each page by one read', async (t) => {
  const list = listOf(['a', 'b', 'c']);
  const page = await readableChildren(list.read, { limit: 2 }, () => true);
  t.same(page, { children: [{ name: 'a' }, { name: 'b' }], next: 'b' });
  t.equal(list.reads, 1);
});

t.test('at most 10,000 hidden names are passed over, and then the client must say where to go on', async (t) => {
  t.same(await readableChildren(listOf([...hidden(9000), 'z']).read, { limit: 1 }, mayRead), {
    children: [{ name: 'z' }],
    next: undefined,
  });
  const many = listOf([...hidden(12_000), 'z']);
  await t.rejects(readableChildren(many.read, { limit: 1 }, mayRead), { code: 'TOO_LARGE', message: /10000 names/ });
  t.ok(many.reads < 15, `${many.reads} reads`);
});

t.test('what was found before too many hidden names is a page, and the next one begins behind it', async (t) => {
  const { children, next } = await readableChildren(listOf(['a', ...hidden(12_000), 'z']).read, { limit: 5 }, mayRead);
  t.same(children, [{ name: 'a' }]);
  t.equal(next, 'a');
});

t.test('a page of a list by time has what a client may see, and names nothing else', async (t) => {
  const listBy =
    (all: { time: number; id: string }[]) => async (after: { time: number; id: string } | undefined, limit: number) => {
      const rest = all.filter(({ time, id }) => !after || time > after.time || (time === after.time && id > after.id));
      const items = rest.slice(0, limit);
      return { items, next: rest.length > limit ? items.at(-1) : undefined };
    };
  const item = (time: number, id: string) => ({ time, id });
  const isOwn = ({ id }: { id: string }) => id.startsWith('a');
  const place = (one: { time: number; id: string }) => one;
  const all = [item(1, 'b1'), item(2, 'a1'), item(2, 'b2'), item(3, 'a2'), item(4, 'b3'), item(5, 'a3'), item(6, 'b4')];
  for (const limit of [1, 2, 3, 4, 9]) {
    const seen: string[] = [];
    let after: { time: number; id: string } | undefined;
    do {
      const page = await visiblePage(listBy(all), { after, limit }, isOwn, place);
      t.ok(page.items.length <= limit);
      t.ok(page.next === undefined || isOwn(page.next), 'the next page begins behind something visible');
      seen.push(...page.items.map(({ id }) => id));
      after = page.next;
    } while (after);
    t.same(seen, ['a1', 'a2', 'a3'], `limit ${limit}`);
  }
  const hiddenOnes = Array.from({ length: 25_000 }, (_, i) => item(10 + Math.floor(i / 3), `b${i}`));
  const long = listBy([...all, ...hiddenOnes, item(99_999, 'a9')]);
  const seen: string[] = [];
  let [after, pages]: [{ time: number; id: string } | undefined, number] = [undefined, 0];
  do {
    const page: Awaited<ReturnType<typeof long>> = await visiblePage(long, { after, limit: 100 }, isOwn, place);
    seen.push(...page.items.map(({ id }) => id));
    t.notMatch(JSON.stringify(page), /"b/);
    after = page.next;
    pages += 1;
  } while (after && pages < 10);
  t.same(seen, ['a1', 'a2', 'a3', 'a9'], 'however much is hidden, a client comes to the end');
});

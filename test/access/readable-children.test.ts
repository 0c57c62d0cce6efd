// Pages of children for a client that may not read all of them.
import t from 'tap';
import { readableChildren } from '../../src/access/readable-children.ts';

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
  await t.rejects(readableChildren(many.read, { limit: 1 }, mayRead), { code: 'TOO_LARGE', message: /10000 children/ });
  t.ok(many.reads < 15, `${many.reads} reads`);
});

t.test('what was found before too many hidden names is a page, and the next one begins behind it', async (t) => {
  const { children, next } = await readableChildren(listOf(['a', ...hidden(12_000), 'z']).read, { limit: 5 }, mayRead);
  t.same(children, [{ name: 'a' }]);
  t.equal(next, 'a');
});

// Names of topics that differ only by '.' and '_' are found without reading all names.
import t from 'tap';
import { collidingTopic } from '../../../src/broker/metadata/colliding-topic.ts';
import { ServiceError } from '../../../src/core/service-error.ts';

/** The names of topics, and how many reads there were. */
function topicsOf(names: string[]) {
  const sorted = [...names].sort();
  const counted = { reads: 0 };
  return {
    counted,
    namespace: {
      children: async (_path: string, { after = '' }: { after?: string | undefined }) => {
        counted.reads += 1;
        const next = sorted.find((name) => name > after);
        return { children: next === undefined ? [] : [{ name: next }] } as any;
      },
      stat: async (path: string) => {
        counted.reads += 1;
        if (!names.includes(path.slice('/brokers/topics/'.length))) throw new ServiceError('NO_NODE', path);
        return {} as any;
      },
    },
  };
}

t.test("names that differ only by '.' and '_' collide", async (t) => {
  const cases: [name: string, others: string[], found: string | undefined][] = [
    ['a.b', ['c', 'a_b'], 'a_b'],
    ['a.b', ['a.b', 'a-b', 'a', 'b', 'a_bc', 'a_'], undefined],
    ['a_b.c', ['a.b.c'], 'a.b.c'],
    ['a_b.c', ['a.b.c.d', 'a.b_', 'a_b.c'], undefined],
    ['..a', ['__a'], '__a'],
    ['a.', ['a_'], 'a_'],
    ['...', ['._.'], '._.'],
    ['plain', ['plain', 'plain.'], undefined],
  ];
  for (const [name, others, found] of cases) {
    t.equal(await collidingTopic(topicsOf(others).namespace, name), found, `${name} among ${others}`);
  }
});

t.test('it agrees with a comparison of all names', async (t) => {
  const letters = ['a', '.', '_'];
  const all = (length: number): string[] =>
    length === 0 ? [''] : all(length - 1).flatMap((text) => letters.map((letter) => text + letter));
  const names = [...all(3), ...all(4)].filter((_, i) => i % 3 === 0);
  const fold = (name: string) => name.replaceAll('.', '_');
  const { namespace } = topicsOf(names);
  for (const name of [...all(3), ...all(4)]) {
    const others = names.filter((other) => other !== name && fold(other) === fold(name));
    const found = await collidingTopic(namespace, name);
    t.ok(found === undefined ? others.length === 0 : others.includes(found), name);
  }
});

t.test('its reads do not grow with the number of topics', async (t) => {
  const { namespace, counted } = topicsOf(Array.from({ length: 10_000 }, (_, i) => `shop.orders.${i}`));
  await collidingTopic(namespace, 'shop.orders.new');
  t.ok(counted.reads <= 4, `${counted.reads} reads`);
  counted.reads = 0;
  await collidingTopic(namespace, 'orders-new');
  t.equal(counted.reads, 0);
});

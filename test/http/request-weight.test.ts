// The weight of a request in admission control: about how many usual requests cost the broker and the store as much.
import t from 'tap';
import { eventually, http, startTestServer } from '../helpers/server.ts';

t.test('the weight of a request follows its cost', async (t) => {
  const server = await startTestServer(t);
  const { metrics, store } = server.broker;
  await http(`${server.url}/v1/topics`, 'POST', { name: 'wide', partitions: 150 });
  const offsets = Array.from({ length: 150 }, (_, partition) => ({ topic: 'wide', partition, offset: 0 }));
  await http(`${server.url}/v1/groups/g/offsets`, 'POST', { offsets });
  await http(`${server.url}/v1/nodes/large`, 'PUT', 'x'.repeat(1024 * 1024));
  // The size of a group is known from the second request on.
  for (const path of ['/v1/groups/g', '/v1/groups/g/offsets']) await http(`${server.url}${path}`);
  // Reads the weight in use during each call of the store.
  const gauge = metrics.registry.getSingleMetric('weir_admission_weight')!;
  let samples: ReturnType<typeof gauge.get>[] = [];
  const { connection } = store;
  const [call, command] = [connection.call.bind(connection), connection.command.bind(connection)];
  connection.call = (...args) => {
    samples.push(gauge.get());
    return call(...args);
  };
  connection.command = (...args: Parameters<typeof command>) => {
    samples.push(gauge.get());
    return command(...args) as never;
  };
  const weightOf = async (path: string) => {
    samples = [];
    await http(`${server.url}${path}`);
    const taken = (await Promise.all(samples)).flatMap(({ values }) => values);
    return Math.max(...taken.filter(({ labels }) => labels.kind === 'requests').map(({ value }) => value));
  };
  const cases: [path: string, weight: number][] = [
    ['/v1/nodes/', 1],
    ['/v1/nodes/?view=children', 5],
    ['/v1/nodes/?view=children&stats=true', 21],
    ['/v1/nodes/?view=tree', 21],
    ['/v1/nodes/?view=tree&limit=100', 3],
    // Large nodes have a queue of their own.
    ['/v1/nodes/large', 1],
    ['/v1/nodes/large', 1],
    ['/v1/nodes/large?view=node', 1],
    ['/v1/nodes/large?view=stat', 1],
    ['/v1/topics/wide', 11],
    ['/v1/topics/wide/offsets', 11],
    ['/v1/groups/g', 11],
    ['/v1/groups/g/offsets', 11],
    ['/v1/topics/wide/partitions/0/records', 22],
    ['/v1/topics/wide/partitions/0/records?maxBytes=100', 1],
  ];
  for (const [path, weight] of cases) t.equal(await weightOf(path), weight, path);
});

t.test('the metrics show the store calls of which few may be in flight at once', async (t) => {
  const server = await startTestServer(t);
  const { connection } = server.broker.store;
  const call = connection.call.bind(connection);
  const figures = async () =>
    [
      ...(await http(`${server.url}/metrics`)).body.matchAll(
        /^weir_store_limited_(in_flight|waiting)\{kind="pages"\} (\d+)/gm,
      ),
    ]
      .map(([, what, value]) => `${what} ${value}`)
      .sort();
  t.same(await figures(), ['in_flight 0', 'waiting 0']);
  const ends: (() => void)[] = [];
  connection.call = async (name, ...rest) => {
    if (name === 'nodes/tree') await new Promise<void>((resolve) => ends.push(resolve));
    return call(name, ...rest);
  };
  const pages = Array.from({ length: 3 }, () => http(`${server.url}/v1/nodes/?view=tree`));
  await eventually(
    async () => (await figures()).join() === 'in_flight 2,waiting 1',
    'two are in flight, and one waits',
  );
  connection.call = call;
  for (const end of ends) end();
  for (const page of pages) t.equal((await page).status, 200);
  t.same(await figures(), ['in_flight 0', 'waiting 0']);
});

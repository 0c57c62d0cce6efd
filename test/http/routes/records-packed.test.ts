// Topics with `compression.type=gzip`: their batches lie packed in the store, and nobody who reads or writes can tell.
import t from 'tap';
import { eventually, http } from '../../helpers/server.ts';
import { ndjson, startTestBrokers, textOf, values } from '../../helpers/topics.ts';

const { server, other, newTopic } = await startTestBrokers(t);
const gzip = { 'compression.type': 'gzip' };
const text = (n: number) => `${n} ${'the same words again '.repeat(20)}`;

t.test('a compressed topic gives the same responses, and takes less memory', async (t) => {
  const [packed, plain] = [await newTopic(t, { config: gzip }), await newTopic(t)];
  let made = 0;
  for (const size of [1, 5, 40, 3, 1]) {
    const records = Array.from({ length: size }, () => {
      made += 1;
      return { key: `k${made % 7}`, value: text(made), timestamp: 1000 + made };
    });
    for (const topic of [packed, plain]) await http(topic.all, 'POST', { records });
  }
  for (const query of [
    '',
    'offset=7&maxRecords=1',
    'offset=3&maxRecords=44',
    'offset=30&maxBytes=2000',
    'timestamp=1030',
  ]) {
    const [one, two] = [packed, plain].map((topic) => textOf(`${topic.partition(0, 'other')}?${query}`));
    t.equal((await one)!.replace(packed.name, plain.name), await two, query);
  }
  for (let offset = 0; offset <= made; offset += 1) {
    const url = `${packed.partition(0)}?offset=${offset}&maxRecords=3`;
    const expected = Array.from({ length: Math.min(3, made - offset) }, (_, i) => text(offset + i + 1));
    t.same(values((await http(url)).body), expected);
  }
  const bytes = async ({ name }: { name: string }) =>
    (await http(`${server.url}/v1/topics/${name}`)).body.partitions[0].bytes as number;
  t.ok((await bytes(packed)) * 4 < (await bytes(plain)), 'bytes are those that are stored');
  const at = async ({ name }: { name: string }) => (await http(`${other.url}/v1/topics/${name}/offsets?at=1020`)).body;
  t.same((await at(packed)).partitions, (await at(plain)).partitions);
});

t.test('a large fetch of a compressed topic fills its limit, whatever the first read brought', async (t) => {
  const topic = await newTopic(t, { config: gzip });
  const records = Array.from({ length: 20 }, (_, n) => ({ value: text(n) }));
  for (let i = 0; i < 30; i += 1) await http(topic.all, 'POST', { records });
  const size = '"timestamp":1234567890123,"value":""}'.length + text(10).length;
  for (const maxBytes of [20 * size, 100 * size, 450 * size]) {
    const { body } = await http(`${topic.partition(0)}?maxBytes=${maxBytes}&maxRecords=600`);
    t.ok(body.records.length >= maxBytes / size - 1 && body.records.length <= maxBytes / size + 30, `${maxBytes}`);
  }
  t.equal((await http(`${topic.partition(0)}?maxRecords=1000`)).body.records.length, 600);
});

t.test('the limit of a message holds for what the client sends', async (t) => {
  const topic = await newTopic(t, { config: { ...gzip, 'max.message.bytes': 1000 } });
  const records = [{ value: 'x'.repeat(1000) }];
  t.match(await http(topic.all, 'POST', { records }), { status: 413, body: { code: 'TOO_LARGE' } });
});

t.test('what is sent without waiting stays in its order, and one topic may have both kinds', async (t) => {
  const topic = await newTopic(t, { config: gzip });
  const sizes = [5000, 1, 3000, 2, 4000, 3];
  for (const [n, size] of sizes.entries()) {
    await http(`${topic.all}?acks=0`, 'POST', { records: [{ value: `${n} ${'y'.repeat(size)}` }] });
  }
  await http(topic.topic, 'PATCH', { config: { 'compression.type': null } });
  await http(topic.all, 'POST', `${JSON.stringify({ value: '6 plain' })}\n`, ndjson);
  const read = async () => values((await http(topic.partition(0))).body) as string[];
  await eventually(async () => (await read()).length === 7, 'all are there');
  t.same(
    (await read()).map((value) => value.split(' ')[0]),
    ['0', '1', '2', '3', '4', '5', '6'],
  );
});

t.test('compaction of a compressed topic unpacks and packs', async (t) => {
  const topic = await newTopic(t, { config: { ...gzip, 'cleanup.policy': 'compact' } });
  for (let i = 0; i < 20; i += 1) {
    const records = [0, 1, 2, 3].map((key) => ({ key: `${key}`, value: text(i * 10 + key) }));
    await http(topic.all, 'POST', { records });
  }
  const read = async () => values((await http(topic.partition(0))).body);
  await eventually(async () => (await read()).length === 4, 'one record a key', 30_000);
  t.same(
    await read(),
    [0, 1, 2, 3].map((key) => text(190 + key)),
  );
  const { body } = await http(topic.topic);
  t.ok(body.partitions[0].bytes < text(0).length * 2);
});

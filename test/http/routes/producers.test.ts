// Named producers as a user sees them: exactly once, in order, fenced by the next epoch; through any broker.
import t from 'tap';
import { http, startTestServer } from '../../helpers/server.ts';
import { ndjson, startTestBrokers, type TestTopic, values } from '../../helpers/topics.ts';

const { server, other, newTopic } = await startTestBrokers(t);

interface Producer {
  id: string;
  epoch: number;
}

async function register(name: string, through = server, headers = {}): Promise<Producer> {
  const { status, body } = await http(`${through.url}/v1/producers`, 'POST', { name }, headers);
  if (status !== 201) throw new Error(JSON.stringify(body));
  return body;
}

const produce = (url: string, producer: Producer, sequence: number, records: unknown[]) =>
  http(url, 'POST', { records, producer: { ...producer, sequence } });

const ends = async ({ topic }: TestTopic): Promise<number[]> =>
  (await http(`${topic}/offsets`)).body.partitions.map(({ offset }: { offset: number }) => offset);

const sum = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0);

t.test('a name is one producer: the same id, and the next epoch', async (t) => {
  const first = await register('named');
  t.match(first, { id: /^[A-Za-z0-9_-]+$/, epoch: 0 });
  t.same(await register('named', other), { id: first.id, epoch: 1 });
  t.not((await register('another')).id, first.id);
  const key = { 'idempotency-key': 'register-once' };
  const once = await register('named', server, key);
  t.same(await register('named', other, key), once, 'a repeat with an Idempotency-Key gets its first response');
  t.same(await register('named'), { id: first.id, epoch: once.epoch + 1 });
  for (const body of [{}, { name: '' }, { name: 7 }, { name: 'x'.repeat(256) }, { name: 'a', more: 1 }]) {
    t.match(await http(`${server.url}/v1/producers`, 'POST', body), { status: 400, body: { code: 'BAD_REQUEST' } });
  }
});

t.test('a repeat of one of the last five gets its first response, a gap is refused', async (t) => {
  const topic = await newTopic(t, { partitions: 3 });
  const producer = await register('repeats');
  const responses = [];
  for (let sequence = 0; sequence < 7; sequence++) {
    const response = await produce(sequence % 2 ? topic.all : topic.otherAll, producer, sequence, [
      { value: sequence },
    ]);
    t.match(response, { status: 200, body: { results: [{ count: 1 }] } });
    responses.push(response);
  }
  t.ok(
    (await ends(topic)).every((end) => end > 0),
    'keyless requests go round the partitions',
  );
  for (let sequence = 2; sequence < 7; sequence++) {
    const again = await produce(topic.otherAll, producer, sequence, [{ value: sequence }]);
    t.equal(again.headers.get('idempotency-replayed'), 'true');
    t.same(again.body, responses[sequence]!.body);
  }
  for (const got of [8, 1]) {
    const refused = await produce(topic.all, producer, got, [{ value: 'no' }]);
    t.match(refused, { status: 409, body: { code: 'OUT_OF_ORDER_SEQUENCE', expected: 7, got } });
  }
  t.equal(sum(await ends(topic)), 7, 'each record is there once');
});

t.test('sequences are counted for each topic, and begin at 0', async (t) => {
  const [one, two] = [await newTopic(t), await newTopic(t)];
  const producer = await register('two topics');
  t.equal((await produce(one.all, producer, 0, [{ value: 1 }])).status, 200);
  t.match(await produce(two.all, producer, 1, [{ value: 1 }]), {
    status: 409,
    body: { code: 'OUT_OF_ORDER_SEQUENCE', expected: 0, got: 1 },
  });
  t.equal((await produce(two.all, producer, 0, [{ value: 1 }])).status, 200);
});

t.test('a new epoch fences the old one everywhere, also where it has not written yet', async (t) => {
  const [one, two] = [await newTopic(t, { partitions: 4 }), await newTopic(t)];
  const old = await register('taken over');
  const everywhere = [0, 1, 2, 3].map((partition) => ({ partition, value: 1 }));
  t.equal((await produce(one.all, old, 0, everywhere)).status, 200);
  const now = await register('taken over', other);
  for (const { all } of [one, two]) {
    t.match(await produce(all, old, 1, [{ value: 2 }]), {
      status: 409,
      body: { code: 'PRODUCER_FENCED', epoch: now.epoch },
    });
  }
  t.match(
    await produce(one.all, old, 0, everywhere),
    { status: 409 },
    'a repeat, too: its response is nobody’s any more',
  );
  t.same(await ends(one), [1, 1, 1, 1]);
  t.equal((await produce(one.all, now, 0, [{ value: 3 }])).status, 200);
});

t.test('no request of an old epoch is appended once the new one was acknowledged, whatever is under way', async (t) => {
  const topic = await newTopic(t, { partitions: 6 });
  let producer = await register('raced');
  for (let round = 0; round < 6; round++) {
    let stopped = false;
    const old = producer;
    const flood = async (worker: number) => {
      for (let sequence = 0; !stopped; sequence++) {
        // Of many that guess the sequence one is right; what counts is that none comes through late.
        const through = worker % 2 ? topic.all : topic.otherAll;
        await produce(through, old, sequence, [{ partition: (worker + sequence) % 6, value: old.epoch }]);
      }
    };
    const workers = [0, 1, 2, 3].map(flood);
    producer = await register('raced', round % 2 ? server : other);
    const before = await ends(topic);
    stopped = true;
    await Promise.all(workers);
    t.same(await ends(topic), before);
  }
});

t.test('a producer that nobody registered, or an epoch that nobody was given, is unknown', async (t) => {
  const topic = await newTopic(t);
  const { id } = await register('known');
  for (const producer of [
    { id: 'nobody', epoch: 0 },
    { id, epoch: 1 },
  ]) {
    const refused = await produce(topic.all, producer, 0, [{ value: 1 }]);
    t.match(refused, { status: 404, body: { code: 'UNKNOWN_PRODUCER', detail: /POST \/v1\/producers/ } });
  }
  t.same(await ends(topic), [0]);
});

t.test('a request over several partitions is completed by its repeat, and by nothing else', async (t) => {
  const topic = await newTopic(t, { partitions: 4 });
  const producer = await register('in part');
  const records = [0, 1, 2, 3].map((partition) => ({ partition, value: 'v' }));
  t.equal((await produce(topic.all, producer, 0, records)).status, 200);
  // One partition cannot be reached: what became of it is not known.
  const { logs } = server.broker.store;
  const append = logs.append.bind(logs);
  for (const [sequence, fails] of [0, 1, 2, 3].entries()) {
    logs.append = (topicId, partition, batches) =>
      partition === fails ? Promise.reject(new Error('cut off')) : append(topicId, partition, batches);
    t.equal((await produce(topic.all, producer, sequence + 1, records)).status, 500);
    logs.append = append;
    const again = await produce(topic.otherAll, producer, sequence + 1, records);
    t.equal(again.status, 200);
    t.equal(again.headers.get('idempotency-replayed'), null, 'it was not all there');
    const more = await produce(topic.all, producer, sequence + 1, records);
    t.equal(more.headers.get('idempotency-replayed'), 'true');
    t.same(more.body, again.body);
    t.same(await ends(topic), Array(4).fill(sequence + 2));
  }
});

t.test('a repeat after partitions were added goes to where the first try went', async (t) => {
  const keyed = Array.from({ length: 20 }, (_, i) => ({ key: `key-${i}`, value: i }));
  const key = { 'idempotency-key': 'grown' };
  for (const records of [[{ value: 1 }], keyed, [...keyed, { value: 'no key' }]]) {
    const topic = await newTopic(t, { partitions: 3 });
    const producer = await register(`before ${topic.name}`);
    const body = { records, producer: { ...producer, sequence: 0 } };
    const first = await http(topic.all, 'POST', body);
    const firstKeyed = await http(topic.all, 'POST', { records }, key);
    t.equal(first.status, 200);
    await http(topic.topic, 'PATCH', { partitions: 7 });
    const before = await ends(topic);
    for (const url of [topic.all, topic.otherAll]) {
      const again = await http(`${url}?offsets=true`, 'POST', body);
      t.equal(again.headers.get('idempotency-replayed'), 'true');
      t.same(again.body.results, first.body.results);
      t.equal(again.body.offsets.length, records.length);
      const againKeyed = await http(`${url}`, 'POST', { records }, key);
      t.equal(againKeyed.headers.get('idempotency-replayed'), 'true');
      t.same(againKeyed.body, firstKeyed.body);
    }
    t.same(await ends(topic), before);
    t.equal((await produce(topic.all, producer, 1, records)).status, 200);
  }
});

t.test('of many repeats at once each record is appended once', async (t) => {
  const topic = await newTopic(t, { partitions: 3 });
  const producer = await register('at once');
  const records = [0, 1, 2].map((partition) => ({ partition, value: 'v' }));
  for (let sequence = 0; sequence < 4; sequence++) {
    const responses = await Promise.all(
      Array.from({ length: 12 }, (_, i) => produce(i % 2 ? topic.all : topic.otherAll, producer, sequence, records)),
    );
    for (const { status, body } of responses) t.same([status, body], [200, responses[0]!.body]);
  }
  t.same(await ends(topic), [4, 4, 4]);
});

t.test('a raw record and NDJSON name their producer in a header; each batch takes the next sequence', async (t) => {
  const topic = await newTopic(t);
  const { id, epoch } = await register('headers');
  const known = (sequence: number) => ({ 'weir-producer': `${id}:${epoch}:${sequence}` });
  const raw = () => http(topic.all, 'POST', 'hello', { 'content-type': 'text/plain', ...known(0) });
  t.same((await raw()).body, (await raw()).body);
  const lines = Array.from({ length: 2500 }, (_, i) => `{"value":${i}}\n`).join('');
  const stream = () => http(topic.all, 'POST', lines, { ...ndjson, ...known(1) });
  const first = await stream();
  const results = first.body.trim().split('\n').map(JSON.parse);
  t.match(results, [{ sequence: 1, count: 1000 }, { sequence: 2 }, { sequence: 3, baseOffset: 2001, count: 500 }]);
  t.equal((await stream()).body, first.body.replaceAll('}\n', ',"replayed":true}\n'), 'it says that it is a replay');
  t.same(await ends(topic), [2501]);
  t.same(values((await http(`${topic.partition(0)}?maxRecords=2`)).body), ['hello', 0]);
});

t.test('a producer that is not well-formed is refused, and nothing is written', async (t) => {
  const topic = await newTopic(t);
  const stamp = { ...(await register('formed')), sequence: 0 };
  const { sequence: _, ...noSequence } = stamp;
  for (const producer of [
    7,
    null,
    {},
    noSequence,
    { ...stamp, sequence: -1 },
    { ...stamp, epoch: 0.5 },
    { ...stamp, x: 1 },
  ]) {
    const { status, body } = await http(topic.all, 'POST', { records: [{ value: 1 }], producer });
    t.match({ status, body }, { status: 400, body: { code: 'BAD_REQUEST', detail: /producer/ } });
  }
  for (const header of ['x', 'a:b:c', `${stamp.id}:0`, `${stamp.id}:0:99999999999999999`, 'ü:0:0']) {
    const headers = { 'weir-producer': Buffer.from(header).toString('latin1') };
    t.match(await http(topic.all, 'POST', { records: [{ value: 1 }] }, headers), { status: 400 }, header);
  }
  const both = { 'weir-producer': `${stamp.id}:0:0` };
  t.match(await http(topic.all, 'POST', { records: [{ value: 1 }], producer: stamp }, both), { status: 400 });
  const key = { 'idempotency-key': 'k' };
  t.match(await http(topic.all, 'POST', { records: [{ value: 1 }], producer: stamp }, key), { status: 400 });
  t.same(await ends(topic), [0]);
});

t.test('producers are listed in pages, those that were not used for longest first', async (t) => {
  const alone = await startTestServer(t);
  for (const name of ['a', 'b', 'c', 'a'])
    t.equal((await http(`${alone.url}/v1/producers`, 'POST', { name })).status, 201);
  const names: string[] = [];
  let after = '';
  do {
    const { body } = await http(`${alone.url}/v1/producers?limit=2${after && `&after=${after}`}`);
    names.push(...body.producers.map(({ name }: { name: string }) => name));
    after = body.next ?? '';
  } while (after !== '');
  t.same([...names].sort(), ['a', 'b', 'c']);
  const { producers } = (await http(`${alone.url}/v1/producers`)).body;
  const times = producers.map(({ usedAt }: { usedAt: number }) => usedAt);
  t.same(times, [...times].sort(), 'by the time of their use');
  t.match(
    producers.find(({ name }: { name: string }) => name === 'a'),
    { epoch: 1, id: /^[\w-]+$/ },
  );
  t.match(await http(`${alone.url}/v1/producers?after=x`), { status: 400, body: { field: 'after' } });
});

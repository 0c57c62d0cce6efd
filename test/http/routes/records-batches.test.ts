// Fetches and consume calls that return batches as they are stored, compared with the same ones as JSON.
import t from 'tap';
import { asBatches, fetchBatches } from '../../helpers/batches.ts';
import { eventually, http } from '../../helpers/server.ts';
import { startTestBrokers, type TestTopic } from '../../helpers/topics.ts';

const { server, newTopic } = await startTestBrokers(t);

/** What a fetch and a fetch of batches have of the same place. */
async function bothForms({ partition }: TestTopic, query: string) {
  const json = await http(`${partition(0)}?${query}`);
  const batches = await fetchBatches(`${partition(0, 'other')}?${query}`);
  return { json, batches };
}

const records = (count: number, from = 0) => Array.from({ length: count }, (_, i) => ({ value: `v${from + i}` }));

t.test('a fetch of batches has the records of a fetch, a batch for each request', async (t) => {
  const topic = await newTopic(t);
  await http(topic.all, 'POST', { records: [{ key: 'a', value: 1, headers: { h: 'x' } }, {}, { value: 'é' }] });
  await http(topic.all, 'POST', {
    records: [
      { key: 'b', timestamp: 5 },
      { valueBase64: 'AAE=', timestamp: 6 },
    ],
  });
  await http(topic.all, 'POST', { records: records(3) });
  for (let offset = 0; offset <= 8; offset++) {
    const { json, batches } = await bothForms(topic, `offset=${offset}`);
    t.same(batches.records, json.body.records);
    t.match(batches.headers.get('content-type'), /^application\/vnd\.weir\.batches/);
    t.equal(batches.headers.get('weir-next-offset'), String(json.body.nextOffset));
    t.equal(batches.headers.get('weir-log-start-offset'), String(json.body.logStartOffset));
    t.equal(batches.headers.get('weir-end-offset'), String(json.body.endOffset));
    t.equal(batches.headers.get('cache-control'), json.headers.get('cache-control'));
  }
  const { batches } = await fetchBatches(topic.partition(0));
  t.match(
    batches.map(({ head }) => head),
    [
      { partition: 0, baseOffset: 0, count: 3 },
      { partition: 0, baseOffset: 3, count: 2 },
      { partition: 0, baseOffset: 5, count: 3 },
    ],
  );
  t.same(Object.keys(batches[0]!.head), ['partition', 'baseOffset', 'count', 'timestamp', 'bytes']);
  t.equal((await fetchBatches(`${topic.partition(0)}?offset=latest`)).body.length, 0);
});

t.test('batches stay whole within the limits, and the first one is cut to them', async (t) => {
  const topic = await newTopic(t);
  for (let i = 0; i < 3; i++) await http(topic.all, 'POST', { records: records(10, 10 * i) });
  const heads = async (query: string) =>
    (await fetchBatches(`${topic.partition(0)}?${query}`)).batches.map(({ head }) => [head.baseOffset, head.count]);
  t.same(await heads('maxRecords=25'), [
    [0, 10],
    [10, 10],
  ]);
  t.same(await heads('maxRecords=4'), [[0, 4]]);
  t.same(await heads('offset=4&maxRecords=16'), [
    [4, 6],
    [10, 10],
  ]);
  const { bytes } = (await fetchBatches(topic.partition(0))).batches[0]!.head;
  t.same(await heads(`maxBytes=${bytes}`), [[0, 10]]);
  t.same(await heads(`maxBytes=${bytes - 1}`), [[0, 9]]);
  t.same(await heads('maxBytes=1'), [[0, 1]], 'one record always fits');
  for (const limit of ['maxRecords=7', 'maxBytes=60', 'maxRecords=1']) {
    const read: number[] = [];
    for (let offset = 0; offset < 30; ) {
      const page = await fetchBatches(`${topic.partition(0)}?offset=${offset}&${limit}`);
      read.push(...page.records.map((record) => record.offset));
      offset = Number(page.headers.get('weir-next-offset'));
    }
    t.same(read, [...Array(30).keys()], `${limit}: page by page every record once`);
  }
});

t.test('a fetch of batches waits, and fails, as any fetch does', async (t) => {
  const topic = await newTopic(t);
  const waiting = fetchBatches(`${topic.partition(0)}?wait=30s`);
  await eventually(
    async () => /weir_log_waits [1-9]/.test(await (await fetch(`${server.url}/metrics`)).text()),
    'it waits',
  );
  await http(topic.all, 'POST', { records: records(2) });
  t.same(
    (await waiting).records.map(({ value }) => value),
    ['v0', 'v1'],
  );
  for (const query of ['offset=9', 'maxBytes=0', 'offset=1&timestamp=2']) {
    const { json, batches } = await bothForms(topic, query);
    t.equal(batches.status, json.status);
    t.equal(batches.response.code, json.body.code);
    t.match(batches.headers.get('content-type'), /problem\+json/);
  }
  const { json, batches } = await bothForms(topic, 'timestamp=1');
  t.same(batches.records, json.body.records);
});

t.test('compressed batches are passed on compressed to a reader that takes gzip, and to no other', async (t) => {
  const topic = await newTopic(t, { config: { 'compression.type': 'gzip' } });
  const value = 'x'.repeat(400);
  for (let i = 0; i < 3; i++) {
    await http(topic.all, 'POST', { records: Array.from({ length: 10 }, (_, n) => ({ key: `${i}-${n}`, value })) });
  }
  await http(topic.all, 'POST', { records: [{ value: 'too short to be compressed' }] });
  const encodings = async (query: string, encoding: string) => {
    const batches = await fetchBatches(`${topic.partition(0)}?${query}`, { encoding });
    const all = (await http(topic.partition(0))).body.records;
    const from = batches.records[0]!.offset;
    t.same(batches.records, all.slice(from, from + batches.records.length));
    t.notOk(batches.headers.has('content-encoding'));
    return batches.batches.map(({ head }) => head.encoding);
  };
  const gzip = 'gzip';
  t.same(await encodings('', 'gzip, deflate'), [gzip, gzip, gzip, undefined]);
  t.same(await encodings('', 'br'), [undefined, undefined, undefined, undefined]);
  t.same(await encodings('', 'gzip;q=0'), [undefined, undefined, undefined, undefined]);
  t.same(
    await encodings('offset=4', gzip),
    [undefined, gzip, gzip, undefined],
    'a batch that is cut is not compressed',
  );
  const { head } = (await fetchBatches(topic.partition(0), { encoding: gzip })).batches[0]!;
  t.same(await encodings(`maxBytes=${3 * head.bytes}`, gzip), [gzip, gzip, gzip], 'limits count what is sent');
  t.same(await encodings('maxBytes=1', gzip), [undefined]);
});

t.test('batches that compaction has changed keep the offsets of their records', async (t) => {
  const topic = await newTopic(t, { config: { 'cleanup.policy': 'compact' } });
  for (let i = 0; i < 8; i++) {
    await http(topic.all, 'POST', { records: ['a', 'b', `only-${i}`].map((key) => ({ key, value: i })) });
  }
  await eventually(async () => (await http(topic.partition(0))).body.records.length === 10, 'compaction');
  for (let offset = 0; offset <= 24; offset++) {
    const { body } = await http(`${topic.partition(0)}?offset=${offset}`);
    for (const limit of ['maxRecords=500', 'maxRecords=2', 'maxBytes=90']) {
      const { records: read } = await fetchBatches(`${topic.partition(0)}?offset=${offset}&${limit}`);
      t.same(read, body.records.slice(0, read.length), `offset ${offset}, ${limit}`);
      t.ok(read.length > 0 || body.records.length === 0);
    }
  }
  const { batches } = await fetchBatches(topic.partition(0));
  t.ok(batches.some(({ head, records }) => records.length < head.count));
});

t.test('a member consumes batches of several topics, with all that it needs to go on', async (t) => {
  const [one, two] = [
    await newTopic(t, { partitions: 2 }),
    await newTopic(t, { config: { 'compression.type': 'gzip' } }),
  ];
  const member = `${server.url}/v1/groups/batches/members/m`;
  const joined = await http(`${server.url}/v1/groups/batches/members`, 'POST', {
    memberId: 'm',
    topics: [one.name, two.name],
    reset: 'earliest',
  });
  const headers = { 'weir-member': joined.body.memberSecret };
  const consume = (query: string, encoding?: string) =>
    fetchBatches(`${member}/records?${query}`, { headers, ...(encoding !== undefined && { encoding }) });
  await http(one.partition(0), 'POST', { records: records(5) });
  await http(one.partition(1), 'POST', { records: records(5, 5) });
  await http(two.all, 'POST', { records: Array(20).fill({ value: 'x'.repeat(200) }) });

  const first = await consume('after=0&maxRecords=16', 'gzip');
  t.match(first.response, { next: Number, memberEpoch: Number, assignment: Array, partitions: Array });
  t.notOk('records' in first.response);
  t.ok(first.headers.get('weir-zxid'));
  const place = ({ topic, partition }: Record<string, unknown>) => `${topic}:${partition}`;
  t.same(
    first.batches.map(({ head }) => place(head)),
    [`${one.name}:0`, `${one.name}:1`, `${two.name}:0`],
  );
  for (const { topic, partition, nextOffset } of first.response.partitions) {
    const own = first.batches.filter(({ head }) => place(head) === place({ topic, partition }));
    t.equal(
      own.reduce((sum, { head }) => sum + head.count, 0),
      nextOffset,
    );
  }
  const repeated = await consume('after=0&maxRecords=16', 'gzip');
  t.same(repeated.records, first.records, 'a repeat has the same records');
  t.same(repeated.response.partitions, first.response.partitions);
  const consumeJson = async (query: string) => {
    const { body } = await http(`${member}/records?${query}`, 'GET', undefined, headers);
    return { response: body, records: body.records };
  };
  const { topic: _, partition: __, ...record } = (await consumeJson('after=0')).records[0];
  t.same(record, first.records[0], 'a repeat may have the other form');

  const counts = new Map(first.response.partitions.map((at: any) => [place(at), at.nextOffset]));
  let after = first.response.next;
  let total = first.records.length;
  // The forms may alternate: what was prefetched for one is read by the other.
  for (let turn = 0; total < 30; turn++) {
    const encoding = turn % 3 === 0 ? 'gzip' : 'identity';
    const limits = `after=${after}&maxRecords=5&commit=previous`;
    const { response, records: read } = turn % 3 === 2 ? await consumeJson(limits) : await consume(limits, encoding);
    after = response.next;
    for (const at of response.partitions) {
      t.ok(at.nextOffset > (counts.get(place(at)) ?? 0));
      counts.set(place(at), at.nextOffset);
    }
    total += read.length;
  }
  t.equal(total, 30);
  const empty = await consume(`after=${after}`);
  t.same(empty.batches, []);
  t.equal(empty.response.next, after);
  const stale = await consume('after=1');
  t.equal(stale.response.code, 'STALE_POSITION');
  const post = await fetch(`${member}/records?after=${after}`, {
    method: 'POST',
    headers: { ...asBatches, ...headers },
  });
  t.equal(post.headers.get('content-type'), asBatches.accept);
  await post.arrayBuffer();
});

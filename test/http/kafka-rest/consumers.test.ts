// Consumer instances of the Kafka REST dialect, through any broker.
import { once } from 'node:events';
import { request } from 'node:http';
import { buffer } from 'node:stream/consumers';
import t from 'tap';
import { writePolicy } from '../../helpers/access.ts';
import { errorOf, kafka, kafkaBinary, kafkaJson, kafkaPost } from '../../helpers/kafka-rest.ts';
import { eventually, http, startTestServer } from '../../helpers/server.ts';

const first = await startTestServer(t, { brokerId: 1001 });
const second = await startTestServer(t, { brokerId: 1002 }, first.target);
const urls = [first.url, second.url];
let calls = 0;
/** The brokers in turn, as a load balancer selects them. */
const next = () => urls[calls++ % urls.length]!;

/** An instance whose calls go to the brokers in turn. */
class Instance {
  readonly path: string;

  constructor(group: string, name: string) {
    this.path = `/consumers/${group}/instances/${name}`;
  }

  static async create(group: string, settings: object): Promise<Instance> {
    const { status, body } = await kafkaPost(`${next()}/consumers/${group}`, settings);
    if (status !== 200) throw new Error(JSON.stringify(body));
    return new Instance(group, body.instance_id);
  }

  post(path: string, body?: unknown) {
    return kafkaPost(`${next()}${this.path}${path}`, body);
  }

  get(path: string, accept = kafka) {
    return http(`${next()}${this.path}${path}`, 'GET', undefined, { accept });
  }

  delete(path = '') {
    return http(`${next()}${this.path}${path}`, 'DELETE');
  }

  async poll(query = 'timeout=5000', type = kafkaJson): Promise<any[]> {
    const { status, body } = await this.get(`/records?${query}`, type);
    if (status !== 200) throw new Error(JSON.stringify(body));
    return body;
  }
}

/** Confluent's call has a body; fetch() sends none with GET. */
async function getWithBody(url: string, body: object): Promise<any> {
  const text = JSON.stringify(body);
  const sent = request(url, { method: 'GET', headers: { 'content-type': kafka, 'content-length': text.length } });
  sent.end(text);
  const [response] = await once(sent, 'response');
  return JSON.parse((await buffer(response)).toString());
}

const json = { format: 'json', 'auto.offset.reset': 'earliest', 'auto.commit.enable': 'false' };

async function topicWith(name: string, values: unknown[], partitions = 1): Promise<void> {
  await http(`${first.url}/v1/topics`, 'POST', { name, partitions });
  const records = values.map((value, i) => ({ value, partition: i % partitions }));
  await http(`${first.url}/v1/topics/${name}/records`, 'POST', { records });
}

t.test('kafka-topics-ui reads a topic from its beginning', async (t) => {
  await topicWith('ui', ['a', 'b', 'c'], 2);
  // The sequence of its src/factories/consumer.factory.js.
  const created = await kafkaPost(
    `${next()}/consumers/kafka_topics_ui_json_x`,
    '{"name": "kafka-topics-ui-json", "format": "json", "auto.offset.reset": "earliest", "auto.commit.enable": "false"}',
  );
  t.match(created, { status: 200, body: { instance_id: 'kafka-topics-ui-json', base_uri: /^http:/ } });
  t.match(created.body.base_uri, /\/consumers\/kafka_topics_ui_json_x\/instances\/kafka-topics-ui-json$/);
  const ui = new Instance('kafka_topics_ui_json_x', 'kafka-topics-ui-json');
  const { body: found } = await http(`${next()}/topics/ui/partitions`);
  const partitions = { partitions: found.map(({ partition }: any) => ({ topic: 'ui', partition })) };
  t.equal((await ui.post('/assignments', partitions)).status, 204);
  t.equal((await ui.post('/positions/beginning', partitions)).status, 204);
  const { status, headers, body } = await ui.get('/records?timeout=3000&max_bytes=3000000', kafkaJson);
  t.equal(status, 200);
  t.equal(headers.get('content-type'), kafkaJson);
  t.same(body.map(({ value }: any) => value).sort(), ['a', 'b', 'c']);
  t.match(body[0], { topic: 'ui', key: null, partition: Number, offset: Number, timestamp: Number });
  t.equal((await ui.delete()).status, 204);
  t.same(errorOf(await ui.get('/assignments')), [404, 40403]);
});

t.test('the first poll after a subscription returns records, through any broker', async (t) => {
  await topicWith('polled', [1, 2, 3]);
  const instance = await Instance.create('polls', json);
  t.equal((await instance.post('/subscription', { topics: ['polled'] })).status, 204);
  t.same((await instance.get('/subscription')).body, { topics: ['polled'] });
  t.same(
    (await instance.poll()).map(({ value, offset }: any) => [value, offset]),
    [
      [1, 0],
      [2, 1],
      [3, 2],
    ],
  );
  t.same((await instance.get('/assignments')).body, { partitions: [{ topic: 'polled', partition: 0 }] });
  const waiting = instance.poll('timeout=30000');
  await http(`${first.url}/v1/topics/polled/records`, 'POST', { records: [{ value: 4 }] });
  t.match(await waiting, [{ value: 4 }], 'a poll that waits returns as soon as there is a record');
});

t.test('an offset is committed as the next one to read', async (t) => {
  await topicWith('committed', ['a', 'b', 'c']);
  const instance = await Instance.create('commits', json);
  await instance.post('/subscription', { topics: ['committed'] });
  await instance.poll();
  const commit = { offsets: [{ topic: 'committed', partition: 0, offset: 0, metadata: 'm' }] };
  t.match(await instance.post('/offsets', commit), { status: 200, body: [] });
  t.match((await instance.get('/offsets')).body, {
    offsets: [{ topic: 'committed', partition: 0, offset: 1, metadata: 'm' }],
  });
  const wanted = { partitions: [{ topic: 'committed', partition: 0 }] };
  t.match(await getWithBody(`${first.url}${instance.path}/offsets`, wanted), { offsets: [{ offset: 1 }] });
  const other = { partitions: [{ topic: 'committed', partition: 7 }] };
  t.same(await getWithBody(`${first.url}${instance.path}/offsets`, other), { offsets: [] });
  t.equal((await instance.post('/offsets')).status, 200);
  t.match((await instance.get('/offsets')).body, { offsets: [{ offset: 3 }] }, 'without a body everything polled');
  await instance.delete();
  const again = await Instance.create('commits', json);
  await again.post('/subscription', { topics: ['committed'] });
  t.same(await again.poll('timeout=0'), []);
});

t.test(
  'an instance that commits by itself commits what was polled with the next poll, and when it is deleted',
  async (t) => {
    await topicWith('auto', ['a']);
    const instance = await Instance.create('auto', { format: 'json', 'auto.offset.reset': 'earliest' });
    await instance.post('/subscription', { topics: ['auto'] });
    t.equal((await instance.poll()).length, 1);
    t.match((await instance.get('/offsets')).body, { offsets: [] });
    await instance.poll('timeout=0');
    t.match((await instance.get('/offsets')).body, { offsets: [{ offset: 1 }] });
    await http(`${first.url}/v1/topics/auto/records`, 'POST', { records: [{ value: 'b' }] });
    t.equal((await instance.poll()).length, 1);
    await instance.delete();
    t.match((await http(`${first.url}/v1/groups/auto/offsets`)).body.offsets, [{ offset: 2 }]);
  },
);

t.test('a member that its group has removed joins again with the next poll', async (t) => {
  await topicWith('removed', ['a']);
  const instance = await Instance.create('removed', json);
  await instance.post('/subscription', { topics: ['removed'] });
  await instance.poll();
  const { members } = (await http(`${first.url}/v1/groups/removed`)).body;
  await first.broker.groups.leave('removed', members[0].memberId, {});
  t.match(await instance.poll(), [{ value: 'a' }], 'from what is committed');
});

t.test('positions are offsets, moments, beginning and end', async (t) => {
  await topicWith('sought', ['a', 'b', 'c']);
  const at = { topic: 'sought', partition: 0 };
  for (const [group, attach] of [
    ['seek-subscribed', (one: Instance) => one.post('/subscription', { topics: ['sought'] })],
    ['seek-assigned', (one: Instance) => one.post('/assignments', { partitions: [at] })],
  ] as const) {
    const instance = await Instance.create(group, json);
    t.equal((await attach(instance)).status, 204, group);
    const values = async () => (await instance.poll('timeout=100')).map(({ value }: any) => value);
    t.same(await values(), ['a', 'b', 'c'], group);
    await instance.post('/positions', { offsets: [{ ...at, offset: 1 }] });
    t.same(await values(), ['b', 'c'], group);
    await instance.post('/positions/beginning', { partitions: [at] });
    t.same(await values(), ['a', 'b', 'c'], group);
    await instance.post('/positions/end', { partitions: [at] });
    t.same(await values(), [], group);
    await instance.post('/positions', { timestamps: [{ ...at, timestamp: '2020-01-01T00:00:00Z' }] });
    t.same(await values(), ['a', 'b', 'c'], group);
    t.same(errorOf(await instance.post('/positions', { offsets: [{ ...at, partition: 7, offset: 0 }] })), [409, 40903]);
  }
});

t.test('a pattern subscribes to the topics that it matches', async (t) => {
  await topicWith('pattern-1', [1]);
  const instance = await Instance.create('patterns', json);
  t.match(await instance.post('/subscription', {}), {
    status: 422,
    body: { message: 'Neither topics nor topic_pattern was sent. Send topics or topic_pattern.' },
  });
  t.match(await instance.post('/subscription', { topics: ['a'], topic_pattern: 'a' }), {
    status: 422,
    body: { message: 'topics and topic_pattern were sent. Send only one of them.' },
  });
  await instance.post('/subscription', { topic_pattern: 'pattern-.*' });
  t.match(await instance.poll(), [{ topic: 'pattern-1', value: 1 }]);
  t.same((await instance.get('/subscription')).body, { topics: [], topic_pattern: 'pattern-.*' });
  t.equal((await instance.delete('/subscription')).status, 204);
  t.same(errorOf(await instance.get('/records', kafkaJson)), [409, 40903]);
});

t.test('records are read in the format of the instance, with their headers', async (t) => {
  await topicWith('formats', []);
  const headers = [{ key: 'h', value: 'AP8=' }];
  const records = [
    { key: { id: 1 }, value: { a: 12345678901 }, headers },
    { key: 'k', value: null },
  ];
  await kafkaPost(`${first.url}/topics/formats`, { records }, kafkaJson);
  await kafkaPost(`${first.url}/topics/formats`, { records: [{ key: 'aw==', value: 'AP8=' }] }, kafkaBinary);
  const asJson = await Instance.create('formats-json', json);
  await asJson.post('/subscription', { topics: ['formats'] });
  t.match(await asJson.poll(), [
    { key: { id: 1 }, value: { a: 12345678901 }, headers },
    { key: 'k', value: null },
    { key: 'k', value: 'AP8=' },
  ]);
  const asBytes = await Instance.create('formats-binary', { ...json, format: 'binary' });
  await asBytes.post('/subscription', { topics: ['formats'] });
  const bytes = (text: string) => Buffer.from(text).toString('base64');
  t.match(await asBytes.poll('timeout=5000', kafkaBinary), [
    { key: bytes('{"id":1}'), value: bytes('{"a":12345678901}') },
    { key: bytes('"k"'), value: null },
    { key: 'aw==', value: 'AP8=' },
  ]);
  t.same(errorOf(await asBytes.get('/records', kafkaJson)), [406, 40601]);
});

t.test('a value may hold what looks like the rest of a record', async (t) => {
  const values = ['"key":"x"', { key: 1, headers: [], value: 2 }, '\\u0022}', { a: '}' }, 'plain', 1e21, null];
  await topicWith('lookalikes', []);
  const lines = [
    ...values.map((value) => JSON.stringify({ key: 'k', value })),
    '{"value":"first","key":"last"}',
    '{"value":1,"headers":{"h":"a"},"\\u006bey":"escaped"}',
  ];
  await http(`${first.url}/v1/topics/lookalikes/records`, 'POST', lines.join('\n'), {
    'content-type': 'application/x-ndjson',
  });
  const instance = await Instance.create('lookalikes', json);
  await instance.post('/subscription', { topics: ['lookalikes'] });
  const polled = await instance.poll();
  t.same(
    polled.map(({ value }: any) => value),
    [...values, 'first', 1],
  );
  t.same(
    polled.map(({ key }: any) => key),
    [...values.map(() => 'k'), 'last', 'escaped'],
  );
  t.same(polled.at(-1).headers, [{ key: 'h', value: 'YQ==' }]);
  const bytes = await Instance.create('lookalikes-binary', { ...json, format: 'binary' });
  await bytes.post('/subscription', { topics: ['lookalikes'] });
  const encoded = await bytes.poll('timeout=5000', kafkaBinary);
  const decoded = (text: string) => Buffer.from(text, 'base64').toString();
  t.same(
    encoded.map(({ value }: any) => JSON.parse(decoded(value))),
    [...values, 'first', 1],
    'also as bytes',
  );
  t.same(
    encoded.map(({ key }: any) => JSON.parse(decoded(key))),
    polled.map(({ key }: any) => key),
  );
  t.same(encoded.at(-1).headers, polled.at(-1).headers);
});

/** Bytes that are JSON as that JSON, others as base64. */
function jsonOf(base64: string): unknown {
  try {
    return JSON.parse(Buffer.from(base64, 'base64').toString());
  } catch {
    return base64;
  }
}

t.test('values of all lengths, kinds and timestamps are the same in both formats', async (t) => {
  await topicWith('lengths', []);
  const timestamp = Date.now() - 1000;
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const records = [
    ...Array.from({ length: 140 }, (_, i) => ({
      value: 'ä'.repeat(i),
      ...(i % 2 === 0 && { key: 'k'.repeat(i % 7) }),
    })),
    { value: [1, { a: '"' }], timestamp },
    { key: 'k', value: null, timestamp },
    { key: '\\"', value: 1, timestamp },
    { key: 'tombstone', timestamp },
    { timestamp },
    {},
    { keyBase64: 'AP8=', value: 2 },
    { keyBase64: 'AP8=', valueBase64: 'AP8=', timestamp },
    { key: 'k', valueBase64: Buffer.from('{"a":1}').toString('base64') },
    { valueBase64: '' },
    { valueBase64: base64('no JSON') },
    { valueBase64: base64('[1,') },
    { valueBase64: base64(' {"deep":[1]} ') },
    { keyBase64: base64('text'), value: 'after a key of bytes' },
  ];
  // Those of a batch of values alone are found in another way.
  const alone = [
    { value: 1 },
    { valueBase64: 'AP8=' },
    { value: 'ä"' },
    { value: 2, timestamp },
    { valueBase64: 'MQ==' },
  ];
  for (const some of [records, alone]) {
    await http(`${first.url}/v1/topics/lengths/records`, 'POST', { records: some });
  }
  const read = async (format: string, type: string) => {
    const instance = await Instance.create(`lengths-${format}`, { ...json, format });
    await instance.post('/subscription', { topics: ['lengths'] });
    return instance.poll('timeout=5000', type);
  };
  const [asJson, asBytes] = [await read('json', kafkaJson), await read('binary', kafkaBinary)];
  t.equal(asJson.length, records.length + alone.length);
  for (const [i, record] of ([...records, ...alone] as any[]).entries()) {
    const { key, keyBase64, value, valueBase64 } = record;
    const ofJson = valueBase64 === undefined ? (value ?? null) : jsonOf(valueBase64);
    const ofBytes = 'value' in record ? base64(JSON.stringify(value)) : (valueBase64 ?? null);
    const place = { topic: 'lengths', partition: 0, offset: i, timestamp: record.timestamp ?? Number };
    const ofKey = keyBase64 === base64('text') ? 'text' : (keyBase64 ?? key ?? null);
    t.match(asJson[i], { key: ofKey, value: ofJson, ...place }, `JSON, record ${i}`);
    const keyBytes = keyBase64 ?? (key === undefined ? null : base64(JSON.stringify(key)));
    t.match(asBytes[i], { key: keyBytes, value: ofBytes, ...place }, `bytes, record ${i}`);
  }
});

t.test('fetch.min.bytes makes a poll wait for more records', async (t) => {
  await topicWith('least', ['x'.repeat(100)]);
  const instance = await Instance.create('least', { ...json, 'fetch.min.bytes': 150 });
  await instance.post('/subscription', { topics: ['least'] });
  const waiting = instance.poll('timeout=30000');
  await eventually(async () => (await http(`${first.url}/v1/groups/least`)).body.members.length === 1, 'a member');
  await http(`${first.url}/v1/topics/least/records`, 'POST', { records: [{ value: 'y'.repeat(100) }] });
  t.equal((await waiting).length, 2);
  t.equal((await instance.poll('timeout=0')).length, 0);
});

t.test('calls that do not fit the state of an instance have the codes of Confluent', async (t) => {
  await topicWith('states', []);
  const create = (body: object) => kafkaPost(`${next()}/consumers/states`, body);
  t.equal((await create({ name: 'one', ...json })).status, 200);
  t.same(errorOf(await create({ name: 'one', ...json })), [409, 40902]);
  t.same(errorOf(await create({ format: 'avro' })), [422, 422]);
  t.same(errorOf(await create({ colour: 'red' })), [422, 422]);
  t.same(errorOf(await create({ 'auto.offset.reset': 'sideways' })), [422, 422]);
  t.same(errorOf(await create({ 'fetch.min.bytes': 0 })), [422, 40001]);
  const one = new Instance('states', 'one');
  t.same(errorOf(await one.get('/records', kafkaJson)), [409, 40903]);
  await one.post('/subscription', { topics: ['states'] });
  t.same(errorOf(await one.post('/assignments', { partitions: [{ topic: 'states', partition: 0 }] })), [409, 40903]);
  await one.delete('/subscription');
  t.same(errorOf(await one.post('/assignments', { partitions: [{ topic: 'states', partition: 9 }] })), [404, 40402]);
  t.same(errorOf(await one.post('/assignments', { partitions: [{ topic: 'none', partition: 0 }] })), [404, 40403]);
  t.equal((await one.post('/assignments', { partitions: [{ topic: 'states', partition: 0 }] })).status, 204);
  t.same(errorOf(await one.post('/subscription', { topics: ['states'] })), [409, 40903]);
  t.same(errorOf(await one.post('/subscription', {})), [422, 422]);
  t.same(errorOf(await one.post('/subscription', '{')), [400, 400]);
  const none = new Instance('states', 'none');
  for (const path of ['/subscription', '/assignments', '/offsets']) t.same(errorOf(await none.get(path)), [404, 40403]);
  t.same(errorOf(await none.get('/records', kafkaJson)), [404, 40403]);
  t.same(errorOf(await none.delete()), [404, 40403]);
});

t.test('an instance without calls ends after its idle timeout', async (t) => {
  const short = await startTestServer(t, { brokerId: 1003, kafkaRestIdleTimeoutMs: 500 }, first.target);
  const { body } = await kafkaPost(`${short.url}/consumers/idle`, json);
  const instance = new Instance('idle', body.instance_id);
  const { children } = await first.broker.store.namespace.children('/admin/consumer_instances', { limit: 1000 });
  t.ok(children.length > 0);
  await eventually(async () => {
    const left = await first.broker.store.namespace.children('/admin/consumer_instances', { limit: 1000 });
    return left.children.length < children.length;
  }, 'the instance is gone');
  t.same(errorOf(await instance.get('/subscription')), [404, 40403]);
});

t.test('an instance lives as long as a poll of it waits', async (t) => {
  const short = await startTestServer(t, { brokerId: 1006, kafkaRestIdleTimeoutMs: 500 }, first.target);
  await topicWith('patient', []);
  const { body } = await kafkaPost(`${short.url}/consumers/patient`, json);
  const path = `${short.url}/consumers/patient/instances/${body.instance_id}`;
  await kafkaPost(`${path}/assignments`, { partitions: [{ topic: 'patient', partition: 0 }] });
  const headers = { accept: kafkaJson };
  t.match(await http(`${path}/records?timeout=1500`, 'GET', undefined, headers), { status: 200, body: [] });
  t.match(await http(`${path}/assignments`), { status: 200 });
});

t.test('a group reads every record once, though a broker dies between polls', async (t) => {
  const values = Array.from({ length: 300 }, (_, i) => i);
  await topicWith('everything', values, 3);
  const dying = await startTestServer(t, { brokerId: 1004 }, first.target);
  urls.push(dying.url);
  const members = [await Instance.create('once', json), await Instance.create('once', json)];
  for (const member of members) await member.post('/subscription', { topics: ['everything'] });
  const seen: number[] = [];
  await eventually(async () => {
    for (const member of members) {
      seen.push(...(await member.poll('timeout=50&max_bytes=2000')).map(({ value }: any) => value));
      t.equal((await member.post('/offsets')).status, 200);
    }
    if (seen.length > 50 && urls.length === 3) {
      urls.pop();
      await dying.close();
    }
    return seen.length >= values.length;
  }, 'all records');
  t.same(
    seen.toSorted((a, b) => a - b),
    values,
  );
});

t.test('the number of instances is limited', async (t) => {
  const { namespace } = first.broker.store;
  t.intercept(namespace, 'stat', { value: async () => ({ zxid: 1, stat: { numChildren: 10_000 } }) });
  const refused = await kafkaPost(`${first.url}/consumers/full`, json);
  t.same(errorOf(refused), [429, 42901]);
  t.match(refused.body.message, /10000 consumer instances/);
  t.ok(refused.headers.get('retry-after'));
});

t.test('instances that are created at the same time do not pass the limit', async (t) => {
  // A cluster of their own: instances of other tests end meanwhile, and would make room.
  const one = await startTestServer(t, { brokerId: 1001 });
  const two = await startTestServer(t, { brokerId: 1002 }, one.target);
  t.equal((await kafkaPost(`${one.url}/consumers/before`, json)).status, 200);
  // Both brokers see a cluster that lacks three instances to the limit.
  for (const { broker } of [one, two]) {
    const { namespace } = broker.store;
    const stat = namespace.stat.bind(namespace);
    t.intercept(namespace, 'stat', {
      value: async (...call: Parameters<typeof stat>) => {
        const found = await stat(...call);
        const numChildren = found.stat.numChildren - 1 + 10_000 - 3;
        return { ...found, stat: { ...found.stat, numChildren } };
      },
    });
  }
  const created = await Promise.all(
    Array.from({ length: 12 }, (_, i) => kafkaPost(`${[one, two][i % 2]?.url}/consumers/crowd`, json)),
  );
  const statuses = created.map(({ status }) => status);
  t.ok(statuses.filter((status) => status === 200).length <= 3, statuses.join());
  t.ok(statuses.includes(429));
});

t.test('an instance belongs to the identity that made it', async (t) => {
  const rule = (who: string) => `  - who: ${who}\n    topics: { owned: [read] }\n    groups: { g: [use] }\n`;
  const policy = await writePolicy(
    t,
    ['a', 'b', 'c'],
    `allow:\n${rule('a')}${rule('b')}  - who: c\n    groups: { g: [use] }\n`,
  );
  const { url, broker } = await startTestServer(t, { brokerId: 1005, accessFile: policy.file }, first.target);
  await topicWith('owned', [1]);
  const as = (who: string) => ({ authorization: policy.as(who).authorization });
  const create = (who: string) => kafkaPost(`${url}/consumers/g`, { name: 'i', ...json }, kafka, as(who));
  t.equal((await create('a')).status, 200);
  const path = `${url}/consumers/g/instances/i`;
  t.equal((await http(`${path}/subscription`, 'GET', undefined, as('a'))).status, 200);
  t.same(errorOf(await http(`${path}/subscription`, 'GET', undefined, as('b'))), [404, 40403]);
  t.equal((await create('b')).status, 200, 'each identity has its own names');
  t.same(errorOf(await kafkaPost(`${url}/consumers/other`, json, kafka, as('a'))), [403, 40301]);
  t.equal((await create('c')).status, 200);
  t.same(errorOf(await kafkaPost(`${path}/subscription`, { topics: ['owned'] }, kafka, as('c'))), [403, 40301]);
  t.match(await kafkaPost(`${path}/subscription`, { topics: ['owned'] }, kafka, as('a')), { status: 204, body: '' });
  const { body } = await http(`${path}/records?timeout=5000`, 'GET', undefined, { accept: kafkaJson, ...as('a') });
  t.match(body, [{ value: 1 }]);
  const { namespace } = broker.store;
  t.intercept(namespace, 'stat', { value: async () => ({ zxid: 1, stat: { numChildren: 1500 } }) });
  const many = async (_: string, { after }: { after: string }) => ({
    children: Array(1000).fill({ name: `${after}0` }),
  });
  t.intercept(namespace, 'children', { value: many });
  t.same(errorOf(await kafkaPost(`${url}/consumers/g`, json, kafka, as('a'))), [429, 42901], 'an identity has a limit');
});

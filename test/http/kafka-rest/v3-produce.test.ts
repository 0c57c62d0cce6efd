// Producing with version 3 of the Kafka REST dialect: a stream of records with a report for each, and batches.
import { once } from 'node:events';
import { type ClientRequest, request } from 'node:http';
import t from 'tap';
import { writePolicy } from '../../helpers/access.ts';
import { errorOf } from '../../helpers/kafka-rest.ts';
import { eventually, http, startTestServer } from '../../helpers/server.ts';

const server = await startTestServer(t, { brokerId: 1001 });
const { url } = server;
const { clusterId } = server.broker.store;
const topics = `${url}/v3/clusters/${clusterId}/topics`;
const type = { 'content-type': 'application/json' };

async function topic(name: string, partitions = 1, config = {}): Promise<void> {
  await http(`${url}/v1/topics`, 'POST', { name, partitions, config });
}

/** The reports in a text: objects that follow each other. */
const reportsIn = (text: string): any[] =>
  text.split('\r\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]));

/** Sends records as one body, with its length. */
async function produce(name: string, body: string | object[], headers = {}): Promise<any[]> {
  const text = typeof body === 'string' ? body : body.map((record) => JSON.stringify(record)).join('');
  const response = await fetch(`${topics}/${name}/records`, {
    method: 'POST',
    body: text,
    headers: { ...type, ...headers },
  });
  if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
  return reportsIn(await response.text());
}

const json = (data: unknown) => ({ value: { type: 'JSON', data } });

async function stored(name: string, partition = 0): Promise<any[]> {
  return (await http(`${url}/v1/topics/${name}/partitions/${partition}/records?offset=0&maxRecords=10000`)).body
    .records;
}

/** A stream that is still open, and the reports that have come. */
async function openStream(name: string, first: object): Promise<{ sent: ClientRequest; reports: () => any[] }> {
  const sent = request(`${topics}/${name}/records`, { method: 'POST', headers: type });
  sent.write(JSON.stringify(first));
  const [response] = await once(sent, 'response');
  let text = '';
  response.setEncoding('utf8').on('data', (piece: string) => {
    text += piece;
  });
  return { sent, reports: () => reportsIn(text) };
}

t.test('a record has the type and size of what was sent in its report', async (t) => {
  await topic('types', 2);
  const record = {
    partition_id: 1,
    headers: [
      { name: 'h', value: 'AP8=' },
      { name: 'none', value: null },
    ],
    key: { type: 'BINARY', data: 'Zm9v' },
    value: { type: 'JSON', data: { foo: 'bar' } },
    timestamp: '2026-02-05T19:14:42Z',
  };
  t.same(await produce('types', [record]), [
    {
      error_code: 200,
      cluster_id: clusterId,
      topic_name: 'types',
      partition_id: 1,
      offset: 0,
      timestamp: '2026-02-05T19:14:42.000Z',
      key: { type: 'BINARY', size: 3 },
      value: { type: 'JSON', size: 13 },
    },
  ]);
  t.match(await stored('types', 1), [
    {
      keyBase64: 'Zm9v',
      value: { foo: 'bar' },
      headers: [
        ['h', { base64: 'AP8=' }],
        ['none', null],
      ],
    },
  ]);
  const reports = await produce('types', [
    { key: { type: 'STRING', data: 'ä' }, value: { type: 'STRING', data: 'bar' }, partition_id: 0 },
    { key: { type: 'JSON', data: 'ä' }, value: { type: 'BINARY', data: null }, partition_id: 0 },
    { key: { type: 'JSON', data: { id: 1 } }, value: null, partition_id: 0 },
  ]);
  t.match(reports, [
    { offset: 0, key: { type: 'STRING', size: 2 }, value: { type: 'STRING', size: 3 } },
    { offset: 1, key: { type: 'JSON', size: 4 }, value: { type: 'BINARY', size: 0 } },
    { offset: 2, key: { type: 'JSON', size: 8 } },
  ]);
  const [first, second, third] = await stored('types', 0);
  t.match(first, { key: 'ä', value: 'bar' });
  t.match(second, { key: 'ä' });
  t.notOk('value' in second, 'a tombstone');
  t.equal(Buffer.from(third.keyBase64, 'base64').toString(), '{"id":1}');
});

t.test('JSON is stored as it was sent', async (t) => {
  await topic('spelt');
  await produce('spelt', '{"value":{"type":"JSON","data":{"a": 12345678901234567890,\n "b":[1.0,"}{\\"]"]}}} ');
  const { body } = await http(`${url}/v1/topics/spelt/partitions/0/records?offset=0`, 'GET', undefined, {
    accept: 'application/x-ndjson',
  });
  t.match(JSON.stringify(body), /12345678901234567890/);
  t.match(JSON.stringify(body), /1\.0/);
});

t.test('records follow each other with or without space, and are reported in their order', async (t) => {
  await topic('order');
  const one = JSON.stringify(json('a'));
  t.same(
    (await produce('order', `\ufeff${one}${one} ${one}\r\n\t${one}`)).map(({ offset }) => offset),
    [0, 1, 2, 3],
  );
});

t.test('a record that is refused has an error, and the others are appended', async (t) => {
  await topic('mixed', 1, { 'max.message.bytes': 500 });
  const bad: [record: object, code: number][] = [
    [{ records: {} }, 400],
    [{ value: { type: 'BINARY', data: 'fooba' } }, 400],
    [{ value: { type: 'BINARY', data: 1 } }, 400],
    [{ value: { type: 'STRING', data: 1 } }, 400],
    [{ value: { type: 'XML', data: 1 } }, 400],
    [{ value: 'plain' }, 400],
    [{ value: { type: 'AVRO', data: 1 } }, 422],
    [{ value: { data: 1 } }, 422],
    [{ value: { type: 'JSON', data: 1, schema_id: 1 } }, 422],
    [{ headers: [{ key: 'h', value: 'AA==' }], ...json(1) }, 400],
    [{ timestamp: 'soon', ...json(1) }, 400],
    [{ partition_id: 'one', ...json(1) }, 400],
    [{ partition_id: 1, ...json(1) }, 40402],
    [{ partition_id: -1, ...json(1) }, 40402],
    [json('x'.repeat(600)), 413],
    [{ timestamp: '1970-01-02T00:00:00Z', ...json(1) }, 400],
  ];
  const records = bad.flatMap(([record], i) => [record, json(i)]);
  const reports = await produce('mixed', records);
  t.same(
    reports.filter((_, i) => i % 2 === 0).map(({ error_code }) => error_code),
    bad.map(([, code]) => code),
  );
  for (const { message } of reports.filter((_, i) => i % 2 === 0)) t.ok(message.length > 20, message);
  t.same(
    (await stored('mixed')).map(({ value }) => value),
    bad.map((_, i) => i),
  );
});

t.test('a stream whose length is known may be longer than any body', async (t) => {
  await topic('long', 2);
  const one = JSON.stringify(json('x'.repeat(1000)));
  const reports = await produce('long', one.repeat(17_000));
  t.equal(reports.length, 17_000);
  t.ok(reports.every(({ error_code }) => error_code === 200));
});

t.test('a stream of records for a partition that does not exist asks the store about a few of them', async (t) => {
  await topic('absent');
  const { namespace } = server.broker.store;
  const reads = t.capture(namespace, 'get', namespace.get);
  const reports = await produce('absent', JSON.stringify({ ...json(1), partition_id: 9 }).repeat(3000));
  t.same([...new Set(reports.map(({ error_code }) => error_code))], [40402]);
  t.ok(reads().length < 50, `${reads().length} reads`);
});

t.test('what cannot be told from the next record ends the stream', async (t) => {
  await topic('broken');
  for (const rest of ['[{}]', 'hello', '{"value":', ',{}', '{"value":{"type":"JSON","data":1']) {
    const reports = await produce('broken', `${JSON.stringify(json(1))}${rest}`);
    t.match(reports, [{ error_code: 200 }, { error_code: 400, message: /Nothing after it was read/ }], rest);
    t.equal(reports.length, 2);
  }
  t.match(await produce('broken', '{"value":{"type":"JSON","data":nul}}'), [{ error_code: 400 }]);
  t.match(await produce('broken', '{"value":{"type":"STRING","data":"a\nb"}}'), [{ error_code: 400 }]);
  t.same(
    await produce('broken', `{"a" 1}${JSON.stringify(json(1))}`).then((all) => all.map((one) => one.error_code)),
    [400, 200],
  );
});

t.test('a stream is appended and reported while it is open', async (t) => {
  await topic('open');
  const { sent, reports } = await openStream('open', json(1));
  await eventually(async () => reports().length === 1, 'the first report');
  sent.write(`${JSON.stringify(json(2))}{"value":{"ty`);
  await eventually(async () => reports().length === 2, 'the second report');
  sent.end('pe":"JSON","data":3}}');
  await eventually(async () => reports().length === 3, 'the third report');
  t.same(
    (await stored('open')).map(({ value }) => value),
    [1, 2, 3],
  );
});

t.test('a client that takes no reports is not read on', async (t) => {
  await topic('slow', 1, { 'retention.bytes': -1 });
  const sent = request(`${topics}/slow/records`, { method: 'POST', headers: type });
  sent.on('error', () => undefined);
  t.teardown(() => sent.destroy());
  const piece = Buffer.from(JSON.stringify(json('x')).repeat(2000));
  sent.write(piece);
  const [response] = await once(sent, 'response');
  response.pause();
  let written = 0;
  const isBlocked = () => sent.writableLength > 4 * 1024 * 1024;
  await eventually(async () => {
    for (let i = 0; i < 20 && !isBlocked(); i += 1) {
      sent.write(piece);
      written += piece.length;
    }
    return isBlocked();
  }, 'the server reads no more');
  const { body } = await http(`${url}/v1/topics/slow/offsets?at=latest`);
  const appended = body.partitions[0].offset * JSON.stringify(json('x')).length;
  t.ok(appended < written - 2 * 1024 * 1024, `${appended} of ${written} bytes were appended`);
});

t.test('a record larger than its topic allows is not kept in memory', async (t) => {
  await topic('huge', 1, { 'max.message.bytes': 1000 });
  const sent = request(`${topics}/huge/records`, { method: 'POST', headers: type });
  sent.on('error', () => undefined);
  t.teardown(() => sent.destroy());
  sent.write(`${JSON.stringify(json(1))}{"value":{"type":"JSON","data":"`);
  const [response] = await once(sent, 'response');
  let text = '';
  response.setEncoding('utf8').on('data', (data: string) => {
    text += data;
  });
  const closed = once(response, 'close');
  const filler = Buffer.alloc(64 * 1024, 'x');
  const timer = setInterval(() => sent.write(filler), 1);
  t.teardown(() => clearInterval(timer));
  await closed;
  t.match(reportsIn(text), [{ error_code: 200 }, { error_code: 413, message: /more than 66536 bytes/ }]);
});

t.test('a stream to a topic that does not exist has the error in each report', async (t) => {
  t.match(await produce('none', [json(1), json(2)]), [{ error_code: 40403 }, { error_code: 40403 }]);
});

t.test('a request without records, or of another type, is refused as a whole', async (t) => {
  await topic('whole');
  t.same(errorOf(await http(`${topics}/whole/records`, 'POST', '', type)), [422, 422]);
  t.same(errorOf(await http(`${topics}/whole/records`, 'POST', '{}', { 'content-type': 'text/plain' })), [415, 415]);
  t.same(errorOf(await http(`${topics}/whole/records`, 'POST', ' ', type)), [422, 422]);
  const charset = { 'content-type': 'application/json; charset=UTF-8' };
  t.match(await produce('whole', [json(1)], charset), [{ error_code: 200 }]);
});

t.test('while the store is away, the status tells it', async (t) => {
  await topic('away');
  const { logWriter } = server.broker;
  const { ServiceError } = await import('../../../src/core/service-error.ts');
  const failing = t.intercept(logWriter, 'produce', {
    value: async () => {
      throw new ServiceError('STORE_UNAVAILABLE', 'The store is away.');
    },
  });
  const refused = await http(`${topics}/away/records`, 'POST', JSON.stringify(json(1)), type);
  t.same(errorOf(refused), [503, 50003]);
  const batch = { entries: [{ id: '1', ...json(1) }] };
  t.same(errorOf(await http(`${topics}/away/records:batch`, 'POST', batch)), [503, 50003]);
  failing.restore();
  const { sent, reports } = await openStream('away', json(1));
  t.intercept(logWriter, 'produce', {
    value: async () => {
      throw new ServiceError('STORE_UNAVAILABLE', 'The store is away.');
    },
  });
  sent.end(JSON.stringify(json(2)));
  await eventually(async () => reports().length === 2, 'both reports');
  t.match(reports(), [{ error_code: 200 }, { error_code: 50003 }], 'later on each record has the error');
});

t.test('a stream that is sent again with the same Idempotency-Key appends nothing', async (t) => {
  await topic('again', 3);
  const records = [json(1), { value: { type: 'AVRO' } }, { ...json(2), key: { type: 'STRING', data: 'k' } }];
  const first = await produce('again', records, { 'idempotency-key': 'one' });
  t.same(await produce('again', records, { 'idempotency-key': 'one' }), first);
  const batch = { entries: records.map((record, i) => ({ id: String(i), ...record })) };
  const send = () => http(`${topics}/again/records:batch`, 'POST', batch, { 'idempotency-key': 'two' });
  const { body } = await send();
  t.same((await send()).body, body);
  const all = await Promise.all([0, 1, 2].map((partition) => stored('again', partition)));
  t.equal(all.flat().length, 4);
});

t.test('a batch has successes and failures by id', async (t) => {
  await topic('batch');
  const entries = [
    { id: 'a', ...json(1) },
    { id: 'b', value: { type: 'AVRO', data: 1 } },
    { id: 'c', partition_id: 9, ...json(3) },
    { id: 'd', ...json(4) },
  ];
  const { status, body } = await http(`${topics}/batch/records:batch`, 'POST', { entries });
  t.equal(status, 207);
  t.match(body.successes, [
    { id: 'a', offset: 0, partition_id: 0, topic_name: 'batch', value: { type: 'JSON', size: 1 } },
    { id: 'd', offset: 1 },
  ]);
  t.notOk('error_code' in body.successes[0]);
  t.match(body.failures, [
    { id: 'b', error_code: 422 },
    { id: 'c', error_code: 40402 },
  ]);
  const post = (text: string) => http(`${topics}/batch/records:batch`, 'POST', text, type);
  const many = Array.from({ length: 1001 }, (_, i) => ({ id: String(i), ...json(i) }));
  for (const bad of [
    '',
    '{}',
    '[]',
    '{"entries":[]}',
    '{"entries":{}}',
    '{"entries":[1]}',
    '{"entries":[{"value":null}]}',
    '{"entries":[{"id":""}]}',
    '{"entries":[{"id":1}]}',
    '{"entries":[{"id":"1"},{"id":"1"}]}',
    '{"entries":[{"id":"1"}],"more":1}',
    JSON.stringify({ entries: [{ id: 'x'.repeat(81) }] }),
    JSON.stringify({ entries: many }),
  ]) {
    t.same(errorOf(await post(bad)), [422, 42208], bad.slice(0, 50));
  }
  for (const bad of ['{', '{"entries":[{]}', 'x', '{"entries":[{"id":"a\nb"}]}'])
    t.same(errorOf(await post(bad)), [400, 400], bad);
});

t.test('access control: what the policy refuses is refused as a whole', async (t) => {
  const policy = await writePolicy(
    t,
    ['writer', 'reader'],
    'allow:\n  - who: writer\n    topics: { guarded: [write] }\n  - who: reader\n    topics: { guarded: [read] }\n',
  );
  await topic('guarded');
  const guarded = await startTestServer(t, { brokerId: 1002, accessFile: policy.file }, server.target);
  const send = (headers: Record<string, string>) =>
    http(`${guarded.url}/v3/clusters/${clusterId}/topics/guarded/records`, 'POST', JSON.stringify(json(1)), {
      ...type,
      ...headers,
    });
  t.equal((await send(policy.as('writer'))).status, 200);
  t.same(errorOf(await send(policy.as('reader'))), [403, 40301]);
  t.same(errorOf(await send({})), [401, 40101]);
});

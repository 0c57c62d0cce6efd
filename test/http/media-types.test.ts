// What each Content-Type and Accept means: a record is never stored in a form that its sender did not intend.
import t from 'tap';
import { http, startTestServer } from '../helpers/server.ts';

const { url } = await startTestServer(t);
let topics = 0;

/** Creates a topic. @returns the URL to produce to it, and a function that reads its records */
async function newTopic(): Promise<{ records: string; read: () => Promise<any[]> }> {
  topics += 1;
  const topic = `${url}/v1/topics/t${topics}`;
  await http(`${url}/v1/topics`, 'POST', { name: `t${topics}`, partitions: 1 });
  return {
    records: `${topic}/records`,
    read: async () => (await http(`${topic}/partitions/0/records`)).body.records,
  };
}

const mark = Buffer.from([0xef, 0xbb, 0xbf]);

t.test('the Content-Type distinguishes an envelope of records, NDJSON, one JSON value and bytes', async (t) => {
  const envelope = '{"records":[{"key":"k","value":1},{"value":{"a":2}}]}';
  const lines = '{"key":"k","value":1}\n\n{"value":{"a":2}}\n';
  const both = [{ key: 'k', value: 1 }, { value: { a: 2 } }];
  const cases: [type: string, body: string, stored: unknown[]][] = [
    ['application/json', envelope, both],
    ['Application/JSON; charset=UTF-8', envelope, both],
    ['text/json', envelope, both],
    ['text/json; charset=utf-8', envelope, both],
    ['application/x-ndjson', lines, both],
    ['application/ndjson', lines, both],
    ['application/jsonl', lines, both],
    ['application/x-jsonlines', lines, both],
    ['application/ndjson; charset=utf-8', lines, both],
    ['application/cloudevents+json', envelope, [{ value: JSON.parse(envelope) }]],
    ['application/geo+json', '\n [1,\n 2] ', [{ value: [1, 2] }]],
    ['application/vnd.api+json; ext=x', '7', [{ value: 7 }]],
    ['text/plain', '7', [{ value: '7' }]],
    ['application/x-www-form-urlencoded', envelope, [{ value: envelope }]],
    ['application/octet-stream', 'hi', [{ valueBase64: 'aGk=' }]],
  ];
  for (const [type, body, stored] of cases) {
    for (const marked of [false, true]) {
      if (marked && !/json/i.test(type)) continue;
      const topic = await newTopic();
      const bytes = marked ? Buffer.concat([mark, Buffer.from(body)]) : Buffer.from(body);
      const response = await http(topic.records, 'POST', bytes, { 'content-type': type });
      t.equal(response.status, 200, type);
      t.match(await topic.read(), stored, `${type}${marked ? ' with a byte order mark' : ''}`);
      t.equal((await topic.read()).length, stored.length, type);
    }
  }
});

t.test('a JSON value is stored as it was sent, with the key and the headers of the request', async (t) => {
  const topic = await newTopic();
  const headers = { 'content-type': 'application/cloudevents+json', 'weir-record-trace': 'a1' };
  await http(`${topic.records}?key=k`, 'POST', '{"big":12345678901234567890}', headers);
  const text = await (await fetch(`${topic.records.replace('/records', '/partitions/0/records')}`)).text();
  t.match(text, /"key":"k","value":\{"big":12345678901234567890\},"headers":\{"trace":"a1"\}/);
  const bad: [body: string | Buffer, detail: RegExp][] = [
    ['', /empty/],
    ['{"a":1', /not JSON/],
    ['1 2', /not JSON/],
    [Buffer.from([0x22, 0xff, 0x22]), /UTF-8/],
    ['['.repeat(2000), /deeper/],
  ];
  for (const [body, detail] of bad) {
    t.match(await http(topic.records, 'POST', body, headers), { status: 400, body: { code: 'BAD_REQUEST', detail } });
  }
  t.equal((await topic.read()).length, 1);
});

t.test('an unspecific or foreign Content-Type is refused with the supported ones', async (t) => {
  const topic = await newTopic();
  const envelope = '{"records":[{"value":{"a":1}}]}';
  const choices = /application\/json .*application\/x-ndjson .*text\/plain/;
  for (const type of [
    'application/vnd.kafka.json.v2+json',
    'application/vnd.kafka.binary.v2+json',
    'application/vnd.kafka.v2+json',
  ]) {
    const { status, body } = await http(topic.records, 'POST', envelope, { 'content-type': type });
    t.match({ status, body }, { status: 415, body: { code: 'UNSUPPORTED_MEDIA_TYPE', detail: choices } }, type);
    t.match(body.detail, /Kafka REST dialect, which is not served below \/v1/);
  }
  // fetch() sends no Content-Type with bytes.
  for (const body of [Buffer.from(envelope), Buffer.alloc(0)]) {
    const response = await http(topic.records, 'POST', body);
    t.match(response, { status: 415, body: { code: 'UNSUPPORTED_MEDIA_TYPE', detail: /no Content-Type/ } });
    t.match(response.body.detail, choices);
  }
  t.same(await topic.read(), []);
});

t.test(
  'other routes accept JSON under both names and with a byte order mark, and name them for other types',
  async (t) => {
    for (const type of ['application/json', 'text/json; charset=utf-8']) {
      const body = Buffer.concat([mark, Buffer.from('{"ttl":"20s"}')]);
      const response = await http(`${url}/v1/sessions`, 'POST', body, { 'content-type': type });
      t.match(response, { status: 201, body: { ttlMs: 20_000 } }, type);
    }
    for (const type of ['application/x-www-form-urlencoded', 'text/plain', 'application/x-ndjson', 'application/xml']) {
      const response = await http(`${url}/v1/sessions`, 'POST', '{"ttl":"20s"}', { 'content-type': type });
      t.match(response, { status: 415, body: { detail: /send application\/json/ } }, type);
    }
    const untyped = await http(`${url}/v1/sessions`, 'POST', Buffer.from('{"ttl":"20s"}'));
    t.match(untyped, { status: 415, body: { detail: /no Content-Type; send application\/json/ } });
  },
);

t.test('records are returned in the type that the client prefers', async (t) => {
  const topic = await newTopic();
  await http(topic.records, 'POST', { records: [{ value: 1 }, { value: 2 }] });
  const fetchUrl = topic.records.replace('/records', '/partitions/0/records');
  const json = 'application/json';
  const cases: [accept: string, type: string][] = [
    ['*/*', json],
    ['application/*', json],
    ['application/json, application/x-ndjson;q=0.5', json],
    ['application/json;q=0.1, application/x-ndjson', 'application/x-ndjson'],
    ['application/x-ndjson', 'application/x-ndjson'],
    ['application/x-ndjson;q=0, */*', json],
    ['application/json;q=0, */*', 'application/x-ndjson'],
    ['text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8', json],
    ['application/jsonl', 'application/jsonl'],
    ['APPLICATION/NDJSON', 'application/ndjson'],
    ['application/x-ndjson-not', json],
    ['image/png', json],
    ['', json],
    [';;;', json],
  ];
  for (const [accept, type] of cases) {
    const response = await fetch(fetchUrl, { headers: { accept } });
    const text = await response.text();
    t.equal(response.status, 200, accept);
    t.equal(response.headers.get('content-type')?.split(';')[0], type, accept);
    if (type === json) t.equal(JSON.parse(text).records.length, 2, accept);
    else t.equal(text.trim().split('\n').length, 2, accept);
  }
  // A response with one form has that form, and failures are problems, whatever Accept says.
  for (const path of ['/v1/topics', '/v1/cluster', '/v1/topics/none']) {
    const { headers } = await http(url + path, 'GET', undefined, { accept: 'application/x-ndjson' });
    t.match(headers.get('content-type'), /^application\/(problem\+)?json/, path);
  }
});

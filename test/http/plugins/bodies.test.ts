// Bodies as clients send them: empty with any type, larger than the limit, made to keep the parser busy, or ambiguous between parsers.
// None of them stops the service, and none is read as something else.
import { connect } from 'node:net';
import t from 'tap';
import { openApiDocument } from '../../../src/openapi-file.ts';
import { eventually, http, startTestServer } from '../../helpers/server.ts';

const server = await startTestServer(t);
const { url } = server;
await http(`${url}/v1/topics`, 'POST', { name: 'taken', partitions: 1 });
const json = { 'content-type': 'application/json' };

/** Sends a request with its head and body exactly as given. @returns the whole response */
async function raw(head: string, body: string | Buffer = ''): Promise<{ status: number; body: any }> {
  const { host, port } = new URL(url);
  const socket = connect(Number(port), '127.0.0.1');
  socket.write(`${head}\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
  socket.write(body);
  let received = '';
  for await (const chunk of socket) received += String(chunk);
  const [headers = '', text = ''] = received.split('\r\n\r\n');
  return { status: Number(headers.split(' ')[1]), body: text.startsWith('{') ? JSON.parse(text) : text };
}

/** Every operation whose method may have a body, each with a URL of it. */
const writes = Object.entries<any>((await openApiDocument()).paths as object).flatMap(([path, operations]) =>
  Object.entries<any>(operations)
    .filter(([method]) => ['put', 'post', 'patch', 'delete'].includes(method))
    .map(([method, { operationId }]) => ({
      operationId: operationId as string,
      method: method.toUpperCase(),
      target: path.replace(/\{(\w+)\}/g, (_: string, name: string) => (name === 'partition' ? '0' : 'none')),
    })),
);

t.test('an empty body is no body, whatever its type, on every route', async (t) => {
  t.ok(writes.length > 15, 'there are routes');
  const types = ['application/x-www-form-urlencoded', 'application/json', 'text/plain', 'multipart/form-data', 'x', ''];
  for (const { operationId, method, target } of writes) {
    // The Content-Type of a record or of a node's data counts even if there are no bytes.
    if (operationId.startsWith('records.produce') || operationId.startsWith('nodes.')) continue;
    const bare = await raw(`${method} ${target} HTTP/1.1\r\nContent-Length: 0`);
    for (const type of types) {
      const head = `${method} ${target} HTTP/1.1\r\nContent-Type: ${type}`;
      for (const [how, response] of [
        ['of length 0', await raw(`${head}\r\nContent-Length: 0`)],
        ['without a length', await raw(head)],
        ...(type === 'x' || type === ''
          ? []
          : [['in no pieces', await raw(`${head}\r\nTransfer-Encoding: chunked`, '0\r\n\r\n')] as const]),
      ] as const) {
        t.equal(response.status, bare.status, `${operationId}: ${type} ${how}`);
        t.equal(response.body.code, bare.body.code, `${operationId}: ${type} ${how}`);
      }
    }
  }
});

t.test('clients that always send a Content-Type can renew and create a session and delete a node', async (t) => {
  for (const type of ['application/x-www-form-urlencoded', 'application/json']) {
    const headers = { 'content-type': type };
    const made = await http(`${url}/v1/sessions`, 'POST', '', headers);
    t.equal(made.status, 201);
    const session = `${url}/v1/sessions/${made.body.session}`;
    t.equal((await http(session, 'PUT', '', headers)).status, 200);
    t.equal((await http(session, 'PUT', '{}', json)).status, 200, 'as axios.put(url, {}) does');
    t.equal((await http(session, 'DELETE', undefined, headers)).status, 204);
    await http(`${url}/v1/nodes/typed`, 'PUT', 'x');
    t.equal((await http(`${url}/v1/nodes/typed`, 'DELETE', undefined, headers)).status, 204);
  }
});

t.test('the empty data of a node keep their Content-Type', async (t) => {
  await http(`${url}/v1/nodes/empty`, 'PUT', '', json);
  t.match((await http(`${url}/v1/nodes/empty?view=node`)).body, { data: '', contentType: 'application/json' });
});

t.test('a body that a route does not read is refused rather than ignored', async (t) => {
  await http(`${url}/v1/nodes/kept`, 'PUT', 'x');
  const response = await http(`${url}/v1/nodes/kept`, 'DELETE', { version: 7 });
  t.match(response, { status: 400, body: { code: 'BAD_REQUEST', detail: /^DELETE \/v1\/nodes\/\* takes no body/ } });
  t.equal((await http(`${url}/v1/nodes/kept`)).status, 200);
  const { body } = await http(`${url}/v1/sessions`, 'POST');
  t.equal((await http(`${url}/v1/sessions/${body.session}`, 'PUT', { ttl: '60s' })).status, 400);
});

t.test(
  'a body over the limit of its route is refused before it is read, with its size, the limit and the remedy',
  async (t) => {
    const small = await startTestServer(t, { maxBodyBytes: 100_000 });
    await http(`${small.url}/v1/topics`, 'POST', { name: 'taken', partitions: 1 });
    const over = (bytes: number) => JSON.stringify({ x: 'x'.repeat(bytes) });
    const cases: [url: string, method: string, path: string, bytes: number, detail: RegExp][] = [
      [
        small.url,
        'POST',
        '/v1/topics/taken/records',
        100_000,
        /100008 bytes.* 100000 \(97\.7 KiB, WEIR_MAX_BODY_BYTES\).*ndjson/,
      ],
      [small.url, 'PUT', '/v1/nodes/a', 100_000, /WEIR_MAX_BODY_BYTES\)\. Keep what is larger elsewhere/],
      [
        url,
        'POST',
        '/v1/multi',
        9_000_000,
        /9000008 bytes; the limit is 8388608 \(8 MiB, of this request\)\. Split it into several/,
      ],
      [url, 'POST', '/v1/sessions', 65_536, /the limit is 65536 \(64 KiB, of this request\)/],
      [url, 'POST', '/v1/producers', 65_536, /64 KiB/],
      [url, 'POST', '/v1/topics', 65_536, /64 KiB/],
      [url, 'PATCH', '/v1/topics/taken', 65_536, /64 KiB/],
      [url, 'POST', '/v1/elections', 65_536, /64 KiB/],
      [url, 'POST', '/v1/groups/g/members', 1_048_576, /1 MiB.*Subscribe to fewer topics/],
      [url, 'POST', '/v1/groups/g/members/m/heartbeat', 1_048_576, /1 MiB/],
      [url, 'POST', '/v1/groups/g/offsets', 1_048_576, /1 MiB.*Commit fewer offsets/],
      [url, 'POST', '/v1/groups/g/offsets/reset', 1_048_576, /1 MiB/],
    ];
    for (const [at, method, path, bytes, detail] of cases) {
      const { host, port } = new URL(at);
      const length = over(bytes).length;
      const socket = connect(Number(port), '127.0.0.1');
      socket.write(
        `${method} ${path} HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`,
      );
      let received = '';
      for await (const chunk of socket) {
        received += String(chunk);
        if (/\}\s*$/.test(received)) break;
      }
      const body = JSON.parse(received.split('\r\n\r\n')[1]!);
      t.match(body, { status: 413, code: 'TOO_LARGE', bytes: length, detail }, `${method} ${path}`);
    }
  },
);

const many = (count: number, item: string) => Array(count).fill(item).join(',');
const manyFields = (count: number) => Array.from({ length: count }, (_, i) => `"k${i}":1`).join(',');

t.test('JSON that would keep the parser busy is refused for its depth or its number of values', async (t) => {
  const cases: [body: string, status: number, detail: RegExp][] = [
    ['['.repeat(60_000), 400, /nests deeper than 32 levels/],
    [`${'['.repeat(30_000)}${']'.repeat(30_000)}`, 400, /nests deeper than 32 levels/],
    [`{"ttl":${'{"a":'.repeat(10_000)}1${'}'.repeat(10_001)}`, 400, /nests deeper than 32 levels/],
    [`[${many(20_000, '[]')}]`, 413, /more than 10000 items in a list/],
    [`{"ttl":[${many(20_000, '1')}]}`, 413, /more than 10000 items in a list in ttl/],
    [`{${manyFields(2000)}}`, 413, /more than 1000 fields in an object/],
  ];
  for (const [body, status, detail] of cases) {
    for (const [method, path] of [
      ['POST', '/v1/sessions'],
      ['POST', '/v1/producers'],
      ['POST', '/v1/topics'],
      ['PATCH', '/v1/topics/taken'],
      ['POST', '/v1/multi'],
      ['POST', '/v1/groups/g/members'],
    ] as const) {
      const response = await http(url + path, method, body, json);
      t.match(response, { status, body: { detail } }, `${method} ${path} ${body.slice(0, 20)}`);
      t.ok(response.body.detail.length < 1000, 'the text stays short');
    }
  }
  const values = `{"ops":[${many(13, `[${many(9999, '1')}]`)}]}`;
  t.match(await http(`${url}/v1/multi`, 'POST', values, json), {
    status: 413,
    body: { code: 'TOO_LARGE', valuesMax: 120_000 },
  });
});

t.test('a record may hold any value, within limits on the number of records and on depth', async (t) => {
  const records = `${url}/v1/topics/taken/records`;
  const deep = `${'['.repeat(1000)}${']'.repeat(1000)}`;
  const wide = `[${many(200_000, '[]')}]`;
  for (const value of [deep, wide]) {
    t.equal((await http(records, 'POST', `{"records":[{"value":${value}}]}`, json)).status, 200);
  }
  const { body } = await http(`${url}/v1/topics/taken/partitions/0/records?maxBytes=5000000`);
  t.same(
    body.records.map(({ value }: { value: unknown }) => JSON.stringify(value)),
    [deep, wide],
  );
  const cases: [body: string, status: number, detail: RegExp][] = [
    [`{"records":[{"value":${'['.repeat(2_000_000)}`, 400, /nests deeper than 1000 levels/],
    [`{"records":[${many(100_001, '{"value":1}')}]}`, 413, /more than 100000 records/],
    [`{"records":[${many(100_001, '{"key":"k","value":1}')}]}`, 413, /more than 100000 records/],
    [`{"records":[{${manyFields(100_000)}}]}`, 400, /records\.0: unknown field 'k0'/],
    [`{"records":[{"headers":{${manyFields(2000)}}}]}`, 413, /records\.0\.headers has more than 1000 fields/],
    [`{"records":[{"value":[${many(1_000_000, '[]')}}]}`, 400, /not JSON: "\}\]\}" at byte \d+ is not expected there/],
    [`{${manyFields(300_000)}}`, 400, /unknown field 'k0'; it has records and producer/],
    [
      `{"records":[{"key":"${'\\n'.repeat(600_000)}"}]}`,
      413,
      /records\.0\.key has 1200002 bytes of JSON; the limit is 1048576/,
    ],
    [`{"records":[{"key":"${'k'.repeat(1_100_000)}"}]}`, 413, /records\.0\.key has 1100000 bytes/],
    [`{"records":[{"headers":{"a":"${'x'.repeat(1_100_000)}"}}]}`, 413, /records\.0\.headers has \d+ bytes/],
    [`{"records":[{"value":1}],"producer":[${many(1_000_000, '[]')}]}`, 413, /field beside records/],
  ];
  for (const [text, status, detail] of cases) {
    t.match(await http(records, 'POST', text, json), { status, body: { detail } }, text.slice(0, 40));
  }
});

t.test(
  'the first invalid item of a long list is named, and raw text is refused for the size that it would have as JSON',
  async (t) => {
    const ops = `{"ops":[${many(5000, '{"op":"check","path":"/"}')},${many(5000, '{"op":"create","path":1,"x":1}')}]}`;
    const { status, body } = await http(`${url}/v1/multi`, 'POST', ops, json);
    t.match({ status, body }, { status: 400, body: { detail: /^body\.ops\.5000\.path: must be a string, not 1/ } });
    t.notMatch(body.detail, /ops\.5001/);
    const records = `${url}/v1/topics/taken/records`;
    const text = { 'content-type': 'text/plain' };
    t.match(await http(records, 'POST', '\u0001'.repeat(200_000), text), {
      status: 413,
      body: {
        code: 'TOO_LARGE',
        bytes: 1_200_000,
        detail: /^The record has 1200000 bytes as JSON; .*nothing was written\.$/,
      },
    });
    t.equal((await http(records, 'POST', '\n'.repeat(200_000), text)).status, 200);
  },
);

t.test('a WebSocket frame is read within the same limits', async (t) => {
  const { WebSocket } = await import('ws');
  const ws = new WebSocket(`${url.replace('http', 'ws')}/v1/watch`);
  const frames: any[] = [];
  ws.on('message', (data) => frames.push(JSON.parse(String(data))));
  await new Promise((resolve) => ws.once('open', resolve));
  for (const frame of [
    '['.repeat(1_000_000),
    `[${many(300_000, '[]')}]`,
    `{${manyFields(50_000)}}`,
    '{"type":"ping","type":"x"}',
  ])
    ws.send(frame);
  ws.send('\ufeff{"type":"ping"}');
  await eventually(() => frames.some(({ type }) => type === 'pong'), 'the socket goes on');
  t.match(
    frames.filter(({ type }) => type === 'error').map(({ detail }) => detail),
    [/frame nests deeper/, /more than 100 items/, /more than 100 fields/, /has the field type twice/],
  );
  ws.close();
});

t.test('JSON that two parsers would read differently is refused', async (t) => {
  const records = `${url}/v1/topics/taken/records`;
  const cases: [path: string, body: string, detail: RegExp][] = [
    ['/v1/sessions', '{"ttl":"1s","ttl":"30s"}', /The body has the field ttl twice/],
    ['/v1/sessions', '{"ttl":"1s","tt\\u006c":"30s"}', /The body has the field ttl twice/],
    [
      '/v1/multi',
      '{"ops":[{"op":"check","path":"/"},{"op":"check","path":"/","path":"/x"}]}',
      /the field ops\.1\.path twice/,
    ],
    ['/v1/multi', '{"ops":[{"op":"create","path":"/s","data":"\\ud800"}]}', /not valid Unicode at ops\.0\.data/],
    ['/v1/producers', '{"name":"a\\udc00b"}', /not valid Unicode at name/],
    ['/v1/producers', '{"na\\ud800me":"a"}', /field whose name is not valid Unicode/],
    ['/v1/topics/taken/records', '{"records":[{"value":1,"value":2}]}', /records\.0: the field value occurs twice/],
    ['/v1/topics/taken/records', '{"records":[],"records":[{"value":2}]}', /has the field records twice/],
    ['/v1/topics/taken/records', '{"records":[{"key":"\\ud800"}]}', /records\.0\.key is not valid Unicode/],
    [
      '/v1/topics/taken/records',
      '{"records":[{"key":"a"},{"headers":{"a":"1","a":"2"}}]}',
      /records\.1\.headers has the field a twice/,
    ],
    ['/v1/topics/taken/records', '{"records":[{"headers":{"a":{"base64":"","base64":""}}}]}', /a\.base64 twice/],
    ['/v1/topics/taken/records', '{"records":[{"headers":{"\\udfff":"1"}}]}', /not valid Unicode/],
    ['/v1/topics/taken/records', '{"records":[{"headers":[["\\udfff","1"]]}]}', /not valid Unicode/],
  ];
  const end = async () => (await http(`${url}/v1/topics/taken/offsets`)).body.partitions[0].offset;
  const before = await end();
  for (const [path, body, detail] of cases) {
    t.match(await http(url + path, 'POST', body, json), { status: 400, body: { code: 'BAD_REQUEST', detail } }, body);
  }
  t.match(await http(records, 'POST', '{"value":1}\n{"key":"\\udc00"}', { 'content-type': 'application/x-ndjson' }), {
    status: 400,
    body: { line: 2 },
  });
  t.equal(await end(), before, 'nothing was written');
  const pairs = '{"records":[{"key":"\\ud83d\\ude00","headers":[["a","1"],["a","2"]]}]}';
  t.equal((await http(records, 'POST', pairs, json)).status, 200, 'pairs may name a header twice');
});

// What the head of a request may hold: a header with a meaning is obeyed or refused, never ignored (docs/http.md).
import t from 'tap';
import { openRaw, rawRequest, responsesIn } from '../../helpers/raw-connection.ts';
import { http, startTestServer } from '../../helpers/server.ts';

const { url } = await startTestServer(t);
await http(`${url}/v1/topics`, 'POST', { name: 'heads' });

const length = 'Content-Length: 1';
const text = 'Content-Type: text/plain';
const produced = async () => (await http(`${url}/v1/topics/heads/partitions/0/records`)).body.endOffset;

t.test('a header that takes one value and is sent twice is refused by its name', async (t) => {
  const twice = [
    ['Idempotency-Key: a', 'idempotency-key: b'],
    ['Content-Type: text/plain', 'CONTENT-TYPE: application/json'],
    ['Weir-Session: a', 'Weir-Session: b'],
    ['Weir-Fence: a=1', 'Weir-Fence: b=1'],
    ['Weir-Producer: a:0:1', 'Weir-Producer: a:0:1'],
    ['If-Unmodified-Since: x', 'If-Unmodified-Since: y'],
    ['Authorization: a', 'Authorization: b'],
    ['Origin: http://a.example', 'Origin: http://b.example'],
  ];
  for (const lines of twice) {
    const { status, body } = await rawRequest(
      t,
      url,
      ['POST /v1/topics/heads/records HTTP/1.1', ...lines, length],
      'x',
    );
    t.match({ status, body }, { status: lines[0]!.startsWith('Origin') ? 403 : 400, body: /"code"/ }, lines.join());
    if (status === 400) t.match(body, new RegExp(`has 2 headers ${lines[0]!.split(':')[0]}`));
  }
  t.equal(await produced(), 0, 'nothing is appended');
  // Headers with lists may be sent in parts, and several headers of a record may have the same name.
  const lists = ['Weir-Record-A: 1', 'Weir-Record-A: 2', 'Accept: text/plain', 'Accept: application/json'];
  const { status } = await rawRequest(t, url, ['POST /v1/topics/heads/records HTTP/1.1', text, ...lists, length], 'x');
  t.equal(status, 200);
  // No header is dropped because there are many.
  const many = Array.from({ length: 1500 }, () => 'a:');
  const last = await rawRequest(
    t,
    url,
    ['POST /v1/topics/heads/records HTTP/1.1', ...many, 'Weir-Fence: a=1', 'Weir-Fence: a=2', length],
    'x',
  );
  t.match(last.body, /has 2 headers Weir-Fence/);
});

t.test('a write with a condition that the server does not evaluate is refused', async (t) => {
  const date = 'Thu, 01 Jan 1970 00:00:00 GMT';
  const cases: [method: string, path: string, header: string, value: string][] = [
    ['PUT', '/v1/nodes/conditional', 'If-Unmodified-Since', date],
    ['PUT', '/v1/nodes/conditional', 'If-Modified-Since', date],
    ['DELETE', '/v1/nodes/conditional', 'If-Unmodified-Since', date],
    ['POST', '/v1/topics', 'If-None-Match', '*'],
    ['DELETE', '/v1/topics/heads', 'If-Match', '"1"'],
    ['POST', '/v1/sessions', 'If-Match', '*'],
  ];
  for (const [method, path, header, value] of cases) {
    const body = method === 'POST' ? {} : undefined;
    const response = await http(url + path, method, body, { [header]: value });
    t.match(response, {
      status: 400,
      body: { code: 'BAD_REQUEST', detail: new RegExp(`^${header} is not evaluated`) },
    });
  }
  t.equal((await http(`${url}/v1/nodes/conditional`)).status, 404);
  t.equal((await http(`${url}/v1/topics/heads`, 'GET', undefined, { 'If-Modified-Since': date })).status, 200);
});

t.test('a transfer coding other than chunked is refused as not implemented, and nothing is stored', async (t) => {
  const before = await produced();
  for (const coding of ['gzip, chunked', 'x-thing, Chunked']) {
    const { status, head, body } = await rawRequest(
      t,
      url,
      ['POST /v1/topics/heads/records HTTP/1.1', `Transfer-Encoding: ${coding}`],
      '1\r\nx\r\n0\r\n\r\n',
    );
    t.match({ status, body }, { status: 501, body: /"NOT_IMPLEMENTED".*Transfer-Encoding is/ }, coding);
    t.match(head, /connection: close/i);
  }
  t.equal(await produced(), before);
  const { status } = await rawRequest(
    t,
    url,
    ['POST /v1/topics/heads/records HTTP/1.1', text, 'Transfer-Encoding: Chunked'],
    '1\r\nx\r\n0\r\n\r\n',
  );
  t.equal(status, 200);
});

t.test('malformed percent-encoding is refused with its position, in a path and in a query', async (t) => {
  const before = await produced();
  const cases: [target: string, method: string, said: RegExp][] = [
    ['/v1/topics/heads/records?key=caf%E9', 'POST', /parameter key has %E9, which is not UTF-8/],
    ['/v1/topics/heads/records?k%zz=1', 'POST', /parameter k%zz has \\"%zz\\"/],
    ['/v1/topics/heads/records?key=50%', 'POST', /parameter key has \\"%\\": .*Write %25/],
    ['/v1/topics/heads/records?key=a&key=%C3%28', 'POST', /parameter key has %C3%28, which is not UTF-8/],
    ['/v1/nodes/?after=%ff', 'GET', /parameter after has %ff/],
    ['/v1/nodes/50%', 'GET', /The path of the URL has \\"%\\": .*Write %25/],
    ['/v1/nodes/caf%E9', 'PUT', /The path of the URL has %E9, which is not UTF-8/],
    ['/v1/nodes/a%2', 'PUT', /The path of the URL has \\"%2\\"/],
  ];
  for (const [target, method, said] of cases) {
    const { status, body } = await rawRequest(t, url, [`${method} ${target} HTTP/1.1`, length], 'x');
    t.match({ status, body }, { status: 400, body: said }, target);
  }
  t.equal(await produced(), before);
  const { status } = await rawRequest(
    t,
    url,
    ['POST /v1/topics/heads/records?key=caf%C3%A9 HTTP/1.1', text, length],
    'x',
  );
  t.equal(status, 200);
});

t.test('a flag may be written as Python writes it', async (t) => {
  t.equal((await http(`${url}/v1/nodes/flags/a?parents=True`, 'PUT', 'x')).status, 201);
  t.equal((await http(`${url}/v1/nodes/flags?recursive=FALSE`, 'DELETE')).body.code, 'NOT_EMPTY');
  t.match(await http(`${url}/v1/nodes/flags?recursive=yes`, 'DELETE'), {
    status: 400,
    body: { detail: /recursive: must be one of true, false, not "yes"/ },
  });
});

t.test('a GET that has an effect is refused as HEAD, from a page of another origin, and as a prefetch', async (t) => {
  const member = `${url}/v1/groups/effects/members`;
  const joined = await http(member, 'POST', { topics: ['heads'], memberId: 'm', reset: 'earliest' });
  const secret = `Weir-Member: ${joined.body.memberSecret}`;
  const records = `${member}/m/records`;
  const head = await http(records, 'HEAD');
  t.equal(head.status, 405);
  t.match(head.headers.get('allow'), /^GET/);
  const forbidden = [
    { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image' },
    { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' },
    { 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'no-cors' },
    { 'sec-purpose': 'prefetch;prerender', 'sec-fetch-site': 'none' },
    { purpose: 'prefetch' },
  ];
  const raw = async (headers: Record<string, string>) => {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
    return rawRequest(t, url, [`GET ${new URL(records).pathname} HTTP/1.1`, secret, ...lines]);
  };
  for (const headers of forbidden) {
    const { status, body } = await raw(headers);
    t.match({ status, body }, { status: 403, body: /has an effect/ }, JSON.stringify(headers));
  }
  const { records: read } = JSON.parse((await raw({ 'sec-fetch-site': 'same-origin' })).body);
  t.equal(read[0].offset, 0, 'none of them has moved the position');
  const other = await raw({ 'sec-fetch-site': 'none', 'x-other': 'y' });
  t.equal(other.status, 200);
});

t.test('a page that CORS allows may send a GET that has an effect', async (t) => {
  const origin = 'https://app.example';
  const allowing = await startTestServer(t, { corsOrigins: [origin] });
  await http(`${allowing.url}/v1/topics`, 'POST', { name: 'pages' });
  const joined = await http(`${allowing.url}/v1/groups/g/members`, 'POST', { topics: ['pages'], memberId: 'm' });
  const secret = `Weir-Member: ${joined.body.memberSecret}`;
  const lines = ['GET /v1/groups/g/members/m/records HTTP/1.1', 'Sec-Fetch-Site: cross-site', secret];
  t.equal((await rawRequest(t, allowing.url, [...lines, `Origin: ${origin}`])).status, 200);
  t.equal((await rawRequest(t, allowing.url, lines)).status, 403);
  // A form of an old browser, which sends no Origin, may not write either.
  const form = ['POST /v1/topics/pages/records HTTP/1.1', 'Sec-Fetch-Site: cross-site', text, length];
  t.equal((await rawRequest(t, allowing.url, form, 'x')).status, 403);
});

t.test('several requests that are refused by their heads leave the connection usable', async (t) => {
  const connection = openRaw(t, url);
  const host = `Host: ${new URL(url).host}`;
  const refused = ['PUT /v1/nodes/order?x=%zz HTTP/1.1', host, 'Content-Length: 2', '', 'xx'];
  connection.socket.write(
    `${refused.join('\r\n')}${refused.join('\r\n')}GET /health/live HTTP/1.1\r\n${host}\r\nConnection: close\r\n\r\n`,
  );
  t.same(
    responsesIn(await connection.end()).map(({ status }) => status),
    [400, 400, 200],
  );
});

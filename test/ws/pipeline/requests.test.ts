// Each request of /v1/socket: its fields, its response, its errors, and every family of bad input.
import t from 'tap';
import { eventFrame, requestSchemas, responseFrame, resultSchemas, type SocketOp } from '../../../schemas/socket.ts';
import { openPipeline } from '../../helpers/pipeline.ts';
import { http, metric, startTestServer } from '../../helpers/server.ts';
import { openSocket } from '../../helpers/socket.ts';

const server = await startTestServer(t);
await http(`${server.url}/v1/topics`, 'POST', { name: 'clicks', partitions: 2 });

t.test('requests on the tree get the responses of HTTP, and their responses match the schema', async (t) => {
  const socket = await openPipeline(t, server.url);
  t.equal(socket.ws.protocol, 'weir.v1');
  const results: [op: SocketOp, response: any][] = [];
  const ask = async (op: SocketOp, fields: Record<string, unknown> = {}) => {
    const response = await socket.ask({ op, ...fields });
    results.push([op, response]);
    return response;
  };
  t.match(await ask('ping'), { ok: {} });
  const session = await ask('session', { ttl: '10s' });
  t.match(session.ok, { id: /^[0-9a-f]{16}$/, session: /^[0-9a-f]{16}\./, ttlMs: 10_000, lastSeq: 0 });
  const created = await ask('create', { path: '/app', data: 'é', seq: 1 });
  t.match(created, { ok: { path: '/app', stat: { version: 0, dataLength: 2 } }, zxid: created.ok.stat.czxid });
  const { data, encoding, contentType, stat } = (await ask('get', { path: '/app/' })).ok;
  t.same({ data, encoding, contentType }, { data: 'é', encoding: 'utf8', contentType: 'text/plain; charset=utf-8' });
  t.same(stat, (await http(`${server.url}/v1/nodes/app?view=stat`)).body.stat, 'the stat is that of HTTP');
  const bytes = await ask('set', { path: '/app', dataBase64: '/w==', contentType: 'image/x', version: 0, seq: 2 });
  t.match(bytes.ok, { stat: { version: 1 } });
  t.match((await ask('get', { path: '/app' })).ok, { data: '/w==', encoding: 'base64', contentType: 'image/x' });
  const node = await ask('create', { path: '/app/e-', sequential: true, mode: 'ephemeral', seq: 3 });
  t.match(node.ok, { name: 'e-0000000000', stat: { ephemeralOwner: session.ok.id } });
  await ask('create', { path: '/app/x/y', parents: true });
  t.match((await ask('exists', { path: '/app/x' })).ok, { exists: true, stat: { numChildren: 1 } });
  t.match(await ask('exists', { path: '/none' }), { ok: { path: '/none', exists: false }, zxid: Number });
  const page = await ask('children', { path: '/app', limit: 1 });
  t.match(page.ok, { children: ['e-0000000000'], next: 'e-0000000000' });
  t.match((await ask('children', { path: '/app', after: page.ok.next, stats: true })).ok, {
    children: [{ name: 'x', stat: { numChildren: 1 } }],
  });
  const multi = await ask('multi', {
    ops: [
      { op: 'set', path: '/app', data: 'm' },
      { op: 'check', path: '/app', version: 2 },
    ],
    seq: 4,
  });
  t.match(multi, { ok: { results: [{ op: 'set' }, { op: 'check', stat: { version: 2 } }] }, zxid: multi.ok.zxid });
  t.match(await ask('delete', { path: '/app/x', recursive: true }), { ok: { path: '/app/x' } });
  t.match(await ask('watch', { path: '/app', mode: 'node' }), { ok: {}, zxid: Number });
  t.match(await ask('session', { end: true }), { ok: { ended: session.ok.id }, zxid: Number });
  for (const [op, response] of results) {
    t.ok(responseFrame.safeParse(response).success, `the response to ${op} is a response`);
    const { error } = resultSchemas[op].safeParse(response.ok);
    t.equal(error?.message, undefined, `its result is that of ${op}`);
  }
});

t.test('requests on topics and groups get the responses of HTTP', async (t) => {
  const socket = await openPipeline(t, server.url);
  const produced = await socket.ask({
    op: 'produce',
    topic: 'clicks',
    records: [{ key: 'ann', value: { page: '/' }, headers: { a: 'b' } }, { value: 12 }],
    partition: 1,
    offsets: true,
  });
  t.match(produced.ok, {
    topic: 'clicks',
    results: [{ partition: 1, baseOffset: 0, count: 2 }],
    offsets: [
      [1, 0],
      [1, 1],
    ],
  });
  const fetched = await socket.ask({ op: 'fetch', topic: 'clicks', partition: 1, offset: 0, maxRecords: 1 });
  t.match(fetched.ok, { records: [{ offset: 0, key: 'ann', value: { page: '/' } }], nextOffset: 1, endOffset: 2 });
  const at = await socket.ask({ op: 'offsets', topic: 'clicks' });
  t.same(at.ok.partitions, [
    { partition: 0, offset: 0 },
    { partition: 1, offset: 2 },
  ]);
  const moment = await socket.ask({ op: 'offsets', topic: 'clicks', at: fetched.ok.records[0].timestamp });
  t.match(moment.ok.partitions, [{ timestamp: null }, { offset: 0, timestamp: Number }]);
  t.match((await socket.ask({ op: 'fetch', topic: 'clicks', partition: 1, timestamp: 0 })).ok, { nextOffset: 2 });
  const offsets = [{ topic: 'clicks', partition: 1, offset: 1 }];
  t.match(await socket.ask({ op: 'commit', group: 'g', offsets }), { ok: { offsets }, zxid: Number });
  t.match((await http(`${server.url}/v1/groups/g/offsets`)).body, { offsets });
  const batches = await socket.ask({ op: 'fetch', topic: 'clicks', partition: 1, format: 'batches' });
  t.match(batches.ok, {
    batches: [
      { baseOffset: 0, count: 2, timestamp: Number, records: [{ key: 'ann', value: { page: '/' } }, { value: 12 }] },
    ],
    nextOffset: 2,
    endOffset: 2,
  });
  const beyond = await socket.ask({ op: 'fetch', topic: 'clicks', partition: 1, offset: 'latest', format: 'batches' });
  t.match(beyond.ok, { batches: { length: 0 }, nextOffset: 2 });
  for (const [op, response] of [
    ['produce', produced],
    ['fetch', batches],
    ['fetch', fetched],
    ['offsets', at],
  ] as const) {
    t.ok(resultSchemas[op].safeParse(response.ok).success, `the result of ${op} matches its schema`);
  }
});

t.test('records reach the log byte for byte', async (t) => {
  const socket = await openPipeline(t, server.url);
  await http(`${server.url}/v1/topics`, 'POST', { name: 'exact' });
  const value = '{"n":12345678901234567890123,"e":1.50E+2,"u":"\\u00e9é"}';
  socket.send(
    `[{"id":1,"records":[{"value":${value}},{"key":"k","value":[1,\n2]}],"op":"produce","topic":"exact"},{"id":2,"op":"ping"}]`,
  );
  t.match(await socket.response(1), { ok: { results: [{ count: 2 }] } });
  const text = await (await fetch(`${server.url}/v1/topics/exact/partitions/0/records`)).text();
  t.ok(text.includes(`"value":${value}`), 'numbers and escapes are as they were sent');
});

t.test('a repeat of a produce with an idempotencyKey or a producer appends nothing', async (t) => {
  const socket = await openPipeline(t, server.url);
  await http(`${server.url}/v1/topics`, 'POST', { name: 'once' });
  const keyed = { op: 'produce', topic: 'once', records: [{ value: 1 }], idempotencyKey: 'key' };
  const first = await socket.ask(keyed);
  t.same((await socket.ask(keyed)).ok, first.ok);
  t.equal((await socket.ask(keyed)).replayed, true);
  t.match(await socket.ask({ ...keyed, records: [{ value: 2 }] }), { error: { code: 'IDEMPOTENCY_KEY_REUSED' } });
  const { id, epoch } = (await http(`${server.url}/v1/producers`, 'POST', { name: 'p' })).body;
  const numbered = { op: 'produce', topic: 'once', records: [{ value: 3 }], producer: { id, epoch, sequence: 0 } };
  await socket.ask(numbered);
  t.equal((await socket.ask(numbered)).replayed, true);
  t.match(await socket.ask({ ...numbered, idempotencyKey: 'x' }), {
    error: { code: 'BAD_REQUEST', detail: /not both/ },
  });
  t.match(await socket.ask({ ...keyed, idempotencyKey: undefined, fence: 'f=2' }), { ok: {} });
  t.match(await socket.ask({ ...keyed, idempotencyKey: undefined, fence: 'f=1' }), { error: { code: 'FENCED' } });
  t.match(await socket.ask({ ...keyed, fence: 'f' }), { error: { code: 'BAD_REQUEST', detail: /produce\.fence/ } });
});

t.test('an invalid request fails alone, with its id as far as it has one', async (t) => {
  const socket = await openPipeline(t, server.url);
  const requests = [
    { id: 1, op: 'bogus' },
    { id: 2 },
    { op: 'ping' },
    { id: '', op: 'ping' },
    { id: 1.5, op: 'ping' },
    'ping',
    { id: 3, op: 'get' },
    { id: 4, op: 'get', path: '/a', pat: 1 },
    { id: 5, op: 'get', path: 'a//b' },
    { id: 6, op: 'create', path: '/a', data: '', dataBase64: '' },
    { id: 7, op: 'create', path: '/a', mode: 'ephemeral' },
    { id: 8, op: 'create', path: '/a', mode: 'ttl' },
    { id: 9, op: 'set', path: '/a' },
    { id: 10, op: 'set', path: '/a', data: '', seq: 1 },
    { id: 11, op: 'set', path: '/a', data: '', seq: 0 },
    {
      id: 12,
      op: 'multi',
      ops: [
        { op: 'create', path: '/b' },
        { op: 'set', path: '/b' },
      ],
    },
    { id: 13, op: 'unwatch', watch: 99 },
    { id: 14, op: 'produce', topic: 'clicks' },
    { id: 15, op: 'produce', topic: 'clicks', records: 5 },
    { id: 16, op: 'produce', topic: 'clicks', records: [] },
    { id: 17, op: 'produce', topic: 'clicks', records: [{ valu: 1 }] },
    { id: 18, op: 'produce', topic: 'none', records: [{ value: 1 }] },
    { id: 19, op: 'fetch', topic: 'clicks', partition: 9 },
    { id: 20, op: 'fetch', topic: 'clicks', partition: 0, offset: 1, timestamp: 1 },
    { id: 21, op: 'fetch', topic: 'clicks', partition: 0, offset: 99 },
    { id: 22, op: 'commit', group: 'g', offsets: [], memberEpoch: 1 },
    { id: 23, op: 'commit', group: 'g', memberEpoch: 1, offsets: [{ topic: 'clicks', partition: 0, offset: 0 }] },
    { id: 24, op: 'session', ttl: '1s', end: true },
    { id: 25, op: 'session', end: true },
    { id: 26, op: 'session', attach: 'secret-handle' },
    { id: 27, op: 'get', path: '/a', records: [{ value: 1 }] },
    { id: 28, op: 'ping' },
  ];
  const deep = `{"id":29,"op":"ping","x":${'['.repeat(40)}${']'.repeat(40)}}`;
  socket.send(
    `[${requests.map((request) => JSON.stringify(request)).join(',')},{"id":30,"id":31,"op":"ping"},${deep}]`,
  );
  for (let id = 1; id <= 29; id += 1) await socket.response(id);
  const of = (id: unknown) => socket.received.filter((each) => each.id === id);
  const codes = Object.fromEntries(
    socket.received.filter(({ id }) => id !== undefined).map((each) => [each.id, each.error?.code ?? 'OK']),
  );
  const expected = Object.fromEntries(Array.from({ length: 31 }, (_, n) => [n + 1, 'BAD_REQUEST']));
  delete expected[31];
  t.same(
    { ...codes, 30: codes[30] ?? codes[31] },
    {
      ...expected,
      ...(codes[31] && { 31: codes[31] }),
      5: 'INVALID_PATH',
      18: 'UNKNOWN_TOPIC',
      19: 'UNKNOWN_PARTITION',
      21: 'OFFSET_OUT_OF_RANGE',
      26: 'SESSION_EXPIRED',
      28: 'OK',
    },
  );
  t.equal(of(undefined).length, 4, 'those without an id that can be read have responses without one');
  t.match(of(1)[0].error.detail, /op is "bogus"; it must be one of session, create/);
  t.match(of(2)[0].error.detail, /op is missing/);
  t.match(of(4)[0].error.detail, /unknown field 'pat' in get/);
  t.match(of(7)[0].error.detail, /attach one to the socket/);
  t.match(of(8)[0].error.detail, /mode ttl needs a ttl/);
  t.match(of(10)[0].error.detail, /none is attached/);
  t.match(of(23)[0].error.detail, /memberEpoch was sent without memberId/);
  t.match(of(24)[0].error.detail, /fields of several were sent/);
  t.match(of(12)[0].error, { failed: 1, detail: /ops\.1/ });
  t.match(of(17)[0].error.detail, /records\.0: unknown field 'valu'/);
  t.match((await socket.ask({ op: 'session', zxid: 1 })).error.detail, /zxid was sent without attach/);
  t.match(
    (await socket.ask({ op: 'create', path: '/c', mode: 'container', ttl: '5s' })).error.detail,
    /with mode ttl only, not with mode container/,
  );
  t.match(of(27)[0].error.detail, /unknown field 'records'/);
  t.notMatch(JSON.stringify(socket.received), /secret-handle/);
  t.ok(
    socket.received.every((each) => responseFrame.safeParse(each).success),
    'all match the schema',
  );
  t.match(await socket.ask({ op: 'ping' }), { ok: {} }, 'the socket stays open');
});

t.test('a slash at the end of a path does not count, in no request', async (t) => {
  const socket = await openPipeline(t, server.url);
  t.match(await socket.ask({ op: 'watch', path: '/slash/', mode: 'node' }), { ok: {} });
  t.match(await socket.ask({ op: 'create', path: '/slash/' }), { ok: { path: '/slash' } });
  t.match((await socket.event('events')).events, [{ type: 'created', path: '/slash' }]);
  t.match(await socket.ask({ op: 'children', path: '/slash/' }), { ok: { path: '/slash' } });
  t.match(await socket.ask({ op: 'delete', path: '/slash/' }), { ok: { path: '/slash' } });
});

t.test('a list of too many records is refused as a fault of its frame, and the socket stays open', async (t) => {
  const socket = await openPipeline(t, server.url);
  const records = Array.from({ length: 100_001 }, () => ({}));
  t.match(await socket.ask({ op: 'produce', topic: 'clicks', records }), {
    error: { code: 'TOO_LARGE', recordsMax: 100_000, detail: /^The frame has more than 100000 records; send several/ },
  });
  t.match(await socket.ask({ op: 'ping' }), { ok: {} });
});

t.test('a frame that is no JSON closes the socket behind the responses before it', async (t) => {
  const broken: [frame: string | Buffer, code: number, detail: RegExp][] = [
    ['{"id":2,', 4400, /The frame is not JSON/],
    ['[{"id":2,"op":"ping"}', 4400, /not JSON/],
    ['{"id":2,"op":"ping"} x', 4400, /not JSON/],
    ['[{"id":2,"op":"produce","topic":"clicks","records":[{"value":1}', 4400, /not JSON/],
    [Buffer.from('{"id":2,"op":"ping"}'), 4400, /text frame/],
    [`[${'{"id":2,"op":"ping"},'.repeat(1024)}{"id":2,"op":"ping"}]`, 4413, /more than 1024 requests/],
    [
      `[{"id":2,"op":"multi","ops":[${'[],'.repeat(9000)}0]},${`{"id":2,"op":"multi","ops":[${'[1,1,1,1,1,1,1,1,1,1,1,1],'.repeat(9000)}0]}`}]`,
      4413,
      /more than 120000 values/,
    ],
  ];
  for (const [frame, code, detail] of broken) {
    const socket = await openPipeline(t, server.url);
    socket.send({ id: 1, op: 'get', path: '/' });
    await socket.response(1);
    socket.ws.send(frame);
    t.equal((await socket.closed).code, code, String(frame).slice(0, 40));
    const last = socket.received.at(-1);
    t.match(last, { type: 'error', detail });
    t.ok(eventFrame.safeParse(last).success);
    t.notOk(
      socket.received.some(({ id }) => id === 2),
      'nothing of it was carried out',
    );
  }
});

t.test('a handshake for another subprotocol is refused, and one for none is accepted', async (t) => {
  const refused = await openSocket(t, `${server.url}/v1/socket`, { 'sec-websocket-protocol': 'mqtt' }).catch(
    (error) => error,
  );
  if (!(refused instanceof Error)) {
    t.equal(await refused.closed, 4400);
    t.match(refused.frames, [{ type: 'error', detail: /this socket speaks weir\.v1/ }]);
  }
  const plain = await openSocket(t, `${server.url}/v1/socket`);
  plain.send({ id: 1, op: 'ping' });
  await plain.frame({ id: 1 });
  t.match(await http(`${server.url}/v1/socket`), { status: 400, body: { detail: /This is a WebSocket/ } });
  t.match(await http(`${server.url}/v1/socket?x=1`), { status: 400 });
});

t.test('requests are counted by operation and outcome', async (t) => {
  const socket = await openPipeline(t, server.url);
  const count = (op: string, outcome: string) =>
    metric(server, `weir_socket_requests_total{op="${op}",outcome="${outcome}"}`).then((value) => value || 0);
  const [ok, refused] = [await count('exists', 'ok'), await count('get', 'refused')];
  await socket.askAll([
    { op: 'exists', path: '/' },
    { op: 'get', path: '/none' },
  ]);
  t.equal(await count('exists', 'ok'), ok + 1);
  t.equal(await count('get', 'refused'), refused + 1);
  t.equal(await metric(server, 'weir_socket_requests_in_flight'), 0);
  t.ok((await metric(server, 'weir_sockets_open{kind="pipeline"}')) >= 1);
});

t.test('the table of requests covers the schema', async (t) => {
  const { requestTable } = await import('../../../src/ws/pipeline/request-table.ts');
  t.same(Object.keys(requestTable).sort(), Object.keys(requestSchemas).sort());
});

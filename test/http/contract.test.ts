// Responses match the OpenAPI document in status, content type, headers and shape: every success of these resources, and the
// failures that occur in the same tests.
import t from 'tap';
import { writePolicy } from '../helpers/access.ts';
import { contractOf } from '../helpers/contract.ts';
import { eventually, http, startTestServer } from '../helpers/server.ts';

const server = await startTestServer(t);
const contract = await contractOf(server.url);
const json = { 'content-type': 'application/json' };

t.test('responses about nodes match the document', async (t) => {
  await contract.call(t, 'PUT', '/v1/nodes/c', 'one', { 'content-type': 'text/plain' });
  await contract.call(t, 'PUT', '/v1/nodes/c', 'two', { 'content-type': 'text/plain' });
  await contract.call(t, 'PUT', '/v1/nodes/c/json', { a: 1 });
  await contract.call(t, 'POST', '/v1/nodes/c/s-', 'x', { 'idempotency-key': 'contract-1' });
  await contract.call(t, 'POST', '/v1/nodes/c/s-', 'x', { 'idempotency-key': 'contract-1' });
  const { headers } = await contract.call(t, 'GET', '/v1/nodes/c');
  for (const view of ['node', 'stat', 'children', 'children&stats=true', 'children&limit=1', 'tree', 'tree&depth=0']) {
    await contract.call(t, 'GET', `/v1/nodes/c?view=${view}`);
  }
  const unchanged = await contract.call(t, 'GET', '/v1/nodes/c', undefined, { 'if-none-match': headers.get('etag')! });
  t.equal(unchanged.status, 304);
  await contract.call(t, 'DELETE', '/v1/nodes/c?recursive=true');
  t.same(
    contract.unseen('nodes').filter((name) => name.includes('/nodes/')),
    [],
    'every success was seen',
  );
});

t.test('failures of requests for nodes match the document', async (t) => {
  const failures: [status: number, method: string, target: string, body?: unknown, headers?: Record<string, string>][] =
    [
      [404, 'GET', '/v1/nodes/none'],
      [400, 'GET', '/v1/nodes/a//b'],
      [400, 'GET', '/v1/nodes/?view=no'],
      [404, 'PUT', '/v1/nodes/none/x', ''],
      [403, 'PUT', '/v1/nodes/admin/x', ''],
      [409, 'PUT', '/v1/nodes/admin', '', { 'if-none-match': '*' }],
      [410, 'PUT', '/v1/nodes/x?session=none', ''],
      [412, 'DELETE', '/v1/nodes/f?version=9'],
      [409, 'DELETE', '/v1/nodes/f'],
      [413, 'PUT', '/v1/nodes/f', 'x'.repeat(1024 * 1024 + 1)],
      [404, 'DELETE', '/v1/nodes/none'],
    ];
  await contract.call(t, 'PUT', '/v1/nodes/f', '');
  await contract.call(t, 'PUT', '/v1/nodes/f/child', '');
  for (const [status, ...request] of failures) {
    // The reserved path is refused before the server checks whether it exists.
    const expected = request[1] === '/v1/nodes/admin' ? 403 : status;
    t.equal((await contract.call(t, ...request)).status, expected, request.slice(0, 2).join(' '));
  }
});

t.test('responses to multi, import and copy match the document', async (t) => {
  await contract.call(t, 'POST', '/v1/multi', {
    ops: [
      { op: 'create', path: '/m' },
      { op: 'check', path: '/m2', exists: false },
      { op: 'set', path: '/m', data: 'x' },
      { op: 'delete', path: '/m' },
    ],
  });
  await contract.call(t, 'POST', '/v1/multi', { ops: [{ op: 'delete', path: '/none' }] });
  await contract.call(t, 'POST', '/v1/multi', { ops: [{ op: 'create', path: 'none' }] });
  await contract.call(t, 'POST', '/v1/multi', { opps: [] });
  await contract.call(t, 'POST', '/v1/multi', '<ops/>', { 'content-type': 'application/xml' });
  const lines = { 'content-type': 'application/x-ndjson' };
  await contract.call(t, 'POST', '/v1/import', '{"path":"/i"}\n{"path":"/i/j"}', lines);
  await contract.call(t, 'GET', '/v1/nodes/i?view=export');
  await contract.call(t, 'POST', '/v1/copy', { from: '/i', to: '/k' });
  t.equal((await contract.call(t, 'POST', '/v1/copy', { from: '/i', to: '/k' })).status, 409);
  t.equal((await contract.call(t, 'POST', '/v1/import', '{"path":"/i/x","data":1}', lines)).status, 400);
  t.same(contract.unseen('nodes'), [], 'every success was seen');
});

t.test('responses about sessions match the document', async (t) => {
  const { body } = await contract.call(t, 'POST', '/v1/sessions', { ttl: '20s' });
  await contract.call(t, 'PUT', `/v1/nodes/e?mode=ephemeral&session=${body.session}`, 'x');
  await contract.call(t, 'PUT', `/v1/sessions/${body.session}`);
  t.same((await contract.call(t, 'GET', `/v1/sessions/${body.session}`)).body.ephemerals, ['/e']);
  const own = { 'weir-session': body.session };
  await contract.call(t, 'PUT', '/v1/sessions/self', undefined, own);
  await contract.call(t, 'GET', '/v1/sessions/self', undefined, own);
  const other = (await contract.call(t, 'POST', '/v1/sessions')).body;
  await contract.call(t, 'DELETE', '/v1/sessions/self', undefined, { 'weir-session': other.session });
  await contract.call(t, 'GET', '/v1/sessions?limit=1');
  await contract.call(t, 'DELETE', `/v1/sessions/${body.session}`);
  t.equal((await contract.call(t, 'GET', `/v1/sessions/${body.session}`)).status, 410);
  t.equal((await contract.call(t, 'POST', '/v1/sessions', '{"tll":1}', json)).status, 400);
  t.same(contract.unseen('sessions'), [], 'every success was seen');
});

t.test('responses about topics match the document', async (t) => {
  await contract.call(t, 'POST', '/v1/topics', { name: 'log', partitions: 2, config: { 'retention.ms': 1000 } });
  await contract.call(t, 'GET', '/v1/topics');
  await contract.call(t, 'GET', '/v1/topics?limit=1');
  await contract.call(t, 'GET', '/v1/topics?view=summary');
  await contract.call(t, 'GET', '/v1/topics/log');
  await contract.call(t, 'PATCH', '/v1/topics/log', { partitions: 3 });
  const records = [{ key: 'k', value: { a: 1 }, headers: { h: 'x' } }, { valueBase64: 'AAE=' }, { key: 'gone' }];
  await contract.call(t, 'POST', '/v1/topics/log/records?offsets=true', { records });
  await contract.call(t, 'POST', '/v1/topics/log/records?acks=0', { records });
  const { id, epoch } = (await contract.call(t, 'POST', '/v1/producers', { name: 'writer' })).body;
  await contract.call(t, 'GET', '/v1/producers');
  await contract.call(t, 'POST', '/v1/topics/log/records', { records, producer: { id, epoch, sequence: 0 } });
  await contract.call(t, 'POST', '/v1/topics/log/partitions/0/records', 'raw', { 'content-type': 'text/plain' });
  await contract.call(t, 'POST', '/v1/topics/log/partitions/0/records', 'raw', { 'weir-fence': 'a=1' });
  await contract.call(t, 'GET', '/v1/topics/log/partitions/0/fences');
  await contract.call(t, 'DELETE', '/v1/topics/log/partitions/0/fences/a');
  await contract.call(t, 'POST', '/v1/topics/log/records', '{"value":1}\n', { 'content-type': 'application/x-ndjson' });
  for (const partition of [0, 1, 2]) await contract.call(t, 'GET', `/v1/topics/log/partitions/${partition}/records`);
  await contract.call(t, 'GET', '/v1/topics/log/partitions/0/records', undefined, { accept: 'application/x-ndjson' });
  await contract.call(t, 'GET', '/v1/topics/log/records?last=1');
  for (const at of ['earliest', 'latest', '1']) await contract.call(t, 'GET', `/v1/topics/log/offsets?at=${at}`);
  await contract.call(t, 'DELETE', '/v1/topics/log/partitions/0/records?before=latest');

  const failures: [status: number, method: string, target: string, body?: unknown, headers?: Record<string, string>][] =
    [
      [409, 'POST', '/v1/topics', { name: 'log' }],
      [422, 'POST', '/v1/topics', { name: 'x', partitions: 0 }],
      [404, 'GET', '/v1/topics/none'],
      [404, 'GET', '/v1/topics/log/partitions/9/records'],
      [416, 'GET', '/v1/topics/log/partitions/0/records?offset=999'],
      [400, 'POST', '/v1/topics/log/records', { records: [{ valeu: 1 }] }],
      [409, 'POST', '/v1/topics/log/records', { records, producer: { id, epoch, sequence: 2 } }],
      [404, 'POST', '/v1/topics/log/records', { records, producer: { id: 'none', epoch, sequence: 0 } }],
      [400, 'POST', '/v1/producers', { nmae: 'writer' }],
      [200, 'POST', '/v1/topics/log/partitions/0/records', 'x', { 'weir-fence': 'f=2' }],
      [409, 'POST', '/v1/topics/log/partitions/0/records', 'x', { 'weir-fence': 'f=1' }],
    ];
  for (const [status, ...request] of failures) {
    t.equal((await contract.call(t, ...request)).status, status, request.slice(0, 2).join(' '));
  }
  const stream = contract.call(t, 'GET', '/v1/topics/log/stream?offset=latest');
  await eventually(
    async () => /^weir_topic_tails_open\{kind="sse"\} 1$/m.test((await http(`${server.url}/metrics`)).body),
    'the stream is open',
  );
  await contract.call(t, 'DELETE', '/v1/topics/log');
  // The stream ends with its topic. A client that resumes after that end gets 204, so that an EventSource stops.
  await stream;
  const lost = { 'last-event-id': 'lost:gone@0:1' };
  t.equal((await contract.call(t, 'GET', '/v1/topics/log/stream', undefined, lost)).status, 204);
  t.same(contract.unseen('topics'), [], 'every success was seen');
});

t.test('responses about groups match the document', async (t) => {
  await contract.call(t, 'POST', '/v1/topics', { name: 'clicks', partitions: 2 });
  await contract.call(t, 'POST', '/v1/topics/clicks/records', { records: [{ value: 1 }, { value: 2 }] });
  const join = { memberId: 'm', topics: ['clicks'], reset: 'earliest' };
  const { body: member } = await contract.call(t, 'POST', '/v1/groups/g/members', join);
  const { memberEpoch } = member;
  await contract.call(t, 'POST', '/v1/groups/g/members/m/heartbeat', { memberEpoch, owned: member.assignment });
  await contract.call(t, 'GET', '/v1/groups/g/members/m/records');
  await contract.call(t, 'GET', '/v1/groups/g/members/m/records?commit=previous');
  await contract.call(t, 'POST', '/v1/groups/g/members/m/records?commit=previous');
  const offsets = [{ topic: 'clicks', partition: 0, offset: 1, metadata: 'here' }];
  await contract.call(t, 'POST', '/v1/groups/g/offsets', { memberId: 'm', memberEpoch, offsets });
  await contract.call(t, 'GET', '/v1/groups/g/offsets');
  await contract.call(t, 'GET', '/v1/groups/g');
  await contract.call(t, 'GET', '/v1/groups');
  await contract.call(t, 'GET', '/v1/groups?view=summary');

  const failures: [status: number, method: string, target: string, body?: unknown][] = [
    [404, 'GET', '/v1/groups/none'],
    [404, 'POST', '/v1/groups/g/members/none/heartbeat', { memberEpoch: 1 }],
    [409, 'POST', '/v1/groups/g/members/m/heartbeat', { memberEpoch: 99 }],
    [409, 'POST', '/v1/groups/g/offsets', { offsets }],
    [409, 'DELETE', '/v1/groups/g'],
    [422, 'POST', '/v1/groups/g/members', { topics: ['clicks'], assignor: 'none' }],
    [400, 'POST', '/v1/groups/g/members', { memberId: 'x' }],
  ];
  for (const [status, ...request] of failures) {
    t.equal((await contract.call(t, ...request)).status, status, request.slice(0, 2).join(' '));
  }
  await contract.call(t, 'DELETE', '/v1/groups/g/members/m');
  await contract.call(t, 'POST', '/v1/groups/g/offsets/reset', { to: 'earliest', dryRun: true });
  await contract.call(t, 'POST', '/v1/groups/g/offsets/reset', { to: { offset: 1 } });
  await contract.call(t, 'DELETE', '/v1/groups/g/offsets');
  await contract.call(t, 'DELETE', '/v1/groups/g');
  t.same(contract.unseen('groups'), [], 'every success was seen');
});

t.test('the history matches the document', async (t) => {
  await contract.call(t, 'GET', '/v1/events?data&limit=5');
  t.equal((await contract.call(t, 'GET', '/v1/events?limit=0')).status, 400);
  t.equal((await contract.call(t, 'GET', '/v1/events?path=x')).status, 400);
});

t.test('failures of watches match the document', async (t) => {
  t.equal((await contract.call(t, 'GET', '/v1/watch/x?mode=none')).status, 400);
  const lost = await contract.call(t, 'GET', '/v1/watch/x?since=9007199254740991');
  t.match(lost, { status: 200, body: /^event: problem\ndata: .*"code":"COMPACTED"/m });
  const { body } = await contract.call(t, 'GET', '/v1/watch/admin?once=true&since=0&mode=recursive');
  t.match(body, /^data: \{"type":"watching"/m);
});

t.test('responses about the cluster, health and metrics match the document', async (t) => {
  const { body } = await contract.call(t, 'GET', '/v1/cluster');
  await contract.call(t, 'GET', '/v1/brokers');
  await contract.call(t, 'GET', `/v1/brokers/${body.brokers[0].id}`);
  t.equal((await contract.call(t, 'GET', '/v1/brokers/999999')).status, 404);
  const id = body.brokers[0].id;
  await contract.call(t, 'POST', '/v1/topics', { name: 'kept' });
  await contract.call(t, 'GET', '/v1/topics/kept/partitions/0');
  await contract.call(t, 'PATCH', '/v1/topics/kept/partitions/0', { replicas: [id] });
  await contract.call(t, 'POST', '/v1/elections', { topic: 'kept' });
  const failures: [status: number, method: string, target: string, body?: unknown][] = [
    [404, 'GET', '/v1/topics/kept/partitions/1'],
    [404, 'GET', '/v1/topics/none/partitions/0'],
    [400, 'GET', '/v1/topics/kept/partitions/x'],
    [400, 'PATCH', '/v1/topics/kept/partitions/0', { replicas: [] }],
    [422, 'PATCH', '/v1/topics/kept/partitions/0', { replicas: [id + 1] }],
    [404, 'POST', '/v1/elections', { topic: 'none' }],
    [404, 'POST', '/v1/elections', { topic: 'kept', partition: 1 }],
    [400, 'POST', '/v1/elections', {}],
  ];
  for (const [status, ...request] of failures) {
    t.equal((await contract.call(t, ...request)).status, status, request.slice(0, 2).join(' '));
  }
  t.same(contract.unseen('cluster'), [], 'every success was seen');
  await contract.call(t, 'GET', '/health/live');
  await contract.call(t, 'GET', '/health/ready');
  await contract.call(t, 'GET', '/metrics');
  await contract.call(t, 'GET', '/v1');
  await contract.call(t, 'GET', '/');
  // It does not end; test/http/routes/stats.test.ts checks its messages.
  const endless = 'GET /v1/stats/stream 200';
  t.same(contract.unseen('operation'), [endless], 'every other success was seen');
});

t.test('responses about access match the document', async (t) => {
  const policy = await writePolicy(t, ['a'], 'allow:\n  - who: a\n    nodes: { "/**": [read] }\n');
  const guarded = await startTestServer(t, { accessFile: policy.file }, server.target);
  const contract = await contractOf(guarded.url);
  const call = (method: string, target: string, body?: unknown) =>
    contract.call(t, method, target, body, policy.as('a'));
  t.equal((await contract.call(t, 'GET', '/v1/access/me')).status, 401);
  await call('GET', '/v1/access/me');
  await call('GET', '/v1/access/check?verb=read&topic=kept');
  t.equal((await call('GET', '/v1/access/check?verb=read')).status, 400);
  const { body } = await call('POST', '/v1/access/tokens', { allow: [{ nodes: { '/a': ['read'] } }] });
  await contract.call(t, 'GET', '/v1/access/me', undefined, { authorization: `Bearer ${body.token}` });
  t.equal((await call('POST', '/v1/access/tokens', { allow: [] })).status, 400);
  await call('GET', '/v1/access/tokens');
  await call('DELETE', `/v1/access/tokens/${body.id}`);
  t.equal((await call('DELETE', `/v1/access/tokens/${body.id}`)).status, 404);
  await call('POST', '/v1/access/tickets', { path: '/v1/watch/a' });
  t.same(contract.unseen('access'), [], 'every success was seen');
});

import t from 'tap';
import {
  beat,
  consume,
  count,
  createTopic,
  heartbeat,
  history,
  join,
  ownershipProblems,
  produce,
} from '../../helpers/groups.ts';
import { eventually, http, startTestServer } from '../../helpers/server.ts';

t.test('two members share the partitions, and the partitions of one that leaves go to the other', async (t) => {
  const startedAt = Date.now();
  const { url, broker } = await startTestServer(t);
  await createTopic(url, 'orders', 4);
  const joined = await join(url, 'g', { topics: ['orders'], memberId: 'a', clientId: 'app' });
  t.equal(joined.status, 201);
  t.equal(joined.headers.get('location'), '/v1/groups/g/members/a');
  t.match(joined.body, {
    memberId: 'a',
    memberEpoch: 1,
    assignment: [{ topic: 'orders', partitions: [0, 1, 2, 3] }],
    heartbeatIntervalMs: 5000,
    sessionTimeoutMs: 45_000,
  });
  const a = joined.body;
  const b = (await join(url, 'g', { topics: ['orders'], memberId: 'b' })).body;
  t.same(b.assignment, [], 'no partition is released yet');

  const node = await http(`${url}/v1/nodes/consumers/g/ids/a`);
  t.match(node.body, { version: 1, subscription: { orders: 1 }, pattern: 'static', clientId: 'app' });
  t.match(node.body.timestamp, /^\d+$/);

  await beat(url, 'g', a);
  t.same(a.assignment, [{ topic: 'orders', partitions: [0, 1] }], 'a must release two');
  t.match((await http(`${url}/v1/groups/g`)).body, { state: 'reconciling' });
  t.equal((await http(`${url}/v1/nodes/consumers/g/owners/orders/2`)).body, 'a', 'a owns them until it releases them');
  await beat(url, 'g', a);
  t.equal((await http(`${url}/v1/nodes/consumers/g/owners/orders/2`)).body, 'b', 'the other member gets them at once');
  await beat(url, 'g', b);
  t.same(b.assignment, [{ topic: 'orders', partitions: [2, 3] }]);
  await beat(url, 'g', a);

  const group = await http(`${url}/v1/groups/g`);
  t.match(group.body, {
    groupId: 'g',
    state: 'stable',
    assignor: 'uniform',
    members: [{ memberId: 'a' }, { memberId: 'b' }],
  });
  t.same(
    group.body.partitions.map(({ owner }: { owner: string }) => owner),
    ['a', 'a', 'b', 'b'],
  );
  t.ok(Number(group.headers.get('weir-zxid')) > 0);

  const [first] = (await http(`${url}/v1/groups/g`)).body.members;
  t.equal(first.address, '127.0.0.1', 'operators see from where a member joined');
  t.ok(first.joinedAt >= startedAt && first.joinedAt <= Date.now(), 'and when');
  t.equal((await http(`${url}/v1/groups/g/members/b`, 'DELETE')).status, 204);
  t.equal((await http(`${url}/v1/groups/g/members/b`, 'DELETE')).body.code, 'UNKNOWN_MEMBER');
  t.equal((await heartbeat(url, 'g', b)).body.code, 'UNKNOWN_MEMBER');
  await beat(url, 'g', a);
  t.equal(count(a.assignment), 4);
  t.same(ownershipProblems(await history(broker.store), 'g'), []);
});

t.test(
  'the partitions of a dead member go to others, and a heartbeat through any broker keeps a member alive',
  async (t) => {
    const one = await startTestServer(t);
    const two = await startTestServer(t, {}, one.target);
    await createTopic(one.url, 'orders', 4);
    const options = { topics: ['orders'], sessionTimeout: '1s' };
    const a = (await join(one.url, 'g', { ...options, memberId: 'a' })).body;
    const b = (await join(two.url, 'g', { ...options, memberId: 'b' })).body;
    const brokers = [one.url, two.url];
    await eventually(async () => {
      for (const member of [a, b]) await beat(brokers.reverse()[0]!, 'g', member);
      return count(a.assignment) === 2 && count(b.assignment) === 2;
    }, 'the partitions are shared');

    // From now on a sends nothing. b sends heartbeats through both brokers in turn, for several session timeouts.
    const silentAt = performance.now();
    await eventually(async () => {
      await beat(brokers.reverse()[0]!, 'g', b);
      return count(b.assignment) === 4;
    }, 'b has all partitions');
    t.ok(performance.now() - silentAt > 500, 'a was not removed before its session timeout');
    t.equal((await heartbeat(two.url, 'g', a)).body.code, 'UNKNOWN_MEMBER');
    t.equal((await heartbeat(one.url, 'g', b)).status, 200);
    const again = (await join(one.url, 'g', { ...options, memberId: 'a' })).body;
    t.same(again.assignment, [], 'a member that joins again has no partitions at first');
    t.same(ownershipProblems(await history(one.broker.store), 'g'), []);
  },
);

t.test('a join may be repeated', async (t) => {
  const { url } = await startTestServer(t);
  await createTopic(url, 'orders', 2);
  const first = await join(url, 'g', { topics: ['orders'], memberId: 'a' });
  const second = await http(
    `${url}/v1/groups/g/members`,
    'POST',
    { topics: ['orders'], memberId: 'a', reset: 'earliest' },
    { 'weir-member': first.body.memberSecret },
  );
  t.equal(second.status, 201);
  t.same(second.body, first.body, 'with the member secret it is the same incarnation');
  const key = { 'idempotency-key': 'a join that is sent twice' };
  const keyed = () => http(`${url}/v1/groups/g/members`, 'POST', { topics: ['orders'] }, key);
  const third = await keyed();
  const fourth = await keyed();
  t.same(fourth.body, third.body, 'with an Idempotency-Key also if the server creates the member id');
  t.equal(fourth.headers.get('idempotency-replayed'), 'true');
  t.equal((await http(`${url}/v1/groups/g`)).body.members.length, 2);
});

t.test('the response to a join names the topics that do not exist', async (t) => {
  const { url } = await startTestServer(t);
  await createTopic(url, 'orders', 2);
  const key = { 'idempotency-key': 'a join with a typing error' };
  const keyed = () => http(`${url}/v1/groups/g/members`, 'POST', { topics: ['oders', 'orders', 'oders'] }, key);
  const joined = await keyed();
  t.same(joined.body.unknownTopics, ['oders']);
  await createTopic(url, 'oders', 1);
  t.same((await keyed()).body, joined.body, 'a repeat gets the response that was stored');
  const later = await join(url, 'g', { topics: ['oders', 'orders'] });
  t.equal(later.body.unknownTopics, undefined, 'nothing is named if all exist');
  const pattern = await join(url, 'h', { pattern: 'o.*x' });
  t.match(pattern.body, { unknownTopics: undefined, assignment: [] }, 'a pattern names no topics');
  const many = await join(url, 'h', { topics: Array.from({ length: 150 }, (_, i) => `none-${i}`) });
  t.same(
    many.body.unknownTopics,
    Array.from({ length: 100 }, (_, i) => `none-${i}`),
    'at most 100 are named',
  );
});

t.test('members without a partition take over when another member is gone', async (t) => {
  const { url } = await startTestServer(t);
  await createTopic(url, 'orders', 1);
  const a = (await join(url, 'g', { topics: ['orders'], memberId: 'a' })).body;
  const b = (await join(url, 'g', { topics: ['orders'], memberId: 'b' })).body;
  t.equal(count(a.assignment) + count(b.assignment), 1);
  t.equal((await consume(url, 'g', 'b')).body.records.length, 0);
  const waiting = consume(url, 'g', 'b', '?wait=20s');
  await produce(url, 'orders', 0, ['x']);
  t.equal((await http(`${url}/v1/groups/g/members/a`, 'DELETE')).status, 204);
  const { body } = await waiting;
  t.match(body, { assignment: [{ topic: 'orders', partitions: [0] }], records: [{ value: 'x' }] });
});

t.test('a call returns existing records at once, and otherwise waits for records', async (t) => {
  const { url } = await startTestServer(t);
  await createTopic(url, 'orders', 3);
  await produce(url, 'orders', 1, ['a', { b: 1 }]);
  await join(url, 'g', { topics: ['orders'], memberId: 'm' });
  const first = await consume(url, 'g', 'm');
  t.match(first.body, {
    memberEpoch: 1,
    assignment: [{ topic: 'orders', partitions: [0, 1, 2] }],
    records: [
      { topic: 'orders', partition: 1, offset: 0, value: 'a' },
      { topic: 'orders', partition: 1, offset: 1, value: { b: 1 } },
    ],
  });
  t.same((await consume(url, 'g', 'm')).body.records, [], 'nothing twice');
  const waiting = consume(url, 'g', 'm', '?wait=20s');
  await produce(url, 'orders', 2, ['c']);
  t.match((await waiting).body.records, [{ partition: 2, offset: 0, value: 'c' }]);
});

t.test('a record that a dead member received and did not process goes to the next owner', async (t) => {
  const { url } = await startTestServer(t);
  await createTopic(url, 'orders', 4);
  const sent = Array.from({ length: 40 }, (_, i) => i);
  for (const partition of [0, 1, 2, 3])
    await produce(
      url,
      'orders',
      partition,
      sent.filter((i) => i % 4 === partition),
    );
  const options = { topics: ['orders'], sessionTimeout: '1s' };
  await join(url, 'g', { ...options, memberId: 'a' });
  const dealtWith = new Set<number>();
  const first = (await consume(url, 'g', 'a', '?maxRecords=7&commit=previous')).body.records;
  for (const { value } of first) dealtWith.add(value);
  const lost = (await consume(url, 'g', 'a', '?maxRecords=9&commit=previous')).body.records;
  t.equal(lost.length, 9, 'a dies before it has processed these');
  await join(url, 'g', { ...options, memberId: 'b' });
  await eventually(async () => {
    const { records } = (await consume(url, 'g', 'b', '?commit=previous&wait=300ms')).body;
    for (const { value } of records) dealtWith.add(value);
    return dealtWith.size === sent.length;
  }, 'all records were processed');
  await consume(url, 'g', 'b', '?commit=previous');
  const { partitions } = (await http(`${url}/v1/groups/g`)).body;
  t.ok(partitions.every(({ lag }: { lag: number }) => lag === 0));
});

t.test('a newer consume call of a member ends the older one with no records', async (t) => {
  const { url } = await startTestServer(t);
  await createTopic(url, 'orders', 1);
  await join(url, 'g', { topics: ['orders'], memberId: 'm' });
  const older = consume(url, 'g', 'm', '?wait=3s');
  const node = `${url}/v1/groups/g/members/m/records`;
  await eventually(async () => (await http(`${node}?wait=20ms`)).status === 200, 'the newer one is in flight');
  await produce(url, 'orders', 0, ['x']);
  const newer = await consume(url, 'g', 'm', '?wait=3s');
  const values = [...(await older).body.records, ...newer.body.records].map(({ value }) => value);
  t.same(values, ['x'], 'exactly one of the two calls returns the record');
});

t.test(
  'a pattern subscribes to all matching topics, also to those created later, and releases deleted ones',
  async (t) => {
    const { url } = await startTestServer(t);
    await createTopic(url, 'app.a', 1);
    await createTopic(url, 'other', 1);
    const m = (await join(url, 'g', { pattern: 'app\\..*', memberId: 'm' })).body;
    t.same(m.assignment, [{ topic: 'app.a', partitions: [0] }]);
    t.match((await http(`${url}/v1/nodes/consumers/g/ids/m`)).body, {
      pattern: 'white_list',
      subscription: { 'app\\..*': 1 },
    });
    await createTopic(url, 'app.b', 2);
    await eventually(async () => (await beat(url, 'g', m)) && count(m.assignment) === 3, 'the new topic is assigned');
    t.equal((await http(`${url}/v1/topics/app.b`, 'PATCH', { partitions: 4 })).status, 200);
    await eventually(
      async () => (await beat(url, 'g', m)) && count(m.assignment) === 5,
      'its new partitions are assigned',
    );
    t.equal((await http(`${url}/v1/topics/app.a`, 'DELETE')).status, 204);
    await eventually(
      async () => (await beat(url, 'g', m)) && count(m.assignment) === 4,
      'the deleted topic is not assigned any more',
    );
    t.equal((await http(`${url}/v1/nodes/consumers/g/owners/app.a/0`)).status, 404);
  },
);

t.test('a topic that is created again is read from its beginning', async (t) => {
  const { url } = await startTestServer(t);
  await createTopic(url, 'orders', 1);
  await produce(url, 'orders', 0, [1, 2, 3]);
  await join(url, 'g', { topics: ['orders'], memberId: 'm' });
  await consume(url, 'g', 'm', '?commit=previous');
  await consume(url, 'g', 'm', '?commit=previous');
  t.equal((await http(`${url}/v1/groups/g`)).body.partitions[0].committed, 3);
  await http(`${url}/v1/topics/orders`, 'DELETE');
  await eventually(
    async () => (await consume(url, 'g', 'm')).body.assignment.length === 0,
    'the topic is not assigned any more',
  );
  await createTopic(url, 'orders', 1);
  await produce(url, 'orders', 0, ['anew']);
  const { records } = await eventually(async () => {
    const { body } = await consume(url, 'g', 'm', '?commit=previous&wait=200ms');
    return body.records.length > 0 ? body : undefined;
  }, 'the new topic is read');
  t.match(records, [{ offset: 0, value: 'anew' }]);
  await consume(url, 'g', 'm', '?commit=previous');
  t.equal((await http(`${url}/v1/groups/g`)).body.partitions[0].committed, 1);
});

t.test('a member that does not release within its rebalance timeout is fenced', async (t) => {
  const { url, broker } = await startTestServer(t);
  await createTopic(url, 'orders', 2);
  const options = { topics: ['orders'], sessionTimeout: '1s', rebalanceTimeout: '200ms' };
  const a = (await join(url, 'g', { ...options, memberId: 'a' })).body;
  const b = (await join(url, 'g', { ...options, memberId: 'b' })).body;
  await eventually(async () => {
    // The member is alive, and reports all partitions as owned.
    const { status } = await heartbeat(url, 'g', a);
    await beat(url, 'g', b);
    return status !== 200;
  }, 'a is fenced');
  t.equal((await heartbeat(url, 'g', a)).body.code, 'UNKNOWN_MEMBER');
  await beat(url, 'g', b);
  t.equal(count(b.assignment), 2);
  t.same(ownershipProblems(await history(broker.store), 'g'), []);
});

t.test('a member with a wrong epoch is fenced', async (t) => {
  const { url } = await startTestServer(t);
  await createTopic(url, 'orders', 2);
  const a = (await join(url, 'g', { topics: ['orders'], memberId: 'a' })).body;
  t.match((await heartbeat(url, 'g', { ...a, memberEpoch: 7 })).body, { code: 'FENCED_MEMBER_EPOCH', memberEpoch: 1 });
  await join(url, 'g', { topics: ['orders'], memberId: 'b' });
  await beat(url, 'g', a);
  const before = structuredClone(a);
  await beat(url, 'g', a);
  t.equal((await heartbeat(url, 'g', before)).status, 200, 'the response may have been lost');
  const greedy = { ...before, assignment: [{ topic: 'orders', partitions: [0, 1] }] };
  t.equal(
    (await heartbeat(url, 'g', greedy)).body.code,
    'FENCED_MEMBER_EPOCH',
    'but it is fenced if it reports partitions that it does not have',
  );
});

t.test(
  'a static member that returns with another member id keeps its partitions, and no other member is affected',
  async (t) => {
    const { url, broker } = await startTestServer(t);
    await createTopic(url, 'orders', 4);
    const options = { topics: ['orders'] };
    const a = (await join(url, 'g', { ...options, memberId: 'a', instanceId: 'i1' })).body;
    const b = (await join(url, 'g', { ...options, memberId: 'b', instanceId: 'i2' })).body;
    for (let i = 0; i < 3; i += 1) for (const member of [a, b]) await beat(url, 'g', member);
    const before = (await http(`${url}/v1/groups/g`)).body;
    const again = (await join(url, 'g', { ...options, memberId: 'a2', instanceId: 'i1' })).body;
    t.same(again.assignment, a.assignment);
    t.equal((await http(`${url}/v1/groups/g`)).body.groupEpoch, before.groupEpoch);
    t.equal((await heartbeat(url, 'g', a)).body.code, 'FENCED_INSTANCE_ID');
    t.equal((await join(url, 'g', { ...options, memberId: 'a', instanceId: 'i1' })).body.code, 'FENCED_INSTANCE_ID');
    t.equal((await http(`${url}/v1/nodes/consumers/g/owners/orders/0`)).body, 'a2');
    t.equal((await beat(url, 'g', b)).status, 200);
    t.equal(count(b.assignment), 2);
    t.same(ownershipProblems(await history(broker.store), 'g'), []);
  },
);

t.test('the error for each malformed request says what is wrong', async (t) => {
  const { url } = await startTestServer(t);
  const bad: [Record<string, unknown>, RegExp, string?][] = [
    [{ topics: ['a'], pattern: 'b' }, /topics and pattern were sent\. Send only one of them\./],
    [{}, /Neither topics nor pattern was sent\. Send topics or pattern\./],
    [{ topics: [] }, /topics/],
    [{ topics: ['a/b'] }, /a\/b/],
    [{ pattern: '(' }, /pattern is no regular expression/],
    [{ topics: ['a'], tpoic: 1 }, /unknown field 'tpoic'/],
    [{ topics: ['a'], memberId: 'x/y' }, /memberId is not a valid name: it contains a slash/],
    [{ topics: ['a'], memberId: '' }, /memberId/],
    [{ topics: ['a'], memberId: 'x'.repeat(250) }, /250 characters/],
    [{ topics: ['a'], memberId: '..' }, /memberId/],
    [{ topics: ['a'], sessionTimeout: 'soon' }, /sessionTimeout/],
    [{ topics: ['a'], assignor: 'best' }, /best/, 'UNSUPPORTED_ASSIGNOR'],
  ];
  for (const [body, detail, code = 'BAD_REQUEST'] of bad) {
    const response = await join(url, 'g', body);
    t.match(response.body, { code, detail }, JSON.stringify(body));
  }
  t.equal((await join(url, 'a%2Fb', { topics: ['a'] })).body.code, 'BAD_REQUEST');
  t.equal((await http(`${url}/v1/groups`)).body.groups.length, 0, 'no group was created');
  t.equal((await consume(url, 'nope', 'm')).body.code, 'UNKNOWN_GROUP');
  t.equal((await http(`${url}/v1/groups/nope`)).body.code, 'UNKNOWN_GROUP');
  const a = (await join(url, 'g', { topics: ['a'], memberId: 'constructor' })).body;
  t.equal((await heartbeat(url, 'g', a)).status, 200, 'the name of a property of Object.prototype is a valid name');
  t.equal((await consume(url, 'g', 'toString')).body.code, 'UNKNOWN_MEMBER');
  t.match((await consume(url, 'g', 'constructor', '?wiat=1s')).body, { code: 'BAD_REQUEST', detail: /wiat/ });
  const proto = await http(`${url}/v1/groups/p/members`, 'POST', '{"topics":["a"],"memberId":"__proto__"}', {
    'content-type': 'application/json',
  });
  t.equal(proto.status, 201);
  t.equal((await heartbeat(url, 'p', proto.body)).status, 200);
  t.equal((await http(`${url}/v1/groups/p/members/__proto__`, 'DELETE')).status, 204);
});

t.test('a pattern that backtracks without end in other engines is matched at once', async (t) => {
  const { url } = await startTestServer(t);
  await createTopic(url, 'a'.repeat(60), 1);
  const { status, body } = await join(url, 'g', { pattern: '(a+)+b|a(a?){59}(a+)+', memberId: 'm' });
  t.equal(status, 201);
  t.equal(count(body.assignment), 1);
  for (const pattern of ['a(?=b)', '(a)\\1', '(a{900}){900}', '[z-a]']) {
    t.match(
      (await join(url, 'g', { pattern })).body,
      { code: 'BAD_REQUEST', detail: /RE2/, field: 'pattern' },
      pattern,
    );
  }
});

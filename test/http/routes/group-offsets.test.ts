import t from 'tap';
import { encodeDeletion } from '../../../src/broker/metadata/topic-deleter.ts';
import { openEventStream } from '../../helpers/event-stream.ts';
import { beat, consume, createTopic, join, produce } from '../../helpers/groups.ts';
import { eventually, http, startTestServer } from '../../helpers/server.ts';

t.test(
  'commit=previous commits the records returned by the last call, and from=committed goes back to the committed offset',
  async (t) => {
    const { url } = await startTestServer(t);
    const other = await startTestServer(t);
    await createTopic(url, 'orders', 1);
    await produce(url, 'orders', 0, [0, 1, 2, 3]);
    await join(url, 'g', { topics: ['orders'], memberId: 'm' });
    const committed = async () => (await http(`${url}/v1/groups/g/offsets`)).body.offsets[0]?.offset;
    const values = async (query: string) =>
      (await consume(url, 'g', 'm', query)).body.records.map(({ value }: { value: number }) => value);
    t.same(await values('?maxRecords=2&commit=previous'), [0, 1]);
    t.equal(await committed(), undefined, 'nothing is committed yet');
    t.same(await values('?maxRecords=1&commit=previous'), [2]);
    t.equal(await committed(), 2);
    t.same(await values('?from=committed&commit=previous'), [2, 3], 'the lost records are returned again');
    t.equal(await committed(), 2);
    t.same(await values('?commit=manual'), []);
    t.equal(await committed(), 2);
    t.same(await values('?commit=previous'), []);
    t.equal(await committed(), 4);
    t.equal((await consume(other.url, 'g', 'm')).body.code, 'UNKNOWN_GROUP', 'another cluster has its own groups');
  },
);

t.test('only the member that has a partition can commit for it', async (t) => {
  const { url } = await startTestServer(t);
  await createTopic(url, 'orders', 2);
  const a = (await join(url, 'g', { topics: ['orders'], memberId: 'a' })).body;
  const commit = (body: Record<string, unknown>) => http(`${url}/v1/groups/g/offsets`, 'POST', body);
  const at = (partition: number, offset: number) => [{ topic: 'orders', partition, offset }];
  const early = await commit({ memberId: 'a', memberEpoch: a.memberEpoch, offsets: at(0, 5) });
  t.equal(early.status, 200);
  t.ok(Number(early.headers.get('weir-zxid')) > 0);
  t.equal(
    (await commit({ memberId: 'a', memberEpoch: a.memberEpoch, offsets: at(0, 3) })).status,
    200,
    'a lower offset is committed as well',
  );
  t.equal((await http(`${url}/v1/nodes/consumers/g/offsets/orders/0`)).body, '3');
  t.equal((await commit({ offsets: at(0, 5) })).body.code, 'GROUP_NOT_EMPTY');
  t.equal((await commit({ memberId: 'b', memberEpoch: 1, offsets: at(0, 5) })).body.code, 'UNKNOWN_MEMBER');
  t.equal((await commit({ memberId: 'a', memberEpoch: 99, offsets: at(0, 5) })).body.code, 'FENCED_MEMBER_EPOCH');
  t.equal((await commit({ memberId: 'a', offsets: at(7, 5) })).body.code, 'UNKNOWN_PARTITION');
  t.equal(
    (await commit({ memberId: 'a', offsets: [{ topic: 'nope', partition: 0, offset: 1 }] })).body.code,
    'UNKNOWN_TOPIC',
  );

  const b = (await join(url, 'g', { topics: ['orders'], memberId: 'b' })).body;
  await beat(url, 'g', a);
  t.equal(
    (await commit({ memberId: 'a', memberEpoch: a.memberEpoch, offsets: at(1, 8) })).status,
    200,
    'until it releases the partition',
  );
  await beat(url, 'g', a);
  const late = await commit({ memberId: 'a', memberEpoch: a.memberEpoch, offsets: at(1, 9) });
  t.equal(late.body.code, 'STALE_MEMBER_EPOCH');
  t.equal(late.status, 409);
  await beat(url, 'g', b);
  t.equal((await commit({ memberId: 'b', memberEpoch: b.memberEpoch, offsets: at(1, 10) })).status, 200);
});

t.test('an operator commits, resets, reads and deletes the offsets of an empty group', async (t) => {
  const { url } = await startTestServer(t);
  await createTopic(url, 'orders', 2);
  await produce(url, 'orders', 0, [1, 2, 3, 4]);
  await produce(url, 'orders', 1, [1, 2]);
  const offsets = `${url}/v1/groups/ops/offsets`;
  t.equal((await http(offsets)).body.code, 'UNKNOWN_GROUP');
  const commit = await http(offsets, 'POST', {
    offsets: [{ topic: 'orders', partition: 0, offset: 2, metadata: 'half' }],
  });
  t.equal(commit.status, 200);
  t.match((await http(offsets)).body, { offsets: [{ topic: 'orders', partition: 0, offset: 2, metadata: 'half' }] });
  t.equal((await http(`${offsets}?topic=orders&partition=1`)).body.code, 'NO_COMMITTED_OFFSET');
  t.equal((await http(`${offsets}?partition=1`)).body.code, 'BAD_REQUEST');
  const group = (await http(`${url}/v1/groups/ops`)).body;
  t.match(group, {
    state: 'empty',
    members: [],
    partitions: [{ partition: 0, owner: null, committed: 2, endOffset: 4, lag: 2 }],
  });

  const reset = async (body: Record<string, unknown>) => (await http(`${offsets}/reset`, 'POST', body)).body;
  t.same(await reset({ to: 'latest', dryRun: true }), {
    dryRun: true,
    offsets: [{ topic: 'orders', partition: 0, offset: 4, previous: 2 }],
  });
  t.equal((await http(`${offsets}?topic=orders&partition=0`)).body.offsets[0].offset, 2, 'a dry run changes nothing');
  t.match(await reset({ to: 'earliest', topics: ['orders'] }), {
    offsets: [{ offset: 0 }, { offset: 0, previous: null }],
  });
  t.match(await reset({ to: { shiftBy: 3 } }), { offsets: [{ offset: 3 }, { offset: 2 }] });
  t.match(await reset({ to: { shiftBy: -100 } }), { offsets: [{ offset: 0 }, { offset: 0 }] });
  t.match(await reset({ to: { offset: 100 } }), { offsets: [{ offset: 4 }, { offset: 2 }] });
  t.match(await reset({ to: { timestamp: 0 } }), { offsets: [{ offset: 0 }, { offset: 0 }] });
  t.match(await reset({ to: 'sideways' }), { code: 'BAD_REQUEST' });
  t.match(await reset({ to: 'latest', topics: ['nope'] }), { code: 'UNKNOWN_TOPIC' });

  await join(url, 'ops', { topics: ['orders'], memberId: 'm' });
  t.match(await reset({ to: 'latest' }), { code: 'GROUP_NOT_EMPTY' });
  t.equal((await http(offsets, 'DELETE')).body.code, 'GROUP_NOT_EMPTY');
  t.equal((await http(`${url}/v1/groups/ops`, 'DELETE')).body.code, 'GROUP_NOT_EMPTY');
  t.equal((await http(`${url}/v1/groups/ops/members/m`, 'DELETE')).status, 204);
  t.equal((await http(`${offsets}?topic=orders&partition=0`, 'DELETE')).status, 204);
  t.equal((await http(offsets)).body.offsets.length, 1);
  t.match((await http(`${url}/v1/groups`)).body, { groups: [{ groupId: 'ops', state: 'empty', members: 0 }] });
  t.equal((await http(`${url}/v1/groups/ops`, 'DELETE')).status, 204);
  t.equal((await http(`${url}/v1/groups/ops`, 'DELETE')).body.code, 'UNKNOWN_GROUP');
  t.equal((await http(`${url}/v1/nodes/consumers/ops`)).status, 404);
});

t.test('the committed offsets of a topic are deleted with it, and a new topic of its name has none', async (t) => {
  const { url, target, broker } = await startTestServer(t, { brokerId: 1001 });
  const other = await startTestServer(t, { brokerId: 1002 }, target);
  for (const topic of ['orders', 'bills']) await createTopic(url, topic, 1);
  await produce(url, 'orders', 0, [1, 2, 3]);
  const committed = (topic: string, offset: number) => ({ offsets: [{ topic, partition: 0, offset, metadata: 'm' }] });
  const offsets = (group: string) => http(`${url}/v1/groups/${group}/offsets`);
  const a = (await join(url, 'g', { topics: ['orders', 'bills'], memberId: 'a' })).body;
  for (const body of [committed('orders', 3), committed('bills', 0)]) {
    await http(`${url}/v1/groups/g/offsets`, 'POST', { memberId: 'a', memberEpoch: a.memberEpoch, ...body });
  }
  await http(`${other.url}/v1/groups/empty/offsets`, 'POST', committed('orders', 2));
  const since = await broker.store.events.newestZxid();

  t.equal((await http(`${other.url}/v1/topics/orders`, 'DELETE')).status, 204);
  t.match((await offsets('g')).body, { offsets: [{ topic: 'bills', offset: 0 }] });
  t.equal((await http(`${url}/v1/nodes/consumers/g/offsets/orders`)).status, 404);
  t.equal((await offsets('empty')).body.code, 'UNKNOWN_GROUP', 'the group is deleted');
  const stream = await openEventStream(t, `${url}/v1/watch/consumers/g/offsets?mode=recursive&since=${since}`);
  const { data } = await stream.message(({ data }) => data.events !== undefined, 'a watcher gets the events');
  t.same(
    data.events.map(({ type, path }: { type: string; path: string }) => `${type} ${path}`),
    ['deleted /consumers/g/offsets/orders/0', 'deleted /consumers/g/offsets/orders'],
    'in one transaction',
  );

  await createTopic(other.url, 'orders', 1);
  await produce(other.url, 'orders', 0, ['new']);
  const b = (await join(url, 'h', { topics: ['orders'], memberId: 'b' })).body;
  t.match((await consume(url, 'h', b.memberId)).body.records, [{ value: 'new', offset: 0 }]);
  const { body } = await eventually(async () => {
    const response = await consume(url, 'g', 'a', '?commit=previous');
    return response.body.records.length > 0 ? response : undefined;
  }, 'the member is assigned the new topic');
  t.match(body.records, [{ topic: 'orders', offset: 0, value: 'new' }], 'from its beginning');
  await consume(url, 'g', 'a', '?commit=previous');
  t.match((await offsets('g')).body, { offsets: [{ topic: 'bills' }, { topic: 'orders', offset: 1 }] });
});

t.test(
  'the deletion of a topic that one broker began is completed by another, with the committed offsets',
  async (t) => {
    const { url, broker } = await startTestServer(t);
    const { namespace } = broker.store;
    await createTopic(url, 'orders', 1);
    await http(`${url}/v1/groups/g/offsets`, 'POST', { offsets: [{ topic: 'orders', partition: 0, offset: 0 }] });
    const { topicId } = await broker.topics.get('orders');
    // As a broker leaves it that dies after the first step.
    const note = encodeDeletion({ topicId, partitions: 1 });
    await namespace.write([{ op: 'create', path: '/admin/delete_topics/orders', data: note }], { privileged: true });
    await namespace.write([{ op: 'delete-recursive', path: '/brokers/topics/orders' }], { privileged: true });
    await eventually(
      async () => (await http(`${url}/v1/nodes/consumers/g`)).status === 404,
      'the group is deleted',
      30_000,
    );
    await eventually(
      async () => (await namespace.allChildren('/admin/delete_topics')).length === 0,
      'the note of the deletion is deleted',
    );
  },
);

t.test('without a committed offset, the reset policy chooses the first offset', async (t) => {
  const { url } = await startTestServer(t);
  await createTopic(url, 'orders', 1);
  await produce(url, 'orders', 0, ['old']);
  await join(url, 'latest', { topics: ['orders'], memberId: 'm', reset: 'latest' });
  t.same((await consume(url, 'latest', 'm')).body.records, []);
  await produce(url, 'orders', 0, ['new']);
  t.match((await consume(url, 'latest', 'm')).body.records, [{ value: 'new' }]);
  t.match(
    (await consume(url, 'latest', 'm', '?from=committed')).body.records,
    [{ value: 'new' }],
    'the record is not skipped',
  );
  await join(url, 'none', { topics: ['orders'], memberId: 'm', reset: 'none' });
  const none = await consume(url, 'none', 'm');
  t.equal(none.status, 404);
  t.match(none.body, { code: 'NO_COMMITTED_OFFSET', topic: 'orders', partition: 0 });
});

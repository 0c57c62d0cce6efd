// Groups over a longer time: static members that return, members that are stuck, groups that are not used any more, and the events
// of a rebalance at a watcher.
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
} from '../../helpers/groups.ts';
import { eventually, http, startTestServer } from '../../helpers/server.ts';

t.test('a static member that leaves temporarily keeps its partitions, and no other member is affected', async (t) => {
  const { url, broker } = await startTestServer(t);
  await createTopic(url, 'orders', 4);
  const options = { topics: ['orders'] };
  const a = (await join(url, 'g', { ...options, memberId: 'a', instanceId: 'i1' })).body;
  const b = (await join(url, 'g', { ...options, memberId: 'b' })).body;
  for (let i = 0; i < 3; i += 1) for (const member of [a, b]) await beat(url, 'g', member);
  const before = (await http(`${url}/v1/groups/g`)).body;

  const dynamic = await http(`${url}/v1/groups/g/members/b?temporary=true`, 'DELETE');
  t.match(dynamic.body, { code: 'BAD_REQUEST', detail: /no instanceId/ });
  t.equal((await http(`${url}/v1/groups/g/members/a?temporary=true`, 'DELETE')).status, 204);
  t.match((await heartbeat(url, 'g', a)).body, { code: 'UNKNOWN_MEMBER', instanceId: 'i1' });
  t.equal((await consume(url, 'g', 'a')).body.code, 'UNKNOWN_MEMBER');
  const away = (await http(`${url}/v1/groups/g`)).body;
  t.equal(away.groupEpoch, before.groupEpoch);
  t.match(away.members[0], { memberId: 'a', away: true });
  t.equal((await http(`${url}/v1/nodes/consumers/g/owners/orders/0`)).body, 'a', 'its partitions are kept');
  await beat(url, 'g', b);
  t.equal(count(b.assignment), 2);

  const again = (await join(url, 'g', { ...options, memberId: 'a2', instanceId: 'i1' })).body;
  t.same(again.assignment, a.assignment);
  const after = (await http(`${url}/v1/groups/g`)).body;
  t.equal(after.groupEpoch, before.groupEpoch);
  t.notOk(after.members[0].away);
  t.same(ownershipProblems(await history(broker.store), 'g'), []);
});

t.test('the partitions of a static member that does not return in time go to another member', async (t) => {
  const { url } = await startTestServer(t);
  await createTopic(url, 'orders', 2);
  const options = { topics: ['orders'], sessionTimeout: '1s' };
  await join(url, 'g', { ...options, memberId: 'a', instanceId: 'i1' });
  const b = (await join(url, 'g', { ...options, memberId: 'b' })).body;
  await http(`${url}/v1/groups/g/members/a?temporary=true`, 'DELETE');
  await eventually(async () => {
    await beat(url, 'g', b);
    return count(b.assignment) === 2;
  }, 'the other member has all partitions');
});

t.test('a member that stops making consume calls is removed although its heartbeats continue', async (t) => {
  const { url } = await startTestServer(t);
  await createTopic(url, 'orders', 2);
  const options = { topics: ['orders'], sessionTimeout: '1s', rebalanceTimeout: '1s' };
  const a = (await join(url, 'g', { ...options, memberId: 'a' })).body;
  await consume(url, 'g', 'a');
  const other = (await join(url, 'h', { ...options, memberId: 'a' })).body;
  const { body } = await eventually(async () => {
    t.equal((await beat(url, 'h', other)).status, 200, 'a member that never made a consume call is not removed');
    const response = await beat(url, 'g', a);
    return response.status === 200 ? undefined : response;
  }, 'the member is removed');
  t.equal(body.code, 'UNKNOWN_MEMBER');
});

t.test('unused offsets expire after the retention time, and then the empty group is deleted', async (t) => {
  const one = await startTestServer(t, { offsetsRetentionMs: 1500 });
  await startTestServer(t, { offsetsRetentionMs: 1500 }, one.target);
  const { url } = one;
  for (const topic of ['orders', 'bills']) await createTopic(url, topic, 1);
  const commit = (group: string, topic: string) =>
    http(`${url}/v1/groups/${group}/offsets`, 'POST', { offsets: [{ topic, partition: 0, offset: 0, metadata: 'm' }] });
  await commit('gone', 'orders');
  await commit('used', 'orders');
  await commit('used', 'bills');
  const a = (await join(url, 'used', { topics: ['orders'], memberId: 'a' })).body;
  await eventually(
    async () => (await http(`${url}/v1/groups/gone`)).status === 404,
    'the empty group is deleted',
    30_000,
  );
  t.equal((await http(`${url}/v1/nodes/consumers/gone`)).status, 404);
  const { offsets } = await eventually(
    async () => {
      await beat(url, 'used', a);
      const { body } = await http(`${url}/v1/groups/used/offsets`);
      return body.offsets.length === 1 ? body : undefined;
    },
    'offsets of topics without a subscriber are deleted',
    30_000,
  );
  t.match(offsets, [{ topic: 'orders', offset: 0 }], 'offsets of a subscribed topic stay');
  t.equal((await http(`${url}/v1/nodes/consumers/used/offsets/bills`)).status, 404);
  t.match((await http(`${url}/metrics`)).body, /weir_group_offsets_expired_total \d/);
});

t.test('a watcher of the tree can follow a whole rebalance by its events alone', async (t) => {
  const { url, broker } = await startTestServer(t);
  await createTopic(url, 'orders', 4);
  const options = { topics: ['orders'], sessionTimeout: '1s' };
  const a = (await join(url, 'g', { ...options, memberId: 'a' })).body;
  const b = (await join(url, 'g', { ...options, memberId: 'b' })).body;
  await eventually(async () => {
    for (const member of [a, b]) await beat(url, 'g', member);
    return count(a.assignment) === 2 && count(b.assignment) === 2;
  }, 'they share');
  // b crashes; a gets all partitions, and leaves.
  await eventually(async () => (await beat(url, 'g', a)) && count(a.assignment) === 4, 'a has all partitions');
  await http(`${url}/v1/groups/g/members/a`, 'DELETE');

  const transactions = await history(broker.store);
  t.same(ownershipProblems(transactions, 'g'), [], 'at each zxid, no partition had two owners');
  const owners = new Map<string, string>();
  const steps: string[] = [];
  for (const { events } of transactions) {
    let isOurs = false;
    for (const { kind, path, data } of events) {
      const [, , group, part, , partition] = path.split('/');
      if (group !== 'g' || part !== 'owners' || partition === undefined) continue;
      isOurs = true;
      if (kind === 'created') owners.set(partition, String(data));
      else owners.delete(partition);
    }
    const owned = [...owners].sort().map(([partition, owner]) => partition + owner);
    if (isOurs) steps.push(owned.join(' '));
  }
  t.same(steps.filter((step, i) => step !== steps[i - 1]).slice(0, 2), ['0a 1a 2a 3a', '0a 1a 2b 3b']);
  t.ok(steps.includes('0a 1a 2a 3a') && steps.at(-1) === '', 'the events show the crash and the end');
});

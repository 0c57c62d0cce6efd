import t from 'tap';
import {
  committed,
  credit,
  held,
  joined,
  numbers,
  releases,
  settled,
  startSocketGroups,
  typesOf,
  values,
} from '../helpers/group-sockets.ts';
import { consume, count, createTopic, history, ownershipProblems, produce } from '../helpers/groups.ts';
import { startLossyRedis } from '../helpers/lossy-redis.ts';
import { eventually, startTestServer, type TestServer } from '../helpers/server.ts';
import { openSocket } from '../helpers/socket.ts';

const { one, two, newGroup, member, describe } = await startSocketGroups(t);

t.test(
  'a socket that is lost and reconnects in time reads from the committed offsets; no other member is affected',
  async (t) => {
    const group = await newGroup(2);
    const b = await member(t, group, '&memberId=b');
    await joined(b);
    releases(b);
    const a = await member(t, group, '&memberId=a');
    await eventually(() => held(a) === 1 && held(b) === 1, 'they share');
    const [partition] = (await a.frame({ type: 'assigned' })).partitions[0].partitions;
    await produce(one.url, group, partition, numbers(0, 10));
    credit(a, 6);
    await eventually(() => values(a).length === 6, 'six records');
    await committed(a, 'c', [{ topic: group, partition, offset: 4, metadata: 'four' }]);
    const { groupEpoch } = await describe(group);
    a.ws.terminate();
    const again = await member(t, group, '&memberId=a', two);
    t.same((await joined(again)).assignment, [{ topic: group, partitions: [partition] }]);
    credit(again, 100);
    await eventually(() => values(again).length === 6, 'from the committed offsets');
    t.same(values(again), numbers(4, 10));
    t.equal((await describe(group)).groupEpoch, groupEpoch);
    t.equal(typesOf(b).filter((type) => type === 'revoking').length, 1, 'the other member had to release nothing more');
  },
);

t.test('the partitions of a lost socket that does not reconnect go to another member', async (t) => {
  const group = await newGroup(2);
  const a = await member(t, group, '&memberId=a&sessionTimeout=1s');
  await joined(a);
  releases(a);
  const b = await member(t, group, '&memberId=b', two);
  await eventually(() => held(b) === 1, 'they share');
  a.ws.terminate();
  await eventually(() => held(b) === 2, 'the other one has it all');
  t.match((await describe(group)).members, [{ memberId: 'b' }]);
  t.same(ownershipProblems(await history(one.broker.store), group), []);
});

t.test(
  'a member that sends no pong is removed after its session timeout, and gets an error when it resumes',
  async (t) => {
    const group = await newGroup(1);
    const a = await member(t, group, '&memberId=a&sessionTimeout=1s');
    await joined(a);
    // The connection stays open, but the peer neither reads nor sends.
    a.ws.pause();
    const b = await member(t, group, '&memberId=b&sessionTimeout=1s');
    await eventually(() => held(b) === 1, 'the other member has the partition');
    a.ws.resume();
    t.match(await a.frame({ type: 'error' }), { code: 'UNKNOWN_MEMBER', memberId: 'a' });
    t.equal(await a.closed, 4404);
    await settled(b);
    t.equal(b.ws.readyState, b.ws.OPEN, 'a member that sends pongs stays, however short its session timeout is');
  },
);

t.test(
  'a leave and a close with 1000 give the partitions to the others at once, a close with 1001 does not',
  async (t) => {
    const group = await newGroup(3);
    const stays = await member(t, group, '&memberId=stays');
    await joined(stays);
    releases(stays);
    const left = await member(t, group, '&memberId=left');
    await eventually(() => held(left) === 1, 'a share');
    left.send({ type: 'leave' });
    t.equal(await left.closed, 1000);
    await eventually(() => held(stays) === 3, 'all');
    t.notOk(typesOf(left).includes('error'));
    for (const code of [1000, undefined]) {
      const closed = await member(t, group, '&memberId=closed');
      await eventually(() => held(closed) === 1, 'a share');
      closed.ws.close(code);
      await eventually(() => held(stays) === 3, `all, after a close with ${code}`);
    }
    const ids = async () => (await describe(group)).members.map(({ memberId }: any) => memberId);
    const reloads = await member(t, group, '&memberId=reloads');
    await eventually(() => held(reloads) === 1, 'a share');
    reloads.ws.close(1001);
    await reloads.closed;
    const fixed = await member(t, group, '&memberId=fixed&instanceId=i');
    await eventually(() => held(fixed) === 1, 'a share');
    fixed.ws.close(1000);
    await fixed.closed;
    await settled(stays);
    t.same(await ids(), ['fixed', 'reloads', 'stays'], 'a page that reloads and a static member stay in the group');
  },
);

t.test('a newer connection of a member ends the older one, through the same broker and another', async (t) => {
  const group = await newGroup(1);
  const first = await member(t, group, '&memberId=a&sessionTimeout=1s');
  await joined(first);
  const second = await member(t, group, '&memberId=a&sessionTimeout=1s');
  t.match(await first.frame({ type: 'error' }), { code: 'MEMBER_SUPERSEDED', memberId: 'a' });
  t.equal(await first.closed, 4409);
  t.equal((await joined(second)).assignment.length, 1);
  const third = await member(t, group, '&memberId=a&sessionTimeout=1s', two);
  await joined(third);
  const late = await committed(second, 'late', [{ topic: group, partition: 0, offset: 0 }]);
  t.equal(late.code, 'MEMBER_SUPERSEDED', 'the older connection cannot commit any more');
  t.equal(await second.closed, 4409);
  t.equal((await consume(one.url, group, 'a')).status, 200, 'a consume call also counts as a newer connection');
  t.equal(await third.closed, 4409);
  t.match((await describe(group)).members, [{ memberId: 'a' }]);
});

t.test('a member that does not release within its rebalance timeout is fenced', async (t) => {
  const group = await newGroup(2);
  const a = await member(t, group, '&memberId=a&sessionTimeout=1s&rebalanceTimeout=200ms');
  await joined(a);
  const b = await member(t, group, '&memberId=b', two);
  t.match(await a.frame({ type: 'revoking' }), { withinMs: 200 });
  t.match(await a.frame({ type: 'error' }), { code: 'FENCED_MEMBER_EPOCH', detail: /did not release/ });
  t.equal(await a.closed, 4409);
  await eventually(() => held(b) === 2, 'the other one has it all');
  t.same(ownershipProblems(await history(one.broker.store), group), []);
});

t.test('a member that gives no credit and sends no frame while there are records is removed', async (t) => {
  const group = await newGroup(1);
  await produce(one.url, group, 0, numbers(0, 10));
  const stuck = await member(t, group, '&memberId=stuck&sessionTimeout=1s&rebalanceTimeout=700ms');
  credit(stuck, 2);
  t.match(await stuck.frame({ type: 'error' }), { code: 'FENCED_MEMBER_EPOCH', detail: /gave no credit/ });
  t.equal(await stuck.closed, 4409);
  const idle = await member(t, group, '&memberId=idle&sessionTimeout=1s&rebalanceTimeout=700ms');
  credit(idle, 1000);
  await eventually(() => values(idle).length === 10, 'all');
  const pings = setInterval(() => idle.send({ type: 'ping' }), 100);
  t.teardown(() => clearInterval(pings));
  const pongs = () => typesOf(idle).filter((type) => type === 'pong').length;
  await eventually(() => pongs() > 10, 'it is idle for longer than the timeout, except for pongs');
  t.equal(idle.ws.readyState, idle.ws.OPEN);
});

t.test(
  'sockets close with 1001 when the server stops; the member continues through another broker, and no other is affected',
  async (t) => {
    const group = await newGroup(2);
    await produce(one.url, group, 0, numbers(0, 5));
    const third = await startTestServer(t, { brokerId: 1003 }, one.target);
    const a = await member(t, group, '&memberId=a', third);
    await joined(a);
    credit(a, 2);
    await eventually(() => values(a).length === 2, 'two');
    await committed(a, 'c', [{ topic: group, partition: 0, offset: 2 }]);
    const { groupEpoch } = await describe(group);
    await third.close();
    t.equal(await a.closed, 1001);
    const again = await member(t, group, '&memberId=a');
    t.equal(count((await joined(again)).assignment), 2);
    credit(again, 100);
    await eventually(() => values(again).length === 3, 'the rest');
    t.equal((await describe(group)).groupEpoch, groupEpoch);
  },
);

t.test('while the store is unavailable a member waits, and then continues', async (t) => {
  const redis = await startLossyRedis(t);
  const server: TestServer = await startTestServer(t, {}, redis);
  await createTopic(server.url, 'away', 1);
  const socket = await openSocket(
    t,
    `${server.url}/v1/groups/away/stream?topics=away&reset=earliest&sessionTimeout=2s`,
  );
  await joined(socket);
  credit(socket, 100);
  await produce(server.url, 'away', 0, ['before']);
  await eventually(() => values(socket).length === 1, 'the first');
  await redis.killAndRestart();
  await eventually(
    () =>
      produce(server.url, 'away', 0, ['after']).then(
        () => true,
        () => false,
      ),
    'the store is available again',
  );
  await eventually(() => values(socket).includes('after'), 'the member continues');
  t.equal(socket.ws.readyState, socket.ws.OPEN);
  t.equal((await committed(socket, 'c', [{ topic: 'away', partition: 0, offset: 1 }])).type, 'committed');
});

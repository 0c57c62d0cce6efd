import t from 'tap';
import { groupClientFrame, groupServerFrame } from '../../schemas/group-stream.ts';
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
import { beat, count, createTopic, history, join, ownershipProblems, produce } from '../helpers/groups.ts';
import { eventually, http } from '../helpers/server.ts';
import { openSocket, type TestSocket } from '../helpers/socket.ts';

const { one, two, newGroup, member, describe } = await startSocketGroups(t);

t.test('a socket joins, gets all partitions, and receives as many records as it gave credit for', async (t) => {
  const group = await newGroup(2);
  await produce(one.url, group, 0, numbers(0, 10));
  const socket = await member(t, group, '&memberId=a&clientId=me');
  t.match(await joined(socket), {
    memberId: 'a',
    memberEpoch: 1,
    assignment: [{ topic: group, partitions: [0, 1] }],
    sessionTimeoutMs: 45_000,
  });
  t.match((await describe(group)).members, [{ memberId: 'a', clientId: 'me', address: '127.0.0.1', joinedAt: Number }]);
  await settled(socket);
  t.same(values(socket), [], 'no record arrives without credit');
  credit(socket, 3);
  await eventually(() => values(socket).length === 3, 'three come');
  await settled(socket);
  t.same(values(socket), [0, 1, 2]);
  t.match(socket.frames.at(-2), { type: 'records', topic: group, partition: 0, nextOffset: 3 });
  credit(socket, 100);
  await eventually(() => values(socket).length === 10, 'the rest');
  await produce(two.url, group, 1, ['x']);
  await eventually(() => values(socket).length === 11, 'records produced later arrive');
  for (const frame of socket.frames) t.ok(groupServerFrame.safeParse(frame).success, JSON.stringify(frame));
  const { body } = await http(`${one.url}/metrics`);
  t.match(body, /weir_sockets_open{kind="group"} 1\n/);
  t.match(body, /weir_group_records_total{via="socket"} 11\n/);
});

t.test('two members share: the first releases partitions before the second gets them', async (t) => {
  const group = await newGroup(2);
  const a = await member(t, group, '&memberId=a');
  await joined(a);
  credit(a, 1000);
  const b = await member(t, group, '&memberId=b', two);
  t.same((await joined(b)).assignment, []);
  credit(b, 1000);
  const { partitions, withinMs } = await a.frame({ type: 'revoking' });
  t.equal(withinMs, 300_000);
  t.equal(count(partitions), 1);
  const { partitions: moving } = partitions[0];
  await produce(one.url, group, moving[0], ['after revoking']);
  await produce(one.url, group, 1 - moving[0], ['kept']);
  await eventually(() => values(a).length === 1, 'records of the remaining partition arrive');
  await settled(a);
  t.same(values(a), ['kept'], 'no records of partitions that are being revoked');
  t.equal((await committed(a, 'last', [{ topic: group, partition: moving[0], offset: 0 }])).type, 'committed');
  await settled(b);
  t.notOk(typesOf(b).includes('assigned'), 'the second member waits');
  a.send({ type: 'released', partitions });
  t.match(await a.frame({ type: 'revoked' }), { partitions });
  t.match(await b.frame({ type: 'assigned' }), { partitions });
  await eventually(() => values(b).length === 1, 'the second member continues');
  t.same(values(b), ['after revoking']);
  t.same(
    typesOf(a).filter((type) => type.startsWith('revok')),
    ['revoking', 'revoked'],
  );
  const late = await committed(a, 'late', [{ topic: group, partition: moving[0], offset: 1 }]);
  t.match(late, { type: 'error', code: 'STALE_MEMBER_EPOCH' });
  t.equal((await describe(group)).state, 'stable');
  t.same(ownershipProblems(await history(one.broker.store), group), []);
});

t.test('a late release or commit does not apply to partitions that the member got later', async (t) => {
  const group = await newGroup(1);
  const only = [{ topic: group, partitions: [0] }];
  // With the range assignor the first member by id gets the only partition.
  const m = await member(t, group, '&memberId=m&assignor=range');
  await joined(m);
  const revokings = () => m.frames.filter(({ type }) => type === 'revoking');
  const first = await member(t, group, '&memberId=a', two);
  await eventually(() => revokings().length === 1, 'm must release the partition');
  first.send({ type: 'leave' });
  await eventually(async () => (await describe(group)).members.length === 1, 'm is the only member');
  await http(`${one.url}/v1/topics/${group}`, 'DELETE');
  await createTopic(one.url, group, 1);
  const given = await m.frame({ type: 'assigned' });
  t.match(given, { partitions: only }, 'it is another topic, so m has another partition');
  const [{ memberEpoch: late }] = revokings() as [{ memberEpoch: number }];
  const commit = (id: string, memberEpoch: number, offset: number) =>
    m.send({ type: 'commit', id, memberEpoch, offsets: [{ topic: group, partition: 0, offset }] });
  // The frames arrive together, and each is checked with its own epoch.
  commit('late', late, 500);
  commit('first', given.memberEpoch, 1);
  commit('second', given.memberEpoch, 0);
  t.match(await m.frame({ id: 'late' }), { type: 'error', code: 'STALE_MEMBER_EPOCH' });
  for (const id of ['first', 'second']) t.match(await m.frame({ id }), { type: 'committed' });
  t.match((await describe(group)).partitions, [{ committed: 0 }]);
  await member(t, group, '&memberId=b', two);
  await eventually(() => revokings().length === 2, 'm must release the partition again');

  const { memberEpoch } = revokings()[1] as { memberEpoch: number };
  m.send({ type: 'released', memberEpoch: late });
  m.send({ type: 'released', memberEpoch: late, partitions: only });
  await settled(m);
  t.equal(typesOf(m).filter((type) => type === 'error').length, 1, 'the release causes no error');
  m.send({ type: 'released', id: 'unborn', memberEpoch: memberEpoch + 1000 });
  t.match(await m.frame({ type: 'error', id: 'unborn' }), { code: 'BAD_REQUEST', detail: /memberEpoch/ });
  await settled(m);
  t.match((await describe(group)).members, [{ memberId: 'b' }, { memberId: 'm', revoking: only }]);
  m.send({ type: 'released', memberEpoch });
  await eventually(async () => (await describe(group)).state === 'stable', 'the other member has the partition');
  t.same(ownershipProblems(await history(one.broker.store), group), []);
});

t.test('members on sockets and over HTTP share one group and get partitions from each other', async (t) => {
  const group = await newGroup(4);
  for (const partition of [0, 1, 2, 3]) await produce(one.url, group, partition, [`${partition}`]);
  const a = await member(t, group, '&memberId=a');
  await joined(a);
  releases(a);
  credit(a, 1000);
  const b = (await join(two.url, group, { topics: [group], memberId: 'b' })).body;
  await eventually(
    async () => (await beat(two.url, group, b)) && count(b.assignment) === 2,
    'the member over HTTP has two partitions',
  );
  t.equal(held(a), 2);
  const c = await member(t, group, '&memberId=c', two);
  await eventually(async () => {
    await beat(one.url, group, b);
    return held(c) === 1;
  }, 'the third member has one partition');
  await eventually(() => http(`${one.url}/v1/groups/${group}/members/b`, 'DELETE'), 'b leaves');
  await eventually(() => held(a) === 2 && held(c) === 2, 'two remain');
  t.same(ownershipProblems(await history(one.broker.store), group), []);
});

t.test('an invalid frame gets an error frame and changes nothing', async (t) => {
  const group = await newGroup(1);
  await produce(one.url, group, 0, ['x']);
  const socket = await member(t, group, '&memberId=a');
  await joined(socket);
  const commit = (fields: object) => ({
    type: 'commit',
    offsets: [{ topic: group, partition: 0, offset: 1, ...fields }],
  });
  const wrong: [unknown, string, RegExp][] = [
    ['{', 'BAD_REQUEST', /frame is not JSON: /],
    ['[]', 'BAD_REQUEST', /./],
    [{ type: 'credits' }, 'BAD_REQUEST', /type/],
    ...[undefined, 0, -1, 1.5, '1', 1e10].map((records): [unknown, string, RegExp] => [
      { type: 'credit', records },
      'BAD_REQUEST',
      /records/,
    ]),
    [{ type: 'commit' }, 'BAD_REQUEST', /offsets/],
    [{ type: 'commit', offsets: [] }, 'BAD_REQUEST', /offsets/],
    [commit({ offset: -1 }), 'BAD_REQUEST', /offset/],
    [commit({ metadata: 'x'.repeat(4097) }), 'BAD_REQUEST', /metadata/],
    [commit({ more: 1 }), 'BAD_REQUEST', /unknown field 'more'/],
    [commit({ topic: 'none' }), 'UNKNOWN_TOPIC', /none/],
    [commit({ partition: 7 }), 'UNKNOWN_PARTITION', /7/],
    [{ type: 'released', partitions: [{ topic: group, partitions: [0] }] }, 'BAD_REQUEST', /the member has it\./],
    [{ type: 'released', partitions: [{ topic: 'none', partitions: [0] }] }, 'BAD_REQUEST', /does not have it/],
    [{ type: 'released', partitions: 1 }, 'BAD_REQUEST', /partitions/],
    [{ type: 'leave', now: true }, 'BAD_REQUEST', /unknown field 'now'/],
  ];
  const errors = () => socket.frames.filter(({ type }) => type === 'error');
  for (const [index, [frame, code, detail]] of wrong.entries()) {
    socket.send(frame);
    await eventually(() => errors().length === index + 1, `an error for ${JSON.stringify(frame)}`);
    t.match(errors()[index], { code, detail }, JSON.stringify(frame));
    t.ok(groupServerFrame.safeParse(errors()[index]).success);
  }
  socket.ws.send(Buffer.from('{"type":"leave"}'), { binary: true });
  await eventually(() => errors().length === wrong.length + 1, 'a binary frame is invalid');
  const { members, partitions } = await describe(group);
  t.match(members, [{ memberId: 'a' }]);
  t.equal(partitions[0].committed, null);
  t.same(values(socket), []);
  credit(socket, 1);
  await eventually(() => values(socket).length === 1, 'the member continues');
  t.equal((await committed(socket, 'ok', [{ topic: group, partition: 0, offset: 1 }])).type, 'committed');
  t.equal((await describe(group)).partitions[0].committed, 1);
});

t.test('commits that arrive at once get responses in order, each with its own result', async (t) => {
  const group = await newGroup(2);
  const socket = await member(t, group, '&memberId=a');
  await joined(socket);
  const commit = (id: string, partition: number, offset: number) =>
    socket.send({ type: 'commit', id, offsets: [{ topic: group, partition, offset }] });
  for (const i of numbers(0, 50)) commit(`c${i}`, i % 2, i);
  commit('wrong', 7, 1);
  for (const i of numbers(50, 60)) commit(`c${i}`, i % 2, i);
  await eventually(() => socket.frames.some(({ id }) => id === 'c59'), 'the response to the last commit');
  const responses = socket.frames.filter(({ id }) => id !== undefined);
  t.same(
    responses.map(({ id }) => id),
    [...numbers(0, 50).map((i) => `c${i}`), 'wrong', ...numbers(50, 60).map((i) => `c${i}`)],
  );
  for (const { id, type, code } of responses) {
    t.equal(type, id === 'wrong' ? 'error' : 'committed', id);
    if (id === 'wrong') t.equal(code, 'UNKNOWN_PARTITION');
  }
  const { partitions } = await describe(group);
  t.same(
    partitions.map(({ committed: offset }: any) => offset),
    [58, 59],
  );
});

t.test('frames that arrive before the member has joined are handled after the join', async (t) => {
  const group = await newGroup(1);
  await produce(one.url, group, 0, ['x']);
  const { ws, frames, ...rest } = await member(t, group, '&memberId=a');
  const socket = { ws, frames, ...rest };
  credit(socket, 5);
  t.equal((await committed(socket, 'early', [{ topic: group, partition: 0, offset: 1 }])).type, 'committed');
  t.equal(typesOf(socket)[0], 'joined');
  await eventually(() => values(socket).length === 1, 'and it receives records');
});

t.test('the joined frame and a warning name the topics that do not exist', async (t) => {
  const group = await newGroup(1);
  const socket = await openSocket(t, `${one.url}/v1/groups/${group}/stream?topics=${group},${group}-none`);
  t.same((await socket.frame({ type: 'joined' })).unknownTopics, [`${group}-none`]);
  t.match(await socket.frame({ type: 'warning' }), {
    code: 'UNKNOWN_TOPIC',
    unknownTopics: [`${group}-none`],
    detail: `Topic ${group}-none does not exist`,
  });
  const other = await member(t, group);
  t.equal((await other.frame({ type: 'joined' })).unknownTopics, undefined);
  other.send({ type: 'ping' });
  await other.frame({ type: 'pong' });
  t.notOk(typesOf(other).includes('warning'), 'without an unknown topic there is no warning');
});

t.test('an error that ends a member is sent as an error frame and a close code with its status', async (t) => {
  const group = await newGroup(1);
  const open = (query: string) => openSocket(t, `${one.url}/v1/groups/${group}/stream${query}`);
  const ends = async (socket: TestSocket, status: number, code: string) => {
    t.match(await socket.frame({ type: 'error' }), { status, code });
    t.equal(await socket.closed, 4000 + status);
  };
  await ends(await open(''), 400, 'BAD_REQUEST');
  await ends(await open('?topics=a&pattern=b'), 400, 'BAD_REQUEST');
  await ends(await open('?topics=a/b'), 400, 'BAD_REQUEST');
  await ends(await open('?topics=a&memberId=x/y'), 400, 'BAD_REQUEST');
  await ends(await open('?topics=a&assignor=best'), 422, 'UNSUPPORTED_ASSIGNOR');
  t.equal((await http(`${one.url}/v1/groups/${group}`)).status, 404, 'no group was created');
  await ends(await open(`?topics=${group}&reset=none`), 404, 'NO_COMMITTED_OFFSET');
  const a = await open(`?topics=${group}&memberId=a`);
  await joined(a);
  await http(`${one.url}/v1/groups/${group}/members/a`, 'DELETE');
  await ends(a, 404, 'UNKNOWN_MEMBER');
  await ends(await open('?topic=a'), 400, 'BAD_REQUEST');
  await ends(await open('?topics=a&sessionTimeout=soon'), 400, 'BAD_REQUEST');
  t.match((await http(`${one.url}/v1/groups/${group}/stream?topics=a`)).body, {
    code: 'BAD_REQUEST',
    detail: /WebSocket/,
  });
});

t.test('a browser needs no headers; a page of a foreign origin is refused', async (t) => {
  const group = await newGroup(1);
  const url = `${one.url.replace('http', 'ws')}/v1/groups/${group}/stream?topics=${group}&reset=earliest`;
  const foreign = await openSocket(t, url, { origin: 'https://evil.example' });
  t.match(await foreign.frame({ type: 'error' }), { code: 'FORBIDDEN' });
  t.equal(await foreign.closed, 4403);
  const own = await openSocket(t, url, { origin: one.url });
  t.match(await joined(own), { assignment: [{ partitions: [0] }] });
  for (const type of ['credit', 'commit', 'released', 'leave', 'ping']) {
    const fields = { credit: { records: 1 }, commit: { offsets: [{ topic: group, partition: 0, offset: 0 }] } };
    t.ok(groupClientFrame.safeParse({ type, ...fields[type as keyof typeof fields] }).success, type);
  }
});

t.test('new partitions and topics are assigned to a member, and deleted ones are revoked', async (t) => {
  const group = await newGroup(1);
  const socket = await openSocket(t, `${one.url}/v1/groups/${group}/stream?pattern=${group}.*&memberId=a`);
  await joined(socket);
  credit(socket, 100);
  await http(`${two.url}/v1/topics/${group}`, 'PATCH', { partitions: 2 });
  await eventually(() => held(socket) === 2, 'the new partition is assigned');
  await createTopic(two.url, `${group}-more`, 1);
  await eventually(() => held(socket) === 3, 'the new topic is assigned');
  await eventually(async () => {
    const { partitions } = await describe(group);
    return partitions.every(({ committed }: any) => committed === 0);
  }, 'the start offset is committed, as it is the end of the log');
  await produce(two.url, `${group}-more`, 0, ['x']);
  await eventually(() => values(socket).length === 1, 'is read');
  await http(`${one.url}/v1/topics/${group}-more`, 'DELETE');
  t.match(await socket.frame({ type: 'revoked' }), { partitions: [{ topic: `${group}-more`, partitions: [0] }] });
  t.notOk(typesOf(socket).includes('revoking'), 'no release is requested');
});

t.test('a busy partition does not delay the others', async (t) => {
  const group = await newGroup(2);
  for (let i = 0; i < 5; i += 1) await produce(one.url, group, 0, numbers(0, 1000));
  await produce(one.url, group, 1, ['quiet']);
  const socket = await member(t, group);
  credit(socket, 1000);
  await eventually(() => values(socket).length === 1000, 'the credit is used up');
  t.ok(values(socket).includes('quiet'));
});

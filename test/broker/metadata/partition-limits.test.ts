// The number of partitions is limited: in the cluster when topics are created, also at the same time, and in a group before
// its script is called, so that the script never blocks Redis for long.
import t from 'tap';
import { redisCommand } from '../../../src/embedded-redis/redis-command.ts';
import { consume, count, createTopic, join, produce } from '../../helpers/groups.ts';
import { startTestRedis } from '../../helpers/redis.ts';
import { eventually, http, startTestServer } from '../../helpers/server.ts';
import { openSocket } from '../../helpers/socket.ts';

t.test('the cluster limit holds when topics are created, enlarged and auto-created at the same time', async (t) => {
  const { socketPath } = await startTestRedis(t);
  const config = { maxPartitions: 10, autoCreateTopics: true };
  const one = await startTestServer(t, { ...config, brokerId: 1001 }, { socketPath });
  const two = await startTestServer(t, { ...config, brokerId: 1002 }, { socketPath });
  const make = (url: string, name: string, partitions: number) =>
    http(`${url}/v1/topics`, 'POST', { name, partitions });
  const partitions = async () => {
    const { topics } = (await http(`${one.url}/v1/topics`)).body;
    return topics.reduce((sum: number, topic: any) => sum + topic.partitions, 0);
  };
  const refused = { status: 422, body: { code: 'INVALID_PARTITIONS', maxPartitions: 10 } };

  const eleven = await make(one.url, 'eleven', 11);
  t.match(eleven, {
    ...refused,
    body: { partitions: 0, detail: /would add 11.*limit is 10 \(WEIR_MAX_PARTITIONS\)/ },
  });
  t.equal(eleven.body.failed, undefined);
  t.equal((await make(one.url, 'grows', 1)).status, 201);
  const responses = await Promise.all([
    ...Array.from({ length: 6 }, (_, i) => make([one, two][i % 2]!.url, `made${i}`, 2)),
    ...[one, two].map(({ url }) => http(`${url}/v1/topics/grows`, 'PATCH', { partitions: 3 })),
    ...[one, two].map(({ url }, i) =>
      http(`${url}/v1/topics/produced${i}/records`, 'POST', { records: [{ value: 1 }] }),
    ),
  ]);
  for (const response of responses) if (response.status >= 300) t.match(response, refused);
  const made = await partitions();
  t.ok(made >= 9 && made <= 10, `${made} topics were created`);
  const rest = await Promise.all(['a', 'b', 'c'].map((name) => make(two.url, name, 1)));
  t.equal(await partitions(), 10, 'partitions are created up to the limit');
  t.equal(rest.filter(({ status }) => status === 201).length, 10 - made);
  t.match(await make(one.url, 'more', 1), refused);
  t.equal(
    (await make(one.url, 'grows', 1)).body.code,
    'TOPIC_EXISTS',
    'an existing topic is reported as existing, even at the limit',
  );

  const { topics } = (await http(`${one.url}/v1/topics`)).body;
  const gone = topics.find(({ name }: any) => name.startsWith('made'));
  await http(`${one.url}/v1/topics/${gone.name}`, 'DELETE');
  t.equal((await make(two.url, 'room', 2)).status, 201, 'a deleted topic frees its partitions');
  t.match(await make(two.url, 'more', 1), refused);
  // A store of an earlier version has no such counter.
  for (const key of (await redisCommand(socketPath, ['KEYS', '*root'])) as unknown as string[]) {
    await redisCommand(socketPath, ['HDEL', String(key), 'partitions']);
  }
  t.match(await make(one.url, 'more', 1), { ...refused, body: { partitions: 10 } });
});

t.test('a refused request does not undo what another request of the same call has counted', async (t) => {
  const { broker } = await startTestServer(t, { maxPartitions: 10 });
  const { namespace } = broker.store;
  const counted = (add: number) => ({ op: 'partitions', path: '/brokers/topics', add, most: 10 }) as const;
  const made = namespace.write([{ op: 'put', path: '/made', data: '' }, counted(8)], { privileged: true });
  const refused = namespace.write([{ ...counted(8), isTrial: true }], { privileged: true });
  await t.rejects(refused, { code: 'INVALID_PARTITIONS', fields: { partitions: 8 } });
  await made;
  const more = namespace.write([{ op: 'put', path: '/more', data: '' }, counted(3)], { privileged: true });
  await t.rejects(more, { code: 'INVALID_PARTITIONS', fields: { partitions: 8 } });
});

t.test('a group over the partition limit is refused with both numbers, and a smaller one works', async (t) => {
  const { socketPath } = await startTestRedis(t);
  const { url } = await startTestServer(t, {}, { socketPath });
  const names = ['large.a', 'large.b', 'large.c'];
  for (const name of names) await createTopic(url, name, 1200);
  const members = `${url}/v1/groups/all/members`;
  const joins = await Promise.all(
    Array.from({ length: 32 }, (_, i) => http(members, 'POST', { pattern: '.*', memberId: `m${i}` })),
  );
  for (const response of joins) {
    t.match(response, { status: 413, body: { code: 'TOO_LARGE', partitions: 3600, partitionsMax: 2500 } });
    t.match(response.body.detail, /'all' would have 3600 partitions, in 3 topics; the most is 2500/);
  }
  t.equal((await http(members, 'POST', { topics: names, memberId: 'm' })).status, 413);
  t.equal((await http(`${url}/v1/groups/all`)).status, 404, 'the group was not created');
  const socket = await openSocket(t, `${url}/v1/groups/all/stream?pattern=.*`);
  t.match(await socket.frame({ type: 'error' }), { code: 'TOO_LARGE' });

  const two = { topics: names.slice(0, 2) };
  const some = await Promise.all(
    Array.from({ length: 32 }, (_, i) => join(url, 'some', { ...two, memberId: `m${i}` })),
  );
  t.same(new Set(some.map(({ status }) => status)), new Set([201]));
  t.equal(some.reduce((sum, { body }) => sum + count(body.assignment), 0) <= 2400, true);
  const added = await join(url, 'some', { topics: names, memberId: 'more' });
  t.match(added, { status: 413, body: { partitions: 3600 } });
  t.equal((await join(url, 'some', { ...two, memberId: 'more' })).status, 201, 'and the group still accepts members');
});

t.test('a group whose pattern matches too many partitions keeps its own and reports the problem', async (t) => {
  const { url } = await startTestServer(t);
  await createTopic(url, 'live.a', 1200);
  await createTopic(url, 'live.b', 1000);
  await join(url, 'live', { pattern: 'live.*', memberId: 'm', reset: 'latest' });
  t.equal((await consume(url, 'live', 'm')).body.partitions.length, 2200, 'all partitions are read in one call');
  const committed = (await http(`${url}/v1/groups/live/offsets`)).body.offsets;
  t.equal(committed.length, 2200, 'and all of them are committed');
  await createTopic(url, 'live.c', 400);
  await createTopic(url, 'live.d', 200);
  const described = async () => (await http(`${url}/v1/groups/live`)).body;
  await eventually(async () => (await described()).partitionsLeftOut === 400, 'the topic that has no room is left out');
  await produce(url, 'live.d', 0, ['d']);
  await produce(url, 'live.c', 0, ['c']);
  const { body } = await consume(url, 'live', 'm', '?wait=10s');
  t.match(body.records, [{ topic: 'live.d', value: 'd' }]);
  await http(`${url}/v1/groups/live/members/m`, 'DELETE');
  const again = await join(url, 'live', { pattern: 'live.*', memberId: 'n', reset: 'latest' });
  t.equal(again.status, 201, 'the member can join again');
  t.equal(count(again.body.assignment), 2400);
  await http(`${url}/v1/topics/live.b`, 'DELETE');
  const read: unknown[] = [];
  await eventually(async () => {
    const { records } = (await consume(url, 'live', 'n', '?wait=200ms')).body;
    read.push(...records.map(({ value }: any) => value));
    return read.includes('c');
  }, 'the omitted topic is read from its beginning when the limit allows it');
  t.equal((await described()).partitionsLeftOut, undefined);
});

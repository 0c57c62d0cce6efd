// A group with the reset policy `latest` skips no records after its first read (guarantee R6). Partitions and topics that are added
// while it subscribes are read from their beginning, and an offset that `latest` chooses is committed at once.
import t, { type Test } from 'tap';
import { consume, createTopic, join, produce } from '../../helpers/groups.ts';
import { chooseSeed, type Random, randomOf } from '../../helpers/random.ts';
import { eventually, http, startTestServer } from '../../helpers/server.ts';
import { openSocket, type TestSocket } from '../../helpers/socket.ts';

const one = await startTestServer(t, { brokerId: 1001 });
const two = await startTestServer(t, { brokerId: 1002 }, one.target);

const valuesOf = ({ records }: { records: { value: unknown }[] }) => records.map(({ value }) => value);
const grow = (topic: string, partitions: number) => http(`${one.url}/v1/topics/${topic}`, 'PATCH', { partitions });
const leave = (group: string, member: string) => http(`${one.url}/v1/groups/${group}/members/${member}`, 'DELETE');
const joinLatest = (group: string, body: Record<string, unknown>) => join(one.url, group, { reset: 'latest', ...body });
const committedOf = async (group: string) =>
  (await http(`${one.url}/v1/groups/${group}/offsets`)).body.offsets.map(({ topic, partition, offset }: any) =>
    [topic, partition, offset].join(' '),
  );
const deleteBefore = (topic: string, offset: number | 'latest') =>
  http(`${one.url}/v1/topics/${topic}/partitions/0/records?before=${offset}`, 'DELETE');

/** Reads as a member until it has this many records. */
async function readAll(group: string, member: string, many: number): Promise<unknown[]> {
  const read: unknown[] = [];
  await eventually(async () => {
    const { status, body } = await consume(two.url, group, member, '?commit=previous&wait=200ms');
    if (status !== 200) throw new Error(JSON.stringify(body));
    read.push(...valuesOf(body));
    return read.length >= many;
  }, `${many} records`);
  return read.sort();
}

/** Reads from a socket until it has received this many records. */
async function streamed(socket: TestSocket, many: number): Promise<unknown[]> {
  const read = () => socket.frames.filter(({ type }) => type === 'records').flatMap(valuesOf);
  await eventually(() => read().length >= many, `${many} records`);
  return read().sort();
}

const openLatest = async (t: Test, group: string, query: string) => {
  const socket = await openSocket(t, `${two.url}/v1/groups/${group}/stream?${query}`);
  await socket.frame({ type: 'joined' });
  return socket;
};

t.test('new partitions of a topic that a latest group reads are read from their beginning', async (t) => {
  for (const [name, isIdle] of [
    ['grows-idle', true],
    ['grows-polled', false],
  ] as const) {
    await createTopic(one.url, name, 1);
    await produce(one.url, name, 0, ['before']);
    await joinLatest(name, { topics: [name], memberId: 'm' });
    t.same(valuesOf((await consume(one.url, name, 'm')).body), []);
    const polling = isIdle ? undefined : consume(two.url, name, 'm', '?wait=10s');
    await grow(name, 3);
    await Promise.all([0, 1, 2].map((partition) => produce(one.url, name, partition, [`a${partition}`])));
    const polled = polling ? valuesOf((await polling).body) : [];
    t.same([...polled, ...(await readAll(name, 'm', 3 - polled.length))].sort(), ['a0', 'a1', 'a2']);
  }
});

t.test('topics that are created after the join, by name or pattern, are read from their beginning', async (t) => {
  await createTopic(one.url, 'pattern.old', 1);
  await produce(one.url, 'pattern.old', 0, ['before']);
  await joinLatest('pattern', { pattern: 'pattern\\..*', memberId: 'm' });
  await joinLatest('named', { topics: ['pattern.old', 'pattern.new'], memberId: 'm' });
  for (const group of ['pattern', 'named']) t.same(valuesOf((await consume(one.url, group, 'm')).body), []);
  await createTopic(one.url, 'pattern.new', 2);
  await produce(one.url, 'pattern.new', 1, ['first']);
  await produce(one.url, 'pattern.old', 0, ['second']);
  for (const group of ['pattern', 'named']) t.same(await readAll(group, 'm', 2), ['first', 'second']);
});

t.test('a topic that is created again under its name is read from its beginning', async (t) => {
  await createTopic(one.url, 'anew', 1);
  await joinLatest('anew', { topics: ['anew'], memberId: 'm' });
  await consume(one.url, 'anew', 'm');
  await http(`${one.url}/v1/topics/anew`, 'DELETE');
  await createTopic(one.url, 'anew', 1);
  await produce(one.url, 'anew', 0, ['again']);
  t.same(await readAll('anew', 'm', 1), ['again']);
});

t.test('a member on a socket reads new partitions and topics from their beginning', async (t) => {
  await createTopic(one.url, 'socket.old', 1);
  await produce(one.url, 'socket.old', 0, ['before']);
  const socket = await openLatest(t, 'socket', 'pattern=socket\\..*');
  await eventually(
    async () => (await committedOf('socket')).length === 1,
    'the offset of the old partition is committed',
  );
  await grow('socket.old', 2);
  await createTopic(one.url, 'socket.new', 1);
  await Promise.all([
    produce(one.url, 'socket.old', 1, ['a']),
    produce(one.url, 'socket.new', 0, ['b']),
    produce(one.url, 'socket.old', 0, ['c']),
  ]);
  socket.send({ type: 'credit', records: 100 });
  t.same(await streamed(socket, 3), ['a', 'b', 'c']);
});

t.test(
  'new partitions are read from their beginning also if the first member leaves and its broker restarts',
  async (t) => {
    const three = await startTestServer(t, { brokerId: 1003 }, one.target);
    await createTopic(one.url, 'left.old', 1);
    await joinLatest('left', { pattern: 'left\\..*', memberId: 'm' });
    await consume(three.url, 'left', 'm');
    await grow('left.old', 2);
    await createTopic(one.url, 'left.new', 1);
    await produce(one.url, 'left.old', 1, ['a']);
    await produce(one.url, 'left.new', 0, ['b']);
    await leave('left', 'm');
    await three.close();
    await createTopic(one.url, 'left.newest', 1);
    await produce(one.url, 'left.newest', 0, ['c']);
    await joinLatest('left', { pattern: 'left\\..*', memberId: 'n' });
    t.same(await readAll('left', 'n', 3), ['a', 'b', 'c']);
  },
);

t.test('after its committed offsets are deleted, a latest group begins at the end', async (t) => {
  await createTopic(one.url, 'back', 1);
  await joinLatest('back', { topics: ['back'], memberId: 'm' });
  await grow('back', 2);
  await produce(one.url, 'back', 1, ['a']);
  t.same(await readAll('back', 'm', 1), ['a']);
  await leave('back', 'm');
  t.equal((await http(`${one.url}/v1/groups/back/offsets`, 'DELETE')).status, 204);
  await joinLatest('back', { topics: ['back'], memberId: 'm' });
  t.same(valuesOf((await consume(one.url, 'back', 'm')).body), []);
  t.same(await committedOf('back'), ['back 0 0', 'back 1 1']);
});

t.test('an offset that latest chooses for a position outside of the log is committed at once', async (t) => {
  /** A member whose position was lost reads nothing and leaves; the next member gets the records produced after that. */
  const check = async (
    name: string,
    goOver: (name: string) => Promise<void>,
    lose: (name: string) => Promise<unknown>,
  ) => {
    await createTopic(one.url, name, 1);
    await produce(one.url, name, 0, ['a', 'b', 'c']);
    await http(`${one.url}/v1/groups/${name}/offsets`, 'POST', { offsets: [{ topic: name, partition: 0, offset: 1 }] });
    await lose(name);
    await goOver(name);
    t.same(await committedOf(name), [`${name} 0 3`], name);
    await produce(one.url, name, 0, ['n1', 'n2']);
    await joinLatest(name, { topics: [name], memberId: 'next' });
    t.same(await readAll(name, 'next', 2), ['n1', 'n2'], name);
  };
  const overHttp = (query: string) => async (name: string) => {
    await joinLatest(name, { topics: [name], memberId: 'm' });
    t.same(valuesOf((await consume(one.url, name, 'm', query)).body), []);
    await leave(name, 'm');
  };
  const overSocket = async (name: string) => {
    const socket = await openLatest(t, name, `topics=${name}`);
    socket.send({ type: 'credit', records: 10 });
    await eventually(async () => !(await committedOf(name)).includes(`${name} 0 1`), 'a place');
    socket.send({ type: 'leave' });
    await socket.closed;
  };
  const deleted = (name: string) => deleteBefore(name, 3);
  const aged = async (name: string) => {
    await http(`${one.url}/v1/topics/${name}`, 'PATCH', { config: { 'retention.ms': 1 } });
    const start = async () => (await http(`${one.url}/v1/topics/${name}`)).body.partitions[0].logStartOffset;
    await eventually(async () => (await start()) === 3, 'retention');
    await http(`${one.url}/v1/topics/${name}`, 'PATCH', { config: { 'retention.ms': -1 } });
  };
  await check('out-http', overHttp(''), deleted);
  await check('out-committed', overHttp('?from=committed'), deleted);
  await check('out-previous', overHttp('?commit=previous'), deleted);
  await check('out-socket', overSocket, deleted);
  await check('aged-http', overHttp(''), aged);
  await check('aged-socket', overSocket, aged);
});

t.test(
  'the offset for a position that is lost between two calls is committed at once, while other partitions return records',
  async (t) => {
    await createTopic(one.url, 'between', 2);
    await joinLatest('between', { topics: ['between'], memberId: 'm' });
    await consume(one.url, 'between', 'm');
    await produce(one.url, 'between', 0, ['a', 'b']);
    // The call stores the position of the member, and the next one resumes there.
    t.same(valuesOf((await consume(one.url, 'between', 'm', '?maxRecords=1')).body), ['a']);
    await produce(one.url, 'between', 1, ['c', 'd']);
    await deleteBefore('between', 'latest');
    t.same(valuesOf((await consume(one.url, 'between', 'm')).body), ['c', 'd']);
    t.ok((await committedOf('between')).includes('between 0 2'));
  },
);

/** One group with random operations over two brokers: every record produced after its first read is read by a member in the end. */
async function runAtRandom(t: Test, group: string, random: Random): Promise<void> {
  const url = () => random.pick([one, two]).url;
  const partitions = new Map([[`${group}.0`, 1]]);
  const produced: string[] = [];
  const read = new Set<string>();
  const sockets: TestSocket[] = [];
  const members: string[] = [];
  const subscription = random.chance(0.5)
    ? { pattern: `${group}\\..*` }
    : { topics: [0, 1, 2, 3].map((number) => `${group}.${number}`) };
  const take = (list: { value: unknown }[]) => {
    for (const { value } of list) read.add(String(value));
  };
  const addMember = async () => {
    const memberId = `m${members.length}-${produced.length}-${random.below(1000)}`;
    await join(url(), group, { reset: 'latest', memberId, ...subscription });
    members.push(memberId);
  };
  const call = async (member: string, query: string) => {
    const { status, body } = await consume(url(), group, member, query);
    if (status === 200) take(body.records);
  };

  await createTopic(one.url, `${group}.0`, 1);
  await addMember();
  await call(members[0]!, '');
  const steps: (() => Promise<unknown>)[] = [
    async () => {
      const topic = random.pick([...partitions.keys()]);
      partitions.set(topic, partitions.get(topic)! + 1 + random.below(2));
      await http(`${url()}/v1/topics/${topic}`, 'PATCH', { partitions: partitions.get(topic) });
    },
    async () => {
      const topic = `${group}.${partitions.size}`;
      if (partitions.size === 4) return;
      await createTopic(url(), topic, 1 + random.below(2)).then(() => partitions.set(topic, 1));
    },
    ...Array.from({ length: 4 }, () => async () => {
      const [topic, count] = random.pick([...partitions]);
      const value = `${group}-${produced.length}`;
      await produce(url(), topic, random.below(count), [value]);
      produced.push(value);
    }),
    addMember,
    async () => {
      const member = members.splice(random.below(members.length), 1)[0];
      if (member) await http(`${url()}/v1/groups/${group}/members/${member}`, 'DELETE');
    },
    ...Array.from({ length: 2 }, () => async () => {
      if (members.length > 0)
        await call(random.pick(members), random.pick(['', '?commit=previous', '?from=committed']));
    }),
    async () => {
      const { pattern, topics } = { pattern: undefined, topics: undefined, ...subscription };
      const query = pattern ? `pattern=${encodeURIComponent(pattern)}` : `topics=${topics!.join()}`;
      const socket = await openSocket(t, `${url()}/v1/groups/${group}/stream?${query}`);
      socket.send({ type: 'credit', records: 1000 });
      sockets.push(socket);
    },
    async () => {
      const socket = sockets.splice(random.below(sockets.length), 1)[0];
      if (!socket) return;
      socket.send({ type: 'leave' });
      await socket.closed;
      for (const { type, records } of socket.frames) if (type === 'records') take(records);
    },
  ];
  for (let step = 0; step < 30; step += 1) await random.pick(steps)();

  for (const socket of sockets) {
    socket.send({ type: 'leave' });
    await socket.closed;
    for (const { type, records } of socket.frames) if (type === 'records') take(records);
  }
  for (const member of members) await leave(group, member);
  await join(one.url, group, { reset: 'latest', memberId: 'last', ...subscription });
  await eventually(
    async () => {
      await call('last', '?commit=previous&wait=100ms');
      return produced.every((value) => read.has(value));
    },
    `${group}: ${produced.filter((value) => !read.has(value)).join()} to be read`,
  );
}

t.test(
  'with random changes of topics and members, a latest group skips no record produced after its first read',
  async (t) => {
    const seed = chooseSeed();
    t.comment(`WEIR_TEST_SEED=${seed}`);
    for (let run = 0; run < 12; run += 1) await runAtRandom(t, `random${run}`, randomOf(seed + run));
  },
);

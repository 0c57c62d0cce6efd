import t from 'tap';
import { coordinationKeys } from '../../../src/store/keys.ts';
import {
  beat,
  consume,
  count,
  createTopic,
  history,
  join,
  ownershipProblems,
  produce,
  type TestMember,
} from '../../helpers/groups.ts';
import { randomOf } from '../../helpers/random.ts';
import { eventually, http, startTestServer, testConfig } from '../../helpers/server.ts';

t.test(
  'with many joins, leaves and deaths over two brokers, no partition has two owners and no record is lost',
  async (t) => {
    const one = await startTestServer(t);
    const two = await startTestServer(t, {}, one.target);
    const urls = [one.url, two.url];
    const { below, chance, pick } = randomOf(7);
    await createTopic(one.url, 'orders', 5);
    await createTopic(one.url, 'bills', 3);
    const sent = new Set<string>();
    const dealtWith = new Set<string>();
    let isOver = false;

    const producer = (async () => {
      for (let i = 0; i < 300; i += 1) {
        const [topic, partitions] = pick([
          ['orders', 5],
          ['bills', 3],
        ] as const);
        await produce(pick(urls), topic, below(partitions), [`r${i}`]);
        sent.add(`r${i}`);
      }
    })();

    /** Repeats this: joins, reads for some time, then leaves, or stops calling while it has unprocessed records. */
    async function member(name: string): Promise<void> {
      for (let life = 0; !isOver; life += 1) {
        const memberId = `${name}-${life}`;
        const topics = pick([['orders', 'bills'], ['orders'], ['bills']]);
        await join(pick(urls), 'storm', { topics, memberId, sessionTimeout: '500ms' });
        const calls = 2 + below(10);
        for (let i = 0; i < calls && !isOver; i += 1) {
          const query = `?commit=previous&wait=50ms&maxRecords=${1 + below(20)}`;
          const { status, body } = await consume(pick(urls), 'storm', memberId, query);
          // On a busy machine the session may expire; then the member is removed like any other.
          if (status !== 200) break;
          const dies = i === calls - 1 && chance(0.5);
          if (!dies) for (const { value } of body.records) dealtWith.add(value);
          if (dies) break;
          if (i === calls - 1) await http(`${pick(urls)}/v1/groups/storm/members/${memberId}`, 'DELETE');
        }
      }
    }

    const members = ['a', 'b', 'c', 'd'].map(member);
    await producer;
    // The stayer gets the partitions of the dead members.
    await join(one.url, 'storm', { topics: ['orders', 'bills'], memberId: 'stayer', sessionTimeout: '2s' });
    isOver = true;
    await Promise.all(members);
    await eventually(async () => {
      const { body } = await consume(pick(urls), 'storm', 'stayer', '?commit=previous&wait=100ms');
      for (const { value } of body.records) dealtWith.add(value);
      return dealtWith.size === sent.size && count(body.assignment) === 8;
    }, 'every record was processed, and one member has all partitions');
    t.equal(sent.size, 300);
    t.same(ownershipProblems(await history(one.broker.store), 'storm'), []);
    const { body } = await http(`${two.url}/v1/groups/storm`);
    t.match(body, { state: 'stable', members: [{ memberId: 'stayer' }] });
  },
);

t.test('many members join at once through two brokers and get equal assignments', async (t) => {
  const one = await startTestServer(t);
  const two = await startTestServer(t, {}, one.target);
  await createTopic(one.url, 'orders', 24);
  const urls = [one.url, two.url];
  const joins = Array.from({ length: 12 }, (_, i) =>
    join(urls[i % 2]!, 'g', { topics: ['orders'], memberId: `m${i}` }),
  );
  const members: TestMember[] = (await Promise.all(joins)).map(({ body }) => body);
  await eventually(async () => {
    await Promise.all(members.map((member, i) => beat(urls[(i + 1) % 2]!, 'g', member)));
    return members.every(({ assignment }) => count(assignment) === 2);
  }, 'each member has two partitions');
  t.equal((await http(`${one.url}/v1/groups/g`)).body.state, 'stable');
  t.same(ownershipProblems(await history(one.broker.store), 'g'), []);
});

t.test('joins with an Idempotency-Key are batched, and each key has one response', async (t) => {
  const one = await startTestServer(t);
  const two = await startTestServer(t, {}, one.target);
  await createTopic(one.url, 'orders', 60);
  const keyed = (url: string, key: string, clientId: string) =>
    http(`${url}/v1/groups/g/members`, 'POST', { topics: ['orders'], clientId }, { 'idempotency-key': key });
  const keys = Array.from({ length: 30 }, (_, i) => `a key of one join: ${i}`);
  // As if the first response was lost: each join is sent twice at the same time, and once more through another broker.
  const asked = await Promise.all(
    keys.map((key) => Promise.all([one.url, one.url, two.url].map((url) => keyed(url, key, key)))),
  );
  for (const responses of asked) {
    t.same(new Set(responses.map(({ status }) => status)), new Set([201]));
    t.equal(new Set(responses.map(({ body }) => body.memberId)).size, 1);
    const replays = responses.filter(({ headers }) => headers.get('idempotency-replayed') === 'true');
    t.equal(replays.length, 2);
  }
  const { body } = await http(`${one.url}/v1/groups/g`);
  t.equal(body.members.length, keys.length);
  t.ok(body.groupEpoch < keys.length, `they were ${body.groupEpoch} rebalances`);

  // Refused and replayed requests in a batch do not delay the others.
  const [reused, replayed, fresh] = await Promise.all([
    keyed(one.url, keys[0]!, 'another'),
    keyed(one.url, keys[1]!, keys[1]!),
    keyed(one.url, 'a fresh key of one join', 'fresh'),
  ]);
  t.match(reused.body, { code: 'IDEMPOTENCY_KEY_REUSED' });
  t.same(replayed.body, asked[1]![0]!.body);
  t.equal(fresh.status, 201);
  t.equal((await http(`${one.url}/v1/groups/g`)).body.members.length, keys.length + 1);
  t.same(ownershipProblems(await history(one.broker.store), 'g'), []);
});

t.test(
  'a waiting consume call returns at once when its member gets a partition, also through another broker',
  async (t) => {
    const one = await startTestServer(t);
    const two = await startTestServer(t, {}, one.target);
    await createTopic(one.url, 'orders', 2);
    await produce(one.url, 'orders', 0, ['x']);
    await produce(one.url, 'orders', 1, ['y']);
    await join(one.url, 'g', { topics: ['orders'], memberId: 'a' });
    t.equal((await consume(one.url, 'g', 'a', '?commit=previous')).body.records.length, 2);
    await join(two.url, 'g', { topics: ['orders'], memberId: 'b' });
    const waiting = consume(two.url, 'g', 'b', '?wait=20s');
    // If the partition was released earlier, the call would have it from the start and wait for records.
    const { positions } = coordinationKeys(testConfig.prefix);
    await eventually(
      () => one.broker.store.connection.command(false, (client) => client.hexists(positions('g'), '@b')),
      'the call has begun',
    );
    await consume(one.url, 'g', 'a', '?commit=previous');
    const { body } = await waiting;
    t.equal(count(body.assignment), 1, 'it has one partition, whose records were read before');
    t.same(body.records, []);
  },
);

t.test('a consume call that waits for long keeps the session of its member alive', async (t) => {
  const { url } = await startTestServer(t);
  await createTopic(url, 'orders', 1);
  await join(url, 'g', { topics: ['orders'], memberId: 'a', sessionTimeout: '1500ms' });
  const { status, body } = await consume(url, 'g', 'a', '?wait=4s');
  t.equal(status, 200);
  t.equal(count(body.assignment), 1);
});

t.test('a broker that stops ends the waits of its members, which continue through another broker', async (t) => {
  const one = await startTestServer(t);
  const two = await startTestServer(t, {}, one.target);
  await createTopic(one.url, 'orders', 1);
  await produce(one.url, 'orders', 0, [1, 2]);
  await join(two.url, 'g', { topics: ['orders'], memberId: 'a' });
  t.same((await consume(two.url, 'g', 'a', '?maxRecords=1')).body.records.length, 1);
  await consume(two.url, 'g', 'a', '?maxRecords=1');
  const waiting = consume(two.url, 'g', 'a', '?wait=60s');
  await eventually(async () => /weir_log_waits [1-9]/.test((await http(`${two.url}/metrics`)).body), 'the call waits');
  await two.close();
  t.same((await waiting).body.records, []);
  t.match((await consume(one.url, 'g', 'a', '?from=committed')).body.records, [{ offset: 0 }, { offset: 1 }]);
});

t.test('metrics show members, groups, rebalances and commits', async (t) => {
  const { url } = await startTestServer(t);
  await createTopic(url, 'orders', 1);
  await join(url, 'g', { topics: ['orders'], memberId: 'a' });
  await http(`${url}/v1/groups/g/offsets`, 'POST', {
    memberId: 'a',
    offsets: [{ topic: 'orders', partition: 0, offset: 0 }],
  });
  const metrics = async () => (await http(`${url}/metrics`)).body as string;
  // The groups are counted at intervals, and may have been counted before this one was there.
  await eventually(async () => (await metrics()).includes('\nweir_group_members 1\n'), 'the member is counted');
  const body = await metrics();
  for (const line of [
    'groups{state="stable"} 1',
    'groups{state="empty"} 0',
    'group_members 1',
    'group_rebalances_total 1',
    'group_rebalance_seconds_count 1',
    'group_offset_commits_total 1',
  ]) {
    t.ok(body.includes(`\nweir_${line}\n`), line);
  }
});

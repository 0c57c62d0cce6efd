import t, { type Test } from 'tap';
import { lagSeriesMax } from '../../../src/broker/groups/cluster-group-metrics.ts';
import { emptyGroup } from '../../../src/core/groups/group-document.ts';
import { beat, createTopic, join, produce } from '../../helpers/groups.ts';
import { eventually, http, startTestServer, type TestServer } from '../../helpers/server.ts';

/** The samples of a scrape whose names have this prefix, by name with labels. */
async function scrape({ url }: TestServer, prefix: string): Promise<Record<string, number>> {
  const { body } = await http(`${url}/metrics`);
  const lines = (body as string).split('\n').filter((line) => line.startsWith(prefix));
  return Object.fromEntries(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]),
  );
}

/** Waits until the samples with this prefix, of all brokers together, are exactly these. */
async function shown(t: Test, brokers: TestServer[], prefix: string, expected: Record<string, number>) {
  let last: unknown;
  const isShown = async () => {
    const all = await Promise.all(brokers.map((broker) => scrape(broker, prefix)));
    const samples = all.flatMap((each) => Object.entries(each)).sort(([a], [b]) => (a < b ? -1 : 1));
    last = samples;
    return JSON.stringify(samples) === JSON.stringify(Object.entries(expected).sort(([a], [b]) => (a < b ? -1 : 1)));
  };
  await eventually(isShown, `${JSON.stringify(expected)} is shown`).catch((error) => {
    t.comment(JSON.stringify(last));
    throw error;
  });
}

const commit = ({ url }: TestServer, group: string, topic: string, partition: number, offset: number) =>
  http(`${url}/v1/groups/${group}/offsets`, 'POST', { offsets: [{ topic, partition, offset }] });

t.test(
  'lag rises with records, falls with commits, and ends with the group; one broker of two reports it',
  async (t) => {
    const one = await startTestServer(t, { brokerId: 1001 });
    const two = await startTestServer(t, { brokerId: 1002 }, one.target);
    const both = [one, two];
    await createTopic(one.url, 'orders', 2);
    await createTopic(one.url, 'bills', 1);
    await produce(one.url, 'orders', 0, [1, 2, 3]);
    await produce(two.url, 'orders', 1, [1, 2, 3, 4, 5]);
    const lag = (more: Record<string, number>) => shown(t, both, 'weir_group_lag_records', more);
    await lag({});
    await commit(two, 'g', 'orders', 0, 1);
    await lag({ 'weir_group_lag_records{group="g",topic="orders"}': 2 });
    await commit(one, 'g', 'orders', 1, 0);
    await commit(one, 'g', 'bills', 0, 0);
    await commit(one, 'say "h"', 'orders', 1, 4);
    const others = {
      'weir_group_lag_records{group="g",topic="bills"}': 0,
      'weir_group_lag_records{group="say \\"h\\"",topic="orders"}': 1,
    };
    await lag({ 'weir_group_lag_records{group="g",topic="orders"}': 7, ...others });
    await shown(t, both, 'weir_group_lag_max_records{group="g",topic="orders"}', {
      'weir_group_lag_max_records{group="g",topic="orders"}': 5,
    });
    await produce(two.url, 'orders', 0, [4]);
    await lag({ 'weir_group_lag_records{group="g",topic="orders"}': 8, ...others });
    await commit(two, 'g', 'orders', 0, 4);
    await commit(two, 'g', 'orders', 1, 5);
    await lag({ 'weir_group_lag_records{group="g",topic="orders"}': 0, ...others });
    await http(`${one.url}/v1/topics/bills`, 'DELETE');
    await http(`${two.url}/v1/groups/${encodeURIComponent('say "h"')}`, 'DELETE');
    await lag({ 'weir_group_lag_records{group="g",topic="orders"}': 0 });
    await shown(t, both, 'weir_group_lag_left_out', { weir_group_lag_left_out: 0 });

    // The broker that reports the lag stops; the next controller reports it from then on.
    const isFirst = (await scrape(one, 'weir_controller')).weir_controller === 1;
    const [leaving, staying] = isFirst ? [one, two] : [two, one];
    await leaving.broker.leave();
    await lag({ 'weir_group_lag_records{group="g",topic="orders"}': 0 });
    t.equal((await scrape(staying, 'weir_controller')).weir_controller, 1);
  },
);

t.test('a scrape shows the states and rebalances of groups while members join and leave', async (t) => {
  const one = await startTestServer(t, { brokerId: 1001 });
  const two = await startTestServer(t, { brokerId: 1002 }, one.target);
  const both = [one, two];
  await createTopic(one.url, 'orders', 2);
  const state = (state: string) => `weir_groups{state="${state}"}`;
  const groups = (empty: number, reconciling: number, stable: number) =>
    shown(t, both, 'weir_groups{', {
      [state('empty')]: empty,
      [state('reconciling')]: reconciling,
      [state('stable')]: stable,
    });
  const members = (count: number) => shown(t, both, 'weir_group_members ', { weir_group_members: count });
  const total = async (name: string) => {
    const each = await Promise.all(both.map((broker) => scrape(broker, `${name} `)));
    return each.reduce((sum, samples) => sum + (samples[name] ?? 0), 0);
  };
  await groups(0, 0, 0);
  const a = (await join(one.url, 'g', { topics: ['orders'], memberId: 'a' })).body;
  await groups(0, 0, 1);
  t.equal(await total('weir_group_rebalances_total'), 1);
  t.equal(await total('weir_group_rebalance_seconds_count'), 1);
  const b = (await join(two.url, 'g', { topics: ['orders'], memberId: 'b' })).body;
  await groups(0, 1, 0);
  await members(2);
  t.equal(await total('weir_group_rebalances_total'), 2);
  t.equal(await total('weir_group_rebalance_seconds_count'), 1, 'the second rebalance is not complete');
  for (const [through, member] of [
    [two, a],
    [one, a],
    [two, b],
  ] as const)
    await beat(through.url, 'g', member);
  await groups(0, 0, 1);
  t.equal(await total('weir_group_rebalance_seconds_count'), 2);
  t.ok(
    (await total('weir_group_rebalance_seconds_sum')) > 0,
    'it took as long as the first member took to release its partitions',
  );
  await http(`${one.url}/v1/groups/g/members/a`, 'DELETE');
  await http(`${two.url}/v1/groups/g/members/b`, 'DELETE');
  await groups(1, 0, 0);
  await members(0);
  await http(`${one.url}/v1/groups/g`, 'DELETE');
  await groups(0, 0, 0);
});

t.test('of many groups those with the largest lag are reported, and how many are left out', async (t) => {
  const server = await startTestServer(t);
  const { committedOffsets } = server.broker.store;
  await createTopic(server.url, 'orders', 2);
  const { topicId } = await server.broker.topics.get('orders');
  await produce(server.url, 'orders', 1, [1, 2, 3]);
  const name = (i: number) => `g${String(i).padStart(5, '0')}`;
  for (let i = 0; i < lagSeriesMax + 3; i += 1) {
    // The last groups have lag. Each has committed in two partitions, so that reading all of them takes several pages.
    const offset = i < lagSeriesMax ? 3 : 1;
    const at = { topic: 'orders', topicId };
    const commits = [
      { ...at, partition: 0, offset: 0 },
      { ...at, partition: 1, offset },
    ];
    await committedOffsets.commit(name(i), 0, commits, { makes: emptyGroup() });
  }
  await shown(t, [server], 'weir_group_lag_left_out', { weir_group_lag_left_out: 3 });
  const samples = await scrape(server, 'weir_group_lag_records{');
  t.equal(Object.keys(samples).length, lagSeriesMax);
  for (let i = lagSeriesMax; i < lagSeriesMax + 3; i += 1) {
    t.equal(samples[`weir_group_lag_records{group="${name(i)}",topic="orders"}`], 2);
  }
  t.same(await scrape(server, 'weir_groups{state="empty"}'), { 'weir_groups{state="empty"}': lagSeriesMax + 3 });
});

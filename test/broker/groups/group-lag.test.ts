// The lag of a group counts the records that it would still read. Deleted records do not count. Without a committed offset the lag
// counts from where the reset policy begins.
import t from 'tap';
import { agedPartitionsMax } from '../../../schemas/groups.ts';
import { LogCompactor } from '../../../src/broker/log/log-compactor.ts';
import { createMetrics } from '../../../src/broker/metrics.ts';
import { consume, createTopic, join, produce } from '../../helpers/groups.ts';
import { eventually, http, startTestServer } from '../../helpers/server.ts';

const server = await startTestServer(t);
const { url } = server;

const lagOf = async (group: string, partition = 0) => {
  const { partitions } = (await http(`${url}/v1/groups/${group}`)).body;
  const { lag, lagFrom } = partitions.find((at: any) => at.partition === partition) ?? {};
  return { lag, lagFrom };
};
const commit = (group: string, offset: number, more: Record<string, unknown> = {}) =>
  http(`${url}/v1/groups/${group}/offsets`, 'POST', { offsets: [{ topic: group, partition: 0, offset }], ...more });
/** Waits until the metrics have these values. */
const shown = async (group: string, lag: number) => {
  const line = `weir_group_lag_records{group="${group}",topic="${group}"} ${lag}`;
  await eventually(async () => ((await http(`${url}/metrics`)).body as string).split('\n').includes(line), line);
};

t.test('deleted and expired records do not count as lag', async (t) => {
  await createTopic(url, 'deleted', 1);
  await produce(url, 'deleted', 0, [1, 2, 3, 4, 5]);
  await commit('deleted', 1);
  t.same(await lagOf('deleted'), { lag: 4, lagFrom: 'committed' });
  await http(`${url}/v1/topics/deleted/partitions/0/records?before=3`, 'DELETE');
  t.same(await lagOf('deleted'), { lag: 2, lagFrom: 'committed' });
  await http(`${url}/v1/topics/deleted/partitions/0/records?before=latest`, 'DELETE');
  t.same(await lagOf('deleted'), { lag: 0, lagFrom: 'committed' });
  await shown('deleted', 0);
});

t.test('the lag of a group that has never committed counts from where its reset policy begins', async (t) => {
  await createTopic(url, 'uncommitted', 2);
  await produce(url, 'uncommitted', 0, [1, 2, 3]);
  const member = (group: string, reset: string) => join(url, group, { topics: ['uncommitted'], memberId: 'm', reset });
  await Promise.all(['earliest', 'latest', 'none'].map((reset) => member(reset, reset)));
  t.same(await lagOf('earliest'), { lag: 3, lagFrom: 'earliest' });
  t.same(await lagOf('latest'), { lag: 0, lagFrom: 'latest' });
  t.same(await lagOf('none'), { lag: null, lagFrom: null });
  await http(`${url}/v1/topics/uncommitted`, 'PATCH', { partitions: 3 });
  await produce(url, 'uncommitted', 2, [1, 2]);
  await eventually(async () => (await lagOf('latest', 2)).lag === 2, 'the lag of a partition that was added later');
  t.same(await lagOf('latest', 2), { lag: 2, lagFrom: 'earliest' });
  for (const [group, lag] of [
    ['earliest', 5],
    ['latest', 2],
  ] as const) {
    const line = `weir_group_lag_records{group="${group}",topic="uncommitted"} ${lag}`;
    await eventually(async () => ((await http(`${url}/metrics`)).body as string).includes(line), line);
  }
});

t.test('ages=true adds how long the lag of each partition has been waiting', async (t) => {
  await createTopic(url, 'aged', 3);
  const agesOf = async (query = '?ages=true') =>
    (await http(`${url}/v1/groups/aged${query}`)).body.partitions.map(({ lagMs }: any) => lagMs);
  await produce(url, 'aged', 0, [1, 2]);
  await produce(url, 'aged', 1, [1]);
  await commit('aged', 1);
  await http(`${url}/v1/groups/aged/offsets`, 'POST', { offsets: [{ topic: 'aged', partition: 1, offset: 1 }] });
  await eventually(async () => (await agesOf())[0] >= 20, 'the first record that is left grows older');
  const before = (await agesOf())[0];
  await produce(url, 'aged', 0, [3]);
  const [waiting, caughtUp, ...others] = await agesOf();
  t.ok(waiting >= before, 'a newer record does not make it younger');
  t.same([caughtUp, ...others], [0], 'without lag it is 0');
  await join(url, 'aged', { topics: ['aged'], memberId: 'm', reset: 'none' });
  t.equal((await agesOf())[2], null, 'it is not known where the lag is not');
  t.same(await agesOf(''), [undefined, undefined, undefined], 'without ages there is none');
  t.equal((await http(`${url}/v1/groups/aged?ages=perhaps`)).status, 400);
});

t.test('the ages of the largest lags are read, and of no others', async (t) => {
  const count = agedPartitionsMax + 2;
  await createTopic(url, 'many-aged', count);
  const records = Array.from({ length: count }, (_, partition) => ({ partition, value: 1 }));
  const sent = await http(`${url}/v1/topics/many-aged/records`, 'POST', {
    records: [...records, ...records.slice(1, -1)],
  });
  t.equal(sent.status, 200);
  const offsets = records.map(({ partition }) => ({ topic: 'many-aged', partition, offset: 0 }));
  await http(`${url}/v1/groups/many-aged/offsets`, 'POST', { offsets });
  const { partitions } = (await http(`${url}/v1/groups/many-aged?ages`)).body;
  const unknown = partitions.filter(({ lagMs }: any) => lagMs === null).map(({ partition }: any) => partition);
  t.same(unknown, [0, count - 1], 'those with one record less');
});

t.test('the lag of a log whose end was compacted away reaches 0', async (t) => {
  const config = { 'cleanup.policy': 'compact', 'delete.retention.ms': 0 };
  const { body: topic } = await http(`${url}/v1/topics`, 'POST', { name: 'compacted', config });
  const append = (records: unknown[]) => http(`${url}/v1/topics/compacted/partitions/0/records`, 'POST', { records });
  await append([{ key: 'a', value: 1 }]);
  await append([{ key: 'b', value: 2 }]);
  await append([{ key: 'b' }]);
  await join(url, 'compacted', { topics: ['compacted'], memberId: 'm' });
  const compactor = new LogCompactor(server.broker.store.logMaintenance, createMetrics());
  const task = { topicId: topic.topicId, partition: 0, leaderEpoch: 1000, deleteRetentionMs: 0, isCompressed: false };
  // The first pass notes the tombstone, and the next one removes it.
  await eventually(async () => {
    await compactor.compact(task, new AbortController().signal);
    const { records } = (await http(`${url}/v1/topics/compacted/partitions/0/records?offset=0`)).body;
    return records.length === 1;
  }, 'one record is left');
  t.same(await lagOf('compacted'), { lag: 1, lagFrom: 'earliest' });
  const { body } = await consume(url, 'compacted', 'm');
  t.same(body.partitions, [{ topic: 'compacted', partition: 0, nextOffset: 3 }], 'after the removed records');
  t.equal(body.records.at(-1).offset, 0);
  await commit('compacted', 1, { memberId: 'm' });
  t.same(await lagOf('compacted'), { lag: 0, lagFrom: 'committed' }, 'with the offset of the last record committed');
  await commit('compacted', 3, { memberId: 'm' });
  t.same(await lagOf('compacted'), { lag: 0, lagFrom: 'committed' }, 'with nextOffset committed');
  await shown('compacted', 0);
  await append([{ key: 'c', value: 3 }]);
  t.same(await lagOf('compacted'), { lag: 1, lagFrom: 'committed' });
});

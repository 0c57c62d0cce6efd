// A consume call reads all partitions of its member, from the positions after the previous call.
import t from 'tap';
import { redisCommand } from '../../../../src/embedded-redis/redis-command.ts';
import { consume, createTopic, join, produce } from '../../../helpers/groups.ts';
import { startTestRedis } from '../../../helpers/redis.ts';
import { eventually, http, startTestServer } from '../../../helpers/server.ts';

const { socketPath } = await startTestRedis(t);
const one = await startTestServer(t, { brokerId: 1001 }, { socketPath });
const two = await startTestServer(t, { brokerId: 1002 }, { socketPath });

const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
const countOf = (records: { partition: number }[], partition: number) =>
  records.filter((record) => record.partition === partition).length;

/** A topic and a group of this name, with one member `m`; each list has the values of one partition. */
async function newGroup(name: string, ...partitions: unknown[][]): Promise<string> {
  await createTopic(one.url, name, partitions.length);
  for (const [partition, values] of partitions.entries()) {
    if (values.length > 0) await produce(one.url, name, partition, values);
  }
  await join(one.url, name, { topics: [name], memberId: 'm' });
  return name;
}

t.test(
  'partitions return equal shares where these are large, else they take turns; one with few records returns all',
  async (t) => {
    const group = await newGroup('fair', numbers(0, 2000), numbers(0, 2000), numbers(0, 4), []);
    const shares = async (maxRecords: number) => {
      const { records } = (await consume(one.url, group, 'm', `?maxRecords=${maxRecords}&commit=previous`)).body;
      return [0, 1, 2, 3].map((partition) => countOf(records, partition));
    };
    const first = await shares(100);
    t.same([...first].sort(), [0, 0, 4, 96].sort());
    t.equal(first[2], 4);
    const other = first[0] === 96 ? 1 : 0;
    for (const partition of [other, 1 - other, other]) {
      const next = await shares(100);
      t.equal(next[partition], 100, 'the other one, as it has waited longer');
    }
    t.same(await shares(1000), [500, 500, 0, 0]);
  },
);

t.test('with a limit below the number of partitions, every partition gets its turn', async (t) => {
  const group = await newGroup('turns', numbers(0, 500), ['quiet'], ['quiet']);
  const seen = new Set<number>();
  await eventually(async () => {
    const { records } = (await consume(one.url, group, 'm', '?maxRecords=1')).body;
    t.equal(records.length, 1);
    seen.add(records[0].partition);
    return seen.size === 3;
  }, 'records of all three partitions');
});

t.test('the limit on bytes is shared as well, and one record always fits', async (t) => {
  const large = 'x'.repeat(10_000);
  const group = await newGroup('bytes', [large, large, large, large], [large, large, large, large]);
  const records = async (query: string) => (await consume(one.url, group, 'm', query)).body.records;
  const some = await records('?maxBytes=41000');
  t.same([countOf(some, 0), countOf(some, 1)], [2, 2]);
  t.equal((await records('?maxBytes=1')).length, 1);
  t.equal((await records('?maxBytes=100000')).length, 3, 'no record was skipped');
});

t.test('a member that calls two brokers in turn gets every record once and in order', async (t) => {
  const group = await newGroup('moves', numbers(0, 60), numbers(100, 160));
  const given: number[][] = [[], []];
  for (let call = 0; given.flat().length < 120; call += 1) {
    // Twice through the same broker, so that it resumes from its cache; after that its cache is out of date.
    const { url } = call % 3 === 0 ? two : one;
    const { status, body } = await consume(url, group, 'm', '?maxRecords=7&commit=previous');
    t.equal(status, 200);
    for (const { partition, value } of body.records) given[partition]!.push(value);
  }
  t.same(given, [numbers(0, 60), numbers(100, 160)]);
  await consume(one.url, group, 'm', '?commit=previous');
  const { partitions } = (await http(`${two.url}/v1/groups/${group}`)).body;
  t.ok(partitions.every(({ committed }: any) => committed === 60));
});

t.test('the next call commits the records returned before, and releases revoked partitions', async (t) => {
  const group = await newGroup('goes-on', numbers(0, 100), numbers(0, 100));
  await consume(one.url, group, 'm', '?maxRecords=10&commit=previous');
  await consume(one.url, group, 'm', '?maxRecords=10&commit=previous');
  const committed = async () =>
    (await http(`${two.url}/v1/groups/${group}`)).body.partitions.map((p: any) => p.committed);
  t.same((await committed()).sort(), [0, 10].sort(), 'the first call returned records of one of the two');
  await join(two.url, group, { topics: [group], memberId: 'other' });
  const { assignment, records } = (await consume(one.url, group, 'm', '?maxRecords=10&commit=previous')).body;
  t.equal(assignment[0].partitions.length, 1);
  t.ok(
    records.every(({ partition }: any) => partition === assignment[0].partitions[0]),
    'only partitions that it keeps',
  );
  t.same(await committed(), [10, 10], 'the released partition is committed up to the returned records');
  const next = (await consume(two.url, group, 'other', '?maxRecords=3')).body;
  t.same(
    next.records.map(({ offset }: any) => offset),
    [10, 11, 12],
    'the other member continues there',
  );
});

t.test('a member that was removed or joined again does not continue from its old positions', async (t) => {
  const group = await newGroup('anew', numbers(0, 100));
  await consume(one.url, group, 'm', '?maxRecords=10');
  await join(two.url, group, { topics: [group], memberId: 'm' });
  t.equal((await consume(one.url, group, 'm', '?maxRecords=1')).body.records[0].offset, 0, 'from the committed offset');
  await http(`${two.url}/v1/groups/${group}/members/m`, 'DELETE');
  t.equal((await consume(one.url, group, 'm', '?maxRecords=1')).body.code, 'UNKNOWN_MEMBER');
});

t.test('with batches of any size every record is returned once and in order, whatever is prefetched', async (t) => {
  const group = await newGroup('any-size', [], [], []);
  const ends = [0, 0, 0];
  for (let i = 0; i < 60; i += 1) {
    const partition = i % 3;
    const end = ends[partition]! + [1, 1, 40, 3, 7][i % 5]!;
    await produce(one.url, group, partition, numbers(ends[partition]!, end));
    ends[partition] = end;
  }
  const given: number[][] = [[], [], []];
  for (let call = 0, after = 0; given.flat().length < ends[0]! + ends[1]! + ends[2]!; call += 1) {
    const limits = ['maxRecords=11', 'maxRecords=50', 'maxBytes=700', 'maxRecords=2'][call % 4];
    const { body } = await consume(one.url, group, 'm', `?${limits}&commit=previous&after=${after}`);
    if (body.records.length === 0) return t.fail('a call returned no records although there were more');
    after = body.next;
    for (const { partition, value } of body.records) given[partition]!.push(value);
  }
  t.same(
    given,
    ends.map((end) => numbers(0, end)),
  );
});

t.test('if records are deleted below prefetched ones, reading continues from the new log start', async (t) => {
  const group = await newGroup('cut', numbers(0, 500));
  const given: number[] = [];
  const call = async () => {
    const { body } = await consume(one.url, group, 'm', '?maxRecords=10&commit=previous');
    given.push(...body.records.map(({ value }: any) => value));
    return body.records.length;
  };
  for (let i = 0; i < 3; i += 1) t.equal(await call(), 10);
  await http(`${one.url}/v1/topics/cut/partitions/0/records?before=200`, 'DELETE');
  while (given.at(-1) !== 499)
    if ((await call()) === 0) return t.fail('a call returned no records although there were more');
  t.same(
    given.filter((value) => value >= 200),
    numbers(200, 500),
    'all remaining records, once',
  );
  t.same(
    given,
    [...given].sort((a, b) => a - b),
  );
});

/** Bytes that the first broker holds or has reserved for prefetched records. */
async function held(): Promise<number> {
  return Number(/^weir_group_prefetch_bytes (\d+)/m.exec((await http(`${one.url}/metrics`)).body)![1]);
}

t.test('records prefetched before a connection to the store was lost are read again', async (t) => {
  const group = await newGroup('lost', numbers(0, 500));
  const call = async () => (await consume(one.url, group, 'm', '?maxRecords=10')).body.records;
  await call();
  await call();
  const reservedMin = 1024 * 1024;
  await eventually(async () => {
    const bytes = await held();
    return bytes > 0 && bytes < reservedMin;
  }, 'records are prefetched');
  // The change stands for any loss of data in the store during that time.
  await http(`${two.url}/v1/topics/lost/partitions/0/records?before=200`, 'DELETE');
  const { connectionLosses: losses } = one.broker.store;
  await redisCommand(socketPath, ['CLIENT', 'KILL', 'TYPE', 'normal']);
  await eventually(() => one.broker.store.connectionLosses > losses, 'the broker has detected the loss');
  t.match(await call(), [{ offset: 200 }]);
});

t.test('prefetched records are dropped after a short time', async (t) => {
  const group = await newGroup('moment', numbers(0, 1000));
  let seen = 0;
  for (let i = 0; i < 5; i += 1) {
    await consume(one.url, group, 'm', '?maxRecords=10');
    seen = Math.max(seen, await held());
  }
  t.ok(seen > 1000, `${seen} bytes`);
  await eventually(async () => (await held()) === 0, 'nothing is prefetched any more');
  t.match((await consume(one.url, group, 'm', '?maxRecords=1')).body.records, [{ offset: 50 }]);
});

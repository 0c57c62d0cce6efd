// A member goes on consuming while Redis is killed and starts again: what it was given and what is committed stay in step.
import t from 'tap';
import { consume, createTopic, join, produce } from '../../../helpers/groups.ts';
import { startLossyRedis } from '../../../helpers/lossy-redis.ts';
import { eventually, http, startTestServer } from '../../../helpers/server.ts';

const partitions = 3;
const each = 2000;

t.test(
  'however often Redis is killed, a group gets each record once, and commits none that it was not given',
  async (t) => {
    const redis = await startLossyRedis(t);
    const server = await startTestServer(t, { brokerId: 1001 }, { socketPath: redis.socketPath });
    await createTopic(server.url, 'killed', partitions);
    const values = Array.from({ length: each }, (_, i) => i);
    for (let partition = 0; partition < partitions; partition += 1)
      await produce(server.url, 'killed', partition, values);
    await join(server.url, 'killed', { topics: ['killed'], memberId: 'm' });

    const given: number[][] = Array.from({ length: partitions }, () => []);
    const total = () => given.flat().length;
    const unexpected: unknown[] = [];
    let after = 0;
    const call = async () => {
      for (;;) {
        const { status, body } = await consume(
          server.url,
          'killed',
          'm',
          `?maxRecords=50&commit=previous&after=${after}`,
        );
        if (status === 200) {
          after = body.next;
          return body.records as { partition: number; value: number }[];
        }
        if (body.code !== 'STORE_UNAVAILABLE') unexpected.push(body);
      }
    };
    const committed = async (): Promise<number[]> =>
      (await http(`${server.url}/v1/groups/killed`)).body.partitions.map((at: any) => at.committed ?? 0);

    const consuming = (async () => {
      while (total() < partitions * each && unexpected.length === 0)
        for (const { partition, value } of await call()) given[partition]!.push(value);
    })();
    for (const part of [1, 2, 3]) {
      await eventually(() => total() >= (part * partitions * each) / 4, 'some records are consumed');
      await redis.killAndRestart();
    }
    await consuming;
    t.same(unexpected, []);
    t.same(given, Array(partitions).fill(values), 'none twice, none skipped, in their order');
    // The last response is not confirmed yet.
    const before = await committed();
    t.equal(
      before.reduce((sum, offset) => sum + offset, 0),
      total() - 50,
    );
    t.same(await call(), []);
    t.same(
      await committed(),
      Array(partitions).fill(each),
      'also partitions that had their last turn before an outage',
    );
  },
);

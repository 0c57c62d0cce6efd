// Consumer instances of the Kafka REST dialect behind a real HAProxy that takes three brokers in turns, while one of them is killed: a group
// that commits reads every record exactly once.
import t from 'tap';
import { freePort } from '../../testbed/scope.ts';
import { startHaproxy } from '../helpers/haproxy.ts';
import { kafkaJson, kafkaPost } from '../helpers/kafka-rest.ts';
import { startServerProcess } from '../helpers/process.ts';
import { startTestRedis } from '../helpers/redis.ts';
import { eventually, http } from '../helpers/server.ts';
import { findProxy } from './proxy-process.ts';
import { haproxy } from './proxy-programs.ts';

const partitions = 6;
const recordsEach = 100;
const settings = { format: 'json', 'auto.offset.reset': 'earliest', 'auto.commit.enable': 'false' };

if ((await findProxy(haproxy)) === undefined) {
  t.comment('skipped: haproxy is not installed (Debian package haproxy)');
  t.pass('there is no load balancer to test with');
} else {
  await t.test('a group reads every record once through a load balancer, though a broker is killed', async (t) => {
    const redisPort = await freePort();
    await startTestRedis(t, { port: redisPort });
    const env = {
      WEIR_REDIS_URL: `redis://127.0.0.1:${redisPort}`,
      WEIR_BROKER_SESSION_TTL: '2s',
      WEIR_DRAIN_DELAY: '0s',
    };
    const brokers = await Promise.all(
      [1, 2, 3].map((id) => startServerProcess(t, { ...env, WEIR_BROKER_ID: String(id) })),
    );
    const balancer = await startHaproxy(
      t,
      brokers.map(({ url }) => url),
    );
    await balancer.knows(3);
    const { url } = balancer;
    await http(`${url}/v1/topics`, 'POST', { name: 'once', partitions });
    for (let partition = 0; partition < partitions; partition += 1) {
      const records = Array.from({ length: recordsEach }, (_, i) => ({
        value: partition * recordsEach + i,
        partition,
      }));
      await http(`${url}/v1/topics/once/records`, 'POST', { records });
    }
    /** A call whose connection broke is made again, as its client must; it did not reach a broker, or the broker died with it. */
    const again = async <T>(call: () => Promise<{ status: number; body: T }>) => {
      let result: { status: number; body: T } | undefined;
      await eventually(async () => {
        result = await call().catch(() => undefined);
        return result !== undefined && result.status < 500;
      }, 'a broker responds');
      return result as { status: number; body: T };
    };
    const members: string[] = [];
    for (let i = 0; i < 2; i += 1) {
      const { body } = await kafkaPost(`${url}/consumers/g`, { name: `i${i}`, ...settings });
      members.push(`${url}/consumers/g/instances/${body.instance_id}`);
    }
    for (const member of members) await kafkaPost(`${member}/subscription`, { topics: ['once'] });
    const seen: number[] = [];
    const calls = new Set<string>();
    let isKilled = false;
    await eventually(
      async () => {
        for (const member of members) {
          const poll = () =>
            http(`${member}/records?timeout=100&max_bytes=2000`, 'GET', undefined, { accept: kafkaJson });
          const { status, body } = await again<any[]>(poll);
          t.equal(status, 200, JSON.stringify(body));
          // Killed between a poll and its commit, which another broker takes.
          if (!isKilled && seen.length > (partitions * recordsEach) / 4 && body.length > 0) {
            isKilled = true;
            brokers[1]!.child.kill('SIGKILL');
            t.equal(await brokers[1]!.exited, 'SIGKILL');
          }
          if (body.length === 0) continue;
          const newest = new Map<number, number>(body.map(({ partition, offset }) => [partition, offset]));
          const offsets = [...newest].map(([partition, offset]) => ({ topic: 'once', partition, offset }));
          t.equal((await again(() => kafkaPost(`${member}/offsets`, { offsets }))).status, 200);
          seen.push(...body.map(({ value }) => value));
          calls.add(member);
        }
        return seen.length >= partitions * recordsEach;
      },
      'all records',
      60_000,
    );
    t.ok(isKilled, 'a broker was killed on the way');
    t.equal(calls.size, 2, 'both instances have read');
    t.same(
      seen.toSorted((a, b) => a - b),
      Array.from({ length: partitions * recordsEach }, (_, i) => i),
    );
    for (const member of members)
      t.equal((await http(`${member}/records?timeout=0`, 'GET', undefined, { accept: kafkaJson })).body.length, 0);
  });
}

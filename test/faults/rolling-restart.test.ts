// Brokers behind a real load balancer are restarted one after the other under load: records, a group member, a session, a
// register, a long poll, a watch over WebSocket. Each request may reach any broker. With SIGTERM no request fails; with kill -9
// only requests fail that were in flight when the process ended. Nothing acknowledged is lost.
//
// WEIR_FAULTS_SECONDS says for how long (npm run test:faults: two minutes).
import t from 'tap';
import { freePort } from '../../testbed/scope.ts';
import { startHaproxy } from '../helpers/haproxy.ts';
import { type ServerProcess, startServerProcess } from '../helpers/process.ts';
import { startTestRedis } from '../helpers/redis.ts';
import { eventually, http } from '../helpers/server.ts';
import { BalancedLoad } from './balanced-load.ts';

const seconds = Number(process.env.WEIR_FAULTS_SECONDS ?? 0);

t.test(
  'rolling restarts behind a load balancer fail no request, and a kill only those that were in flight',
  async (t) => {
    const redisPort = await freePort();
    await startTestRedis(t, { port: redisPort });
    const envs = await Promise.all(
      [1, 2, 3].map(async (id) => ({
        WEIR_REDIS_URL: `redis://127.0.0.1:${redisPort}`,
        WEIR_BROKER_ID: String(id),
        WEIR_PORT: String(await freePort()),
        WEIR_BROKER_SESSION_TTL: '1s',
        // The balancer detects the end after two checks, 0.4 s; a busy machine may take longer.
        WEIR_DRAIN_DELAY: '2s',
      })),
    );
    const brokers: ServerProcess[] = await Promise.all(envs.map((env) => startServerProcess(t, env)));
    const balancer = await startHaproxy(
      t,
      brokers.map(({ url }) => url),
    );
    await balancer.knows(3);
    const load = new BalancedLoad(balancer.url);
    await load.start();
    t.teardown(() => load.stop());
    const restart = async (index: number, signal: 'SIGTERM' | 'SIGKILL') => {
      const broker = brokers[index]!;
      broker.child.kill(signal);
      t.equal(await broker.exited, signal === 'SIGTERM' ? 0 : 'SIGKILL', `broker ${index + 1}: ${signal}`);
      const gone = load.moment();
      // The other brokers serve meanwhile.
      await load.progress();
      brokers[index] = await startServerProcess(t, envs[index]);
      await balancer.knows(3);
      return gone;
    };

    const holderOfWatch = async () => {
      const metrics = await Promise.all(brokers.map(({ url }) => http(`${url}/metrics`)));
      return metrics.findIndex(({ body }) => /^weir_sockets_open\{kind="watch"\} 1$/m.test(body));
    };

    const deadline = Date.now() + seconds * 1000;
    for (let round = 0; round === 0 || Date.now() < deadline; round++) {
      // The broker of the watch is restarted first, so the watch has to resume at another one.
      const first = await holderOfWatch();
      await restart(first, 'SIGTERM');
      if (seconds > 0) await restart((first + 1) % 3, 'SIGTERM');
      await load.progress();
      t.same(load.takeFailures(), [], 'a restart by SIGTERM fails no request');
      const gone = await restart((first + 2) % 3, 'SIGKILL');
      await load.progress();
      const failures = load.takeFailures();
      t.same(
        failures.filter(({ begun }) => begun > gone),
        [],
        'after the end of a killed broker no request fails any more',
      );
      t.comment(`${failures.length} requests failed with the killed broker, of ${load.requests} so far`);
    }
    await load.stop();
    t.same(load.takeFailures(), []);
    t.comment(`${load.requests} requests, ${load.sockets} sockets, ${load.acknowledged.size} records`);
    t.ok(load.sockets > 1, 'the watch resumed through other brokers');

    const { url } = brokers[0]!;
    const stored = new Set<number>();
    for (let offset = 0, end = 1; offset < end; ) {
      const { body } = await http(`${url}/v1/topics/load/partitions/0/records?offset=${offset}&maxRecords=10000`);
      for (const { value } of body.records) stored.add(value);
      offset = body.nextOffset;
      end = body.endOffset;
    }
    const missing = (from: Set<number>, of: Set<number>) => [...of].filter((value) => !from.has(value));
    t.same(missing(stored, load.acknowledged), [], 'every acknowledged record is stored');
    t.same(missing(load.consumed, load.acknowledged), [], 'the group received every acknowledged record');
    t.same(missing(load.watched, load.written), [], 'the watch received every write');
    t.same(load.watchProblems, [], 'the watch received each write once, and in order');
    await eventually(
      async () => (await http(`${url}/v1/topics/load`)).body.partitions[0].isr.length === 3,
      'all brokers lead partitions again',
    );
  },
);

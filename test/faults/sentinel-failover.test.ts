// A broker on a primary that Sentinels watch, and the primary fails: once by default; with WEIR_FAULTS_SECONDS for so long, in
// every way in turn.
import t from 'tap';
import type { RedisNode } from '../../testbed/redis-node.ts';
import { type SentinelSetup, startSentinels } from '../../testbed/sentinels.ts';
import { startAcknowledgedLoad } from '../helpers/acknowledged-load.ts';
import { requestFailover } from '../helpers/requested-failover.ts';
import { eventually, http, startTestServer } from '../helpers/server.ts';
import { openSocket } from '../helpers/socket.ts';

const seconds = Number(process.env.WEIR_FAULTS_SECONDS ?? 0);

/** The faults of a primary. Each repairs what it broke once another Redis is the primary. */
const failures: [what: string, fail: (setup: SentinelSetup, primary: RedisNode) => Promise<unknown>][] = [
  [
    'the primary is killed',
    async (setup, primary) => {
      await primary.kill();
      await setup.failedOverFrom(primary);
      await primary.start();
    },
  ],
  [
    'the primary hangs',
    async (setup, primary) => {
      primary.signal('SIGSTOP');
      await setup.failedOverFrom(primary);
      primary.signal('SIGCONT');
    },
  ],
  [
    'the primary is told to step down',
    async (setup, primary) => {
      const [sentinel] = setup.sentinels;
      const begin = () => sentinel!.ask('SENTINEL', 'FAILOVER', 'main').catch(() => undefined);
      await requestFailover(
        () => eventually(begin, 'the Sentinels do so, as the last failover is long enough ago', 60_000),
        () => setup.failedOverFrom(primary, 10_000),
      );
    },
  ],
];

t.test(
  'a failover delays requests, and loses no record that acks=all acknowledged',
  { timeout: (seconds + 180) * 1000 },
  async (t) => {
    const setup = await startSentinels(t, 1);
    const { url } = await startTestServer(t, { storeTimeoutMs: 2000 }, { url: setup.url });
    t.match((await http(`${url}/v1/cluster`)).body.store, { engine: 'sentinel', shards: 1 });
    const watcher = await openSocket(t, `${url}/v1/watch`);
    watcher.send({ type: 'watch', id: 'w', path: '/app', mode: 'node' });
    let { zxid } = await watcher.frame({ type: 'watching' });
    const load = await startAcknowledgedLoad(url, { topic: 'safe', partitions: 2, replicas: 1 });
    await load.goesOn(10, 'before');

    const endAt = Date.now() + seconds * 1000;
    for (let round = 0; round === 0 || Date.now() < endAt; round++) {
      const [what, fail] = failures[round % failures.length]!;
      const failing = fail(setup, await setup.primary());
      const put = () => http(`${url}/v1/nodes/app`, 'PUT', `round ${round}`);
      const written = await eventually(
        async () => {
          const response = await put();
          return Number(response.headers.get('weir-zxid')) >= zxid - (zxid % 2 ** 32) + 2 ** 32 ? response : undefined;
        },
        `${what}: a new epoch begins`,
        90_000,
      );
      zxid = Number(written.headers.get('weir-zxid'));
      await eventually(
        // A watcher that received a change that the new primary has lost gets an error; others continue.
        () => watcher.frames.some((frame) => frame.zxid >= zxid || frame.code === 'COMPACTED'),
        `${what}: the watcher gets its event or the error`,
      );
      await failing;
      await load.goesOn(10, what);
    }
    await load.check(t);
  },
);

// Three brokers as processes over one Redis, with faults of brokers (torture-broker.ts) and of Redis: it is killed, restarted,
// stopped for a while, or at its memory limit. A seed determines the order of the faults; how they interleave depends on the
// machine.
import { pino } from 'pino';
import type { Test } from 'tap';
import type { EmbeddedRedis } from '../../src/embedded-redis/embedded-redis.ts';
import { redisCommand } from '../../src/embedded-redis/redis-command.ts';
import { Store } from '../../src/store/store.ts';
import type { Transaction } from '../../src/store/tree/node-codec.ts';
import { freePort } from '../../testbed/scope.ts';
import type { Random } from '../helpers/random.ts';
import { startTestRedis } from '../helpers/redis.ts';
import { eventually, testConfig } from '../helpers/server.ts';
import { count, type FaultLog, goesOn } from './fault-log.ts';
import { TortureBroker } from './torture-broker.ts';

const brokers = 3;

export interface TortureCluster extends FaultLog {
  /** The addresses of the brokers, which stay the same after restarts. */
  urls: string[];
  /** The socket of Redis, for direct access by the test. */
  store: Store;
  /** The address of Redis. */
  socketPath: string;
  /** Causes faults until `signal` is aborted. When it settles, all faults are repaired and everything serves. */
  torture(random: Random, signal: AbortSignal): Promise<void>;
  /** The same with faults of brokers only, one at a time, so that the cluster always serves. */
  tortureBrokers(random: Random, signal: AbortSignal): Promise<void>;
}

export async function startTortureCluster(t: Test): Promise<TortureCluster> {
  const port = await freePort();
  const { socketPath, redis } = await startTestRedis(t, { port, appendfsync: 'always' });
  const store = new Store({ ...testConfig, target: { socketPath } }, pino({ level: 'silent' }));
  await store.open();
  t.teardown(() => store.close());
  const log: FaultLog = { faults: new Map(), timed: [], problems: [], errors: new Map() };
  const env = {
    WEIR_SESSION_MIN_TTL: '500ms',
    WEIR_BROKER_SESSION_TTL: '3s',
    WEIR_DRAIN_DELAY: '0',
    WEIR_LOG_LEVEL: 'info',
  };
  const all = await Promise.all(
    Array.from({ length: brokers }, (_, n) => TortureBroker.start(t, n + 1, port, env, log)),
  );
  const serves = () => eventually(() => store.events.newestZxid().catch(() => undefined), 'the store serves', 30_000);
  return {
    ...log,
    urls: all.map(({ url }) => url),
    store,
    socketPath,
    torture: async (random, signal) => {
      await Promise.all([
        tortureRedis({ redis, socketPath }, log, random.fork('redis'), signal),
        ...all.map((broker, n) => broker.torture(random.fork(`broker ${n}`), signal)),
      ]);
      await serves();
    },
    tortureBrokers: async (random, signal) => {
      while (await goesOn(random.between(500, 2500), signal)) await random.pick(all).fault(random, signal);
      await serves();
    },
  };
}

async function tortureRedis(
  { redis, socketPath }: { redis: EmbeddedRedis; socketPath: string },
  { faults }: FaultLog,
  random: Random,
  signal: AbortSignal,
): Promise<void> {
  const isBack = () => eventually(() => redisCommand(socketPath, ['PING']).catch(() => false), 'Redis is back', 30_000);
  /** A Redis that was asked to stop may still send replies for a while; this waits for the next process. */
  const end = async (how: 'SIGKILL' | 'SIGTERM') => {
    const { pid } = redis;
    process.kill(pid, how);
    await eventually(() => redis.pid !== pid, 'another Redis is started', 30_000);
  };
  while (await goesOn(random.between(2000, 6000), signal)) {
    const dice = random.next();
    if (dice < 0.35) {
      count(faults, 'Redis killed');
      await end('SIGKILL');
    } else if (dice < 0.5) {
      count(faults, 'Redis restarted');
      await end('SIGTERM');
    } else if (dice < 0.8) {
      count(faults, 'Redis stopped for a while');
      const { pid } = redis;
      process.kill(pid, 'SIGSTOP');
      await goesOn(random.between(100, 2500), signal);
      process.kill(pid, 'SIGCONT');
    } else {
      count(faults, 'Redis at its memory limit');
      const limit = await redisCommand(socketPath, ['CONFIG', 'GET', 'maxmemory']);
      await redisCommand(socketPath, ['CONFIG', 'SET', 'maxmemory', '1mb']);
      await goesOn(random.between(100, 2500), signal);
      await redisCommand(socketPath, ['CONFIG', 'SET', 'maxmemory', (limit as string[])[1]!]);
    }
    await isBack();
  }
}

/** All transactions of the store up to `upTo`. */
export async function wholeHistory(store: Store, upTo: number): Promise<Transaction[]> {
  const history: Transaction[] = [];
  for (let complete = false; !complete; ) {
    const page = await store.events.range('main', history.at(-1)?.zxid ?? 0, upTo, 1000);
    history.push(...page.transactions);
    complete = page.complete;
  }
  return history;
}

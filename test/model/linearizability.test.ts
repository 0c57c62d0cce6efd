// Guarantees N1 and N2 with several clients at once, through two brokers over one Redis, also while Redis is stopped or
// killed. The responses must fit one order of operations that agrees with their times (linearizability.ts).
import t, { type Test } from 'tap';
import { redisCommand } from '../../src/embedded-redis/redis-command.ts';
import { chooseSeed, type Random, randomOf } from '../helpers/random.ts';
import { startTestRedis } from '../helpers/redis.ts';
import { eventually, startTestServer } from '../helpers/server.ts';
import {
  linearizabilityProblem,
  type Operation,
  type Outcome,
  type SequentialCreate,
  type Step,
  sequenceProblems,
  zxidProblems,
} from './linearizability.ts';
import { RegisterClient, SequenceClient } from './register-clients.ts';

const seed = chooseSeed();
/** WEIR_MODEL_RUNS=10000 searches for longer. */
const rounds = Math.ceil(Number(process.env.WEIR_MODEL_RUNS ?? 1000) / 500);
const clientsPerRound = 6;
const stepsPerClient = 50;

t.setTimeout(300_000 + rounds * 60_000);
t.comment(`WEIR_TEST_SEED=${seed}`);

const ok = (seen: { version?: number; data?: string } = {}): Outcome => ({ code: 'OK', seen: [seen] });
const failed = (error: string): Outcome => ({ code: 'FAILED', error });
const put = (data: string): Step => ({ op: 'put', path: '/r', data });
const get: Step = { op: 'get', path: '/r' };
const operation = (start: number, end: number, step: Step, outcome: Outcome, zxid?: number): Operation => ({
  client: 0,
  start,
  end,
  step,
  outcome,
  zxid,
  mzxid: zxid,
});
const forever = Number.POSITIVE_INFINITY;

t.test('the checker accepts a history that some order explains', async (t) => {
  const overlapping = [
    operation(0, 10, put('a'), ok({ version: 1 })),
    operation(1, 9, put('b'), ok({ version: 0 })),
    operation(2, 8, get, ok({ version: 0, data: 'b' })),
    operation(11, 12, get, ok({ version: 1, data: 'a' })),
  ];
  t.equal(linearizabilityProblem(overlapping), undefined, 'operations that overlap may take effect in any order');
  const lateEffect = [
    operation(0, forever, put('lost'), 'unknown'),
    operation(1, 2, get, failed('NO_NODE')),
    operation(3, 4, get, ok({ version: 0, data: 'lost' })),
  ];
  t.equal(linearizabilityProblem(lateEffect), undefined, 'a change with an unknown result may take effect late');
  const noEffect = [operation(0, forever, put('lost'), 'unknown'), operation(3, 4, get, failed('NO_NODE'))];
  t.equal(linearizabilityProblem(noEffect), undefined, 'or it may never take effect');
  const multi = [
    operation(0, 1, put('a'), ok({ version: 0 })),
    operation(
      2,
      3,
      {
        op: 'multi',
        steps: [
          { op: 'set', path: '/r', data: 'b', version: 0 },
          { op: 'create', path: '/s', data: 'c' },
        ],
      },
      { code: 'OK', seen: [{ version: 1 }, { version: 0 }] },
    ),
    operation(4, 5, { op: 'get', path: '/s' }, ok({ version: 0, data: 'c' })),
  ];
  t.equal(linearizabilityProblem(multi), undefined, 'a multi changes several registers at one moment');
});

t.test('the checker refuses a history that no order explains', async (t) => {
  const refuses = (history: Operation[], what: string) => t.type(linearizabilityProblem(history), 'string', what);
  refuses(
    [
      operation(0, 1, put('a'), ok({ version: 0 })),
      operation(2, 3, put('b'), ok({ version: 1 })),
      operation(4, 5, get, ok({ version: 0, data: 'a' })),
    ],
    'an old value is read',
  );
  refuses(
    [
      operation(0, 9, put('a'), ok({ version: 0 })),
      operation(1, 2, get, ok({ version: 0, data: 'a' })),
      operation(3, 4, get, failed('NO_NODE')),
    ],
    'of two reads during one change, only the first sees it',
  );
  refuses(
    [operation(0, 3, put('a'), ok({ version: 0 })), operation(1, 4, put('b'), ok({ version: 0 }))],
    'two changes give the same version',
  );
  refuses(
    [
      operation(0, 1, put('a'), ok({ version: 0 })),
      operation(2, 5, { op: 'set', path: '/r', data: 'b', version: 0 }, ok({ version: 1 })),
      operation(3, 4, { op: 'set', path: '/r', data: 'c', version: 0 }, ok({ version: 1 })),
    ],
    'two compare-and-sets succeed with one version',
  );
  refuses(
    [operation(5, forever, put('lost'), 'unknown'), operation(1, 2, get, ok({ version: 0, data: 'lost' }))],
    'a value is read before it is written',
  );
  refuses(
    [
      operation(0, forever, put('lost'), 'unknown'),
      operation(1, 2, get, ok({ version: 0, data: 'lost' })),
      operation(3, 4, get, failed('NO_NODE')),
    ],
    'a change with an unknown result is seen and then not',
  );
  const both: Step = {
    op: 'multi',
    steps: [
      { op: 'create', path: '/r', data: 'a' },
      { op: 'create', path: '/s', data: 'b' },
    ],
  };
  refuses(
    [
      operation(0, 9, both, { code: 'OK', seen: [{ version: 0 }, { version: 0 }] }),
      operation(1, 2, get, ok({ version: 0, data: 'a' })),
      operation(3, 4, { op: 'get', path: '/s' }, failed('NO_NODE')),
    ],
    'a multi is seen in part',
  );
  refuses(
    [
      operation(0, 1, both, { code: 'FAILED', error: 'NODE_EXISTS', failed: 1 }),
      operation(2, 3, get, ok({ version: 0, data: 'a' })),
    ],
    'a multi fails without a reason, or leaves a change',
  );
});

t.test('the checker of zxids refuses zxids that go backwards or are not unique', async (t) => {
  const writes = [operation(0, 2, put('a'), ok({ version: 0 }), 5), operation(1, 3, put('b'), ok({ version: 1 }), 6)];
  t.same(zxidProblems(writes), []);
  const read = (zxid: number, data: string, mzxid: number) => ({
    ...operation(4, 5, get, ok({ version: 1, data }), zxid),
    mzxid,
  });
  t.same(zxidProblems([...writes, read(6, 'b', 6)]), []);
  t.match(zxidProblems([...writes, read(5, 'a', 5)]), [/not newer/], 'a later read reflects an older state');
  t.match(zxidProblems([...writes, read(6, 'b', 5)]), [/another mzxid/], "a value has another change's mzxid");
  const twice = [...writes, operation(0, 9, put('c'), ok({ version: 2 }), 6)];
  t.match(zxidProblems(twice), [/given twice/], 'two changes have one zxid');
  const notNewer = [operation(4, 5, get, ok({ version: 0, data: 'x' }), 9), operation(6, 7, put('c'), ok(), 9)];
  t.match(zxidProblems(notNewer), [/not newer/], 'a change has the zxid of a state that was seen before it');
});

t.test('the checker of sequence numbers refuses numbers that repeat or go backwards', async (t) => {
  const create = (start: number, end: number, number: number, zxid = number): SequentialCreate => ({
    start,
    end,
    parent: '/q',
    number,
    zxid,
  });
  t.same(sequenceProblems([create(0, 5, 1), create(1, 2, 0), create(6, 7, 3)]), [], 'gaps are allowed');
  t.match(sequenceProblems([create(0, 1, 1), create(2, 3, 1, 2)]), [/Given twice/]);
  t.match(sequenceProblems([create(0, 1, 1), create(2, 3, 0, 0)]), [/time's order/]);
  t.match(sequenceProblems([create(0, 3, 1, 4), create(0, 3, 2, 3)]), [/order of zxids/]);
  const far = [create(0, 1, 2), create(2, 3, 3), create(4, 5, 1)];
  t.match(sequenceProblems(far), [/time's order/], 'also with other operations in between');
});

interface Run {
  registers: RegisterClient[];
  sequences: SequenceClient[];
  /** The work of each client; settles when all have ended. */
  ended: Promise<unknown>;
}

/** Starts the clients of one round, on registers that only this round uses. */
function startRound(urls: string[], random: Random, round: number): Run {
  const registers = Array.from(
    { length: clientsPerRound },
    (_, n) => new RegisterClient(n, urls, `/lin/${round}`, random.fork(`r${round}-${n}`)),
  );
  const sequences = Array.from(
    { length: 3 },
    (_, n) => new SequenceClient(urls, `/lin/${round}`, random.fork(`s${round}-${n}`)),
  );
  const ended = Promise.all([
    ...registers.map((client) => client.run(stepsPerClient)),
    ...sequences.map((client) => client.run(stepsPerClient)),
  ]);
  return { registers, sequences, ended };
}

/** Checks a round. @returns the number of operations, and of those with an unknown result */
function judge(t: Test, { registers, sequences }: Run, what: string): { operations: number; unknown: number } {
  const operations = registers.flatMap(({ history }) => history);
  const byObject = new Map<string, Operation[]>();
  for (const each of operations) {
    const { path } = each.step.op === 'multi' ? each.step.steps[0]! : each.step;
    const object = path.slice(0, path.lastIndexOf('/'));
    byObject.set(object, [...(byObject.get(object) ?? []), each]);
  }
  for (const [object, history] of byObject) {
    t.equal(linearizabilityProblem(history), undefined, `${what}: ${history.length} operations on ${object}`);
  }
  const creates = sequences.flatMap(({ creates }) => creates);
  t.same(sequenceProblems(creates), [], `${what}: ${creates.length} sequence numbers`);
  // Sequential creates are changes like any other, in the same order.
  const asOperations = sequences.flatMap(({ operations }) => operations);
  t.same(zxidProblems([...operations, ...asOperations]), [], `${what}: zxids`);
  return {
    operations: operations.length + asOperations.length,
    unknown: operations.filter(({ outcome }) => outcome === 'unknown').length,
  };
}

async function startTwoBrokers(t: Test) {
  const { socketPath, redis } = await startTestRedis(t, { appendfsync: 'always' });
  const one = await startTestServer(t, { storeTimeoutMs: 2000 }, { socketPath });
  const two = await startTestServer(t, { storeTimeoutMs: 2000 }, { socketPath });
  const { namespace } = one.broker.store;
  await namespace.writeOne({ op: 'create', path: '/lin' });
  const prepare = async (round: number) => {
    for (const name of ['', '/a', '/b', '/c', '/q', '/qq']) {
      await namespace.writeOne({ op: 'create', path: `/lin/${round}${name}` });
    }
  };
  return { urls: [one.url, two.url], prepare, socketPath, redis, namespace };
}

t.test(`responses of two brokers are linearizable (seed ${seed})`, async (t) => {
  const { urls, prepare } = await startTwoBrokers(t);
  let operations = 0;
  for (let round = 0; round < rounds; round += 1) {
    await prepare(round);
    const run = startRound(urls, randomOf(seed), round);
    await run.ended;
    operations += judge(t, run, `round ${round}`).operations;
  }
  t.comment(`${operations} operations`);
});

t.test(
  `responses are linearizable if Redis hangs for a while, so that results are unknown (seed ${seed})`,
  async (t) => {
    const { urls, prepare, redis, namespace } = await startTwoBrokers(t);
    await prepare(0);
    const run = startRound(urls, randomOf(seed).fork('stopped'), 0);
    t.teardown(() => process.kill(redis.pid, 'SIGCONT'));
    const done = () => run.registers.reduce((sum, { history }) => sum + history.length, 0);
    const unknown = () => run.registers.reduce((sum, client) => sum + client.unknown, 0);
    for (const share of [0.2, 0.6]) {
      await eventually(() => done() > clientsPerRound * stepsPerClient * share, 'part of the operations is done');
      const before = unknown();
      process.kill(redis.pid, 'SIGSTOP');
      await eventually(() => unknown() >= before + 2, 'some changes have an unknown result');
      process.kill(redis.pid, 'SIGCONT');
    }
    await run.ended;
    const { operations } = judge(t, run, 'with stops');
    t.ok(unknown() >= 4, `${unknown()} of ${operations} operations have an unknown result`);
    await checkRetries(t, run, namespace);
  },
);

t.test(`responses are linearizable if Redis is killed and starts in a new epoch (seed ${seed})`, async (t) => {
  const { urls, prepare, redis, socketPath, namespace } = await startTwoBrokers(t);
  await prepare(0);
  const run = startRound(urls, randomOf(seed).fork('killed'), 0);
  const done = () => run.registers.reduce((sum, { history }) => sum + history.length, 0);
  for (const share of [0.2, 0.6]) {
    await eventually(() => done() > clientsPerRound * stepsPerClient * share, 'part of the operations is done');
    const { pid } = redis;
    process.kill(pid, 'SIGKILL');
    await eventually(
      () => redis.pid !== pid && redisCommand(socketPath, ['PING']).catch(() => false),
      'Redis serves again',
    );
  }
  await run.ended;
  judge(t, run, 'with kills');
  const zxids = run.registers.flatMap(({ history }) => history.map(({ zxid }) => zxid ?? 0));
  t.ok(Math.max(...zxids) > 2 ** 32, 'the epoch has risen');
  await checkRetries(t, run, namespace);
});

/** Every create was repeated with its own key until it got a response, so there is exactly one node for each. */
async function checkRetries(
  t: Test,
  { sequences }: Run,
  namespace: { allChildren(path: string): Promise<string[]> },
): Promise<void> {
  for (const parent of ['/lin/0/q', '/lin/0/qq']) {
    const numbers = sequences
      .flatMap(({ creates }) => creates)
      .filter((create) => create.parent === parent)
      .map(({ number }) => number)
      .sort((a, b) => a - b);
    const names = (await namespace.allChildren(parent)).map((name) => Number(name.slice(-10))).sort((a, b) => a - b);
    t.same(names, numbers, `${names.length} nodes below ${parent}, one for each create`);
  }
}

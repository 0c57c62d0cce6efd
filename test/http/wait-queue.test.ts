// The queue for permits: which client is next, which request is refused, and how the weight of work counts.
import t from 'tap';
import { type Permit, WaitQueue, type WaitQueueOptions } from '../../src/http/wait-queue.ts';

/** A queue that records which requests are admitted and refused. */
function queueOf(options: Partial<WaitQueueOptions> & { capacity: number }) {
  const queue = new WaitQueue({ waitingMax: 100, waitMsMax: 3_600_000, ...options });
  const events: string[] = [];
  const permits = new Map<string, Permit>();
  const leaves: (() => void)[] = [];
  return {
    queue,
    events,
    enter(client: string, name: string, weight = 1, isPatient = false, share = 1) {
      const leave = queue.enter(
        client,
        weight,
        {
          admitted: (permit) => {
            permits.set(name, permit);
            events.push(name);
          },
          refused: (reason) => events.push(`${name} ${reason}`),
        },
        { isPatient, share },
      );
      if (leave) leaves.push(leave);
      return leave;
    },
    release(name: string) {
      permits.get(name)!.release();
    },
    leaveAll() {
      for (const leave of leaves) leave();
    },
  };
}

t.test('a client alone may use all permits, and its work is done in order', async (t) => {
  const { enter, release, events, queue, leaveAll } = queueOf({ capacity: 4 });
  t.teardown(leaveAll);
  for (let n = 1; n <= 6; n += 1) enter('a', `a${n}`);
  t.same(events, ['a1', 'a2', 'a3', 'a4']);
  t.equal(queue.waiting, 2);
  release('a2');
  release('a2');
  t.same(events.slice(4), ['a5'], 'a permit is given back once');
});

t.test('a limit on requests in flight holds a client back only while others wait', async (t) => {
  const { enter, release, events, leaveAll } = queueOf({
    capacity: 6,
    inFlightMaxOf: (client) => (client === 'limited' ? 2 : Number.POSITIVE_INFINITY),
  });
  t.teardown(leaveAll);
  for (let n = 1; n <= 8; n += 1) enter('limited', `l${n}`);
  t.equal(events.length, 6, 'it takes all permits while it is alone');
  for (let n = 1; n <= 6; n += 1) enter('other', `o${n}`);
  for (let n = 1; n <= 4; n += 1) release(`l${n}`);
  t.same(events.slice(6), ['o1', 'o2', 'o3', 'o4'], 'it has two in flight, and the other one waits');
  release('l5');
  t.same(events.slice(10), ['l7'], 'below its limit it has its turn');
  for (const name of ['o1', 'o2', 'o3', 'o4']) release(name);
  t.same(events.slice(11), ['o5', 'o6', 'l8'], 'at its limit it gets what the others leave');
});

t.test('a client with a share is next as many times as often as others', async (t) => {
  const { enter, release, events, leaveAll } = queueOf({ capacity: 1, weightMax: Number.POSITIVE_INFINITY });
  t.teardown(leaveAll);
  enter('first', 'begun', 10);
  for (let n = 1; n <= 6; n += 1) enter('often', `o${n}`, 8, false, 4);
  for (let n = 1; n <= 2; n += 1) enter('seldom', `s${n}`, 8);
  for (let n = 0; n < 8; n += 1) release(events.at(-1) ?? '');
  t.same(events.slice(1), ['o1', 's1', 'o2', 'o3', 'o4', 's2', 'o5', 'o6'], 'four for each one of the other');
});

t.test('a client that has had no work done goes before one that has had much', async (t) => {
  const { enter, release, events, leaveAll } = queueOf({ capacity: 4 });
  t.teardown(leaveAll);
  for (let n = 1; n <= 50; n += 1) enter('greedy', `g${n}`);
  enter('b', 'b1');
  enter('b', 'b2');
  enter('c', 'c1');
  for (const name of ['g1', 'g2', 'g3', 'g4']) release(name);
  t.same(events.slice(4).toSorted(), ['b1', 'b2', 'c1', 'g5'], 'the others are served within four permits');
});

t.test('clients that all wait are served in turn', async (t) => {
  const { enter, release, events, leaveAll } = queueOf({ capacity: 1 });
  t.teardown(leaveAll);
  enter('x', 'x0');
  for (const client of ['a', 'b', 'c']) for (let n = 1; n <= 3; n += 1) enter(client, `${client}${n}`);
  for (let n = 0; n < 9; n += 1) release(events.at(-1)!);
  const served = events.slice(1);
  for (let round = 0; round < 3; round += 1) {
    const clients = served.slice(3 * round, 3 * round + 3).map((name) => name[0]);
    t.same(clients.toSorted(), ['a', 'b', 'c'], `round ${round} has each of them once`);
  }
});

t.test('clients get equal weight, not equal numbers of requests', async (t) => {
  const { enter, release, events, leaveAll } = queueOf({ capacity: 40, waitingMax: 1000 });
  t.teardown(leaveAll);
  for (let n = 1; n <= 4; n += 1) enter('x', `x${n}`, 10);
  for (let n = 1; n <= 20; n += 1) enter('large', `l${n}`, 10);
  for (let n = 1; n <= 100; n += 1) enter('small', `s${n}`, 1);
  for (let n = 1; n <= 4; n += 1) release(`x${n}`);
  const large = events.filter((name) => name.startsWith('l')).length * 10;
  const small = events.filter((name) => name.startsWith('s')).length;
  t.equal(large + small, 40, 'all permits are taken');
  t.ok(Math.abs(large - small) <= 10, `and shared: ${large} and ${small}`);
});

t.test('work of any weight gets its turn, alone and behind small work', async (t) => {
  const { enter, release, events, leaveAll } = queueOf({ capacity: 8 });
  t.teardown(leaveAll);
  for (let n = 1; n <= 8; n += 1) enter('a', `a${n}`);
  enter('b', 'b', 1_000_000);
  for (let n = 9; n <= 20; n += 1) enter('a', `a${n}`);
  for (const name of ['a1', 'a2', 'a3']) release(name);
  t.notOk(events.includes('a9'), 'it is waited for');
  release('a4');
  t.ok(events.includes('b'), 'it takes no more than half of all');
});

t.test(
  'when the queue is full, a request of the client with most waiting is refused to make room for a client with fewer',
  async (t) => {
    const { enter, events, queue, leaveAll } = queueOf({ capacity: 1, waitingMax: 4 });
    t.teardown(leaveAll);
    for (let n = 1; n <= 6; n += 1) enter('a', `a${n}`);
    t.same(events, ['a1', 'a6 total'], 'alone it is refused itself');
    enter('b', 'b1');
    t.same(events.at(-1), 'a2 total', 'what has waited longest');
    enter('b', 'b2');
    t.same(events.at(-1), 'a3 total');
    enter('b', 'b3');
    t.same(events.at(-1), 'b3 total', 'and no more than that');
    t.equal(queue.waiting, 4);
  },
);

t.test('a request that waits too long is refused, and one that leaves the queue no longer waits', async (t) => {
  const { enter, release, events, queue } = queueOf({ capacity: 1, waitMsMax: 1 });
  enter('a', 'a1');
  await new Promise<void>((resolve) => {
    queue.enter('b', 1, { admitted: () => t.fail('there is no permit'), refused: () => resolve() });
  });
  const leave = enter('b', 'b2')!;
  leave();
  leave();
  t.equal(queue.waiting, 0);
  release('a1');
  t.equal(queue.used, 0);
  t.same(events, ['a1'], 'nothing is left that could be admitted');
});

t.test('patient work waits without limits, and is never refused to make room', async (t) => {
  const { enter, release, events, leaveAll } = queueOf({ capacity: 1, waitingMax: 0, waitMsMax: 1 });
  t.teardown(leaveAll);
  enter('a', 'a1');
  for (let n = 1; n <= 3; n += 1) enter('a', `p${n}`, 1, true);
  enter('b', 'b1');
  t.same(events.at(-1), 'b1 total');
  for (const name of ['a1', 'p1', 'p2', 'p3']) release(name);
  t.same(events, ['a1', 'b1 total', 'p1', 'p2', 'p3']);
});

t.test('work that ends synchronously releases its permit for all that wait, however many', async (t) => {
  const queue = new WaitQueue({ capacity: 1, waitingMax: 100_000, waitMsMax: 3_600_000 });
  let first: Permit | undefined;
  queue.enter('a', 1, { admitted: (permit) => (first = permit), refused: t.fail });
  let done = 0;
  for (let n = 0; n < 20_000; n += 1) {
    const admitted = (permit: Permit) => {
      done += 1;
      permit.release();
    };
    queue.enter(`client ${n % 5000}`, 1, { admitted, refused: t.fail });
  }
  first!.release();
  t.equal(done, 20_000);
  t.same([queue.used, queue.waiting], [0, 0]);
});

// Which requests may use the capacity that is reserved for renewals and heartbeats.

import t from 'tap';
import { unrestricted } from '../../src/core/actor.ts';
import { ServiceError } from '../../src/core/service-error.ts';
import { ReservedCapacity, sessionHolder } from '../../src/http/reserved-capacity.ts';
import { eventually } from '../../testbed/scope.ts';

const options = {
  capacity: 2,
  waitingMax: 10,
  waitMsMax: 3_600_000,
  unknownMax: 3,
  unknownPerSecond: 0,
  refusal: (reason: string) => new Error(reason),
  onOutcome: () => undefined,
};
const ended = async () => {
  throw new ServiceError('SESSION_EXPIRED', 'gone');
};

t.test('a client that sends unknown handles may use it only for handles that are known to be alive', async (t) => {
  const reserved = new ReservedCapacity(options);
  const good = sessionHolder('good', unrestricted);
  t.ok(reserved.mayUse('a', good));
  await reserved.keep('a', good, async () => undefined);
  for (let n = 0; n < 3; n += 1) {
    t.ok(reserved.mayUse('a', `bad ${n}`));
    await t.rejects(reserved.keep('a', `bad ${n}`, ended));
  }
  t.notOk(reserved.mayUse('a', 'bad 4'));
  t.ok(reserved.mayUse('a', good), 'its own session goes on');
  t.ok(reserved.mayUse('b', 'bad 4'), 'so does another client');
});

t.test(
  'each unknown handle uses up allowance at once, which is returned if the handle is alive or undecided',
  async (t) => {
    const reserved = new ReservedCapacity(options);
    for (const holder of ['1', '2', '3']) t.ok(reserved.mayUse('a', holder));
    t.notOk(reserved.mayUse('a', '4'));
    reserved.found('a', '1');
    reserved.undecided('a', '2');
    t.ok(reserved.mayUse('a', '4'));
    t.ok(reserved.mayUse('a', '5'));
    t.notOk(reserved.mayUse('a', '6'));
    reserved.notFound('1');
    t.notOk(reserved.mayUse('a', '1'), 'one that has ended is unknown again');
  },
);

t.test('the allowance returns over time', async (t) => {
  const reserved = new ReservedCapacity({ ...options, unknownPerSecond: 1_000_000 });
  for (let n = 0; n < 3; n += 1) reserved.mayUse('a', `${n}`);
  t.ok(await eventually(() => reserved.mayUse('a', '4'), 'another may use it'));
});

t.test('permits are released, whether the work succeeds or fails', async (t) => {
  const reserved = new ReservedCapacity(options);
  await Promise.allSettled(Array.from({ length: 6 }, () => reserved.keep('a', 'x', ended)));
  t.same([reserved.queue.used, reserved.queue.waiting], [0, 0]);
});

import { pino } from 'pino';
import t from 'tap';
import { PeriodicTask, retryDelayMs, taskRetryMsMax } from '../../src/broker/periodic-task.ts';
import { ServiceError } from '../../src/core/service-error.ts';
import { eventually } from '../helpers/server.ts';

const log = pino({ level: 'silent' });

t.test('the pauses before a chore is tried again double up to a second, less some chance', async (t) => {
  const pauses = [1, 2, 3, 4, 50].map((failures) => retryDelayMs(200, failures, 0));
  t.same(pauses, [200, 400, 800, taskRetryMsMax, taskRetryMsMax]);
  t.equal(retryDelayMs(5000, 1, 0), taskRetryMsMax, 'what is done seldom is tried again soon');
  t.ok(retryDelayMs(200, 3, 0.999) < 800 && retryDelayMs(200, 3, 0.999) >= 640, 'no two brokers keep in step');
});

t.test('a chore that failed is tried again, even if it is done seldom, and asked for once more', async (t) => {
  let runs = 0;
  const chore = new PeriodicTask(
    'test',
    3_600_000,
    async () => {
      runs += 1;
      if (runs < 3) throw new ServiceError('STORE_UNAVAILABLE', 'It is away.');
    },
    log,
  );
  chore.start();
  await eventually(() => runs === 3, 'it has succeeded');
  chore.trigger();
  await eventually(() => runs === 4, 'it is done at once when asked for');
  await chore.stop();
  t.equal(runs, 4);
});

import { pino } from 'pino';
import t from 'tap';
import { PeriodicTask, pauseMs, retryDelayMs, taskRetryMsMax } from '../../src/broker/periodic-task.ts';
import { ServiceError } from '../../src/core/service-error.ts';
import { eventually } from '../helpers/server.ts';

const log = pino({ level: 'silent' });

t.test('the delay before a failed task is retried doubles up to one second, less a random part', async (t) => {
  const pauses = [1, 2, 3, 4, 50].map((failures) => retryDelayMs(200, failures, 0));
  t.same(pauses, [200, 400, 800, taskRetryMsMax, taskRetryMsMax]);
  t.equal(retryDelayMs(5000, 1, 0), taskRetryMsMax, 'a task with a long interval is retried soon');
  t.ok(
    retryDelayMs(200, 3, 0.999) < 800 && retryDelayMs(200, 3, 0.999) >= 640,
    'the random part keeps brokers from retrying at the same time',
  );
});

t.test(
  'tasks with intervals of a second or more are due at whole seconds, so that one wake-up is enough for them',
  async (t) => {
    t.equal(pauseMs(1000, 300), 700);
    t.equal(pauseMs(1000, 1005), 995);
    t.equal(pauseMs(5000, 1005), 4995);
    t.equal(pauseMs(1000, 2000), 1000);
    t.equal(pauseMs(1000, 1900), 1100, 'a run that took long has a pause, too');
    t.equal(pauseMs(200, 1005), 200, 'short intervals are as they are');
    for (let now = 0; now < 2000; now += 7) {
      const pause = pauseMs(3333, now);
      t.ok(pause >= 3333 / 2 && pause <= 3333 && Math.abs((now + pause) % 1000) < 1e-6, `${pause} ms from ${now}`);
    }
  },
);

t.test('a failed task is retried, even if its interval is long and another run was requested', async (t) => {
  let runs = 0;
  const task = new PeriodicTask(
    'test',
    3_600_000,
    async () => {
      runs += 1;
      if (runs < 3) throw new ServiceError('STORE_UNAVAILABLE', 'It is away.');
    },
    log,
  );
  task.start();
  await eventually(() => runs === 3, 'the task has succeeded');
  task.trigger();
  await eventually(() => runs === 4, 'the task runs at once on request');
  await task.stop();
  t.equal(runs, 4);
});

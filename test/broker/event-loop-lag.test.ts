// The lag of the event loop, in the metrics and for the statistics of the server.
import { setImmediate } from 'node:timers/promises';
import t from 'tap';
import { createMetrics } from '../../src/broker/metrics.ts';
import { eventually } from '../helpers/server.ts';

const names = ['', 'min_', 'max_', 'mean_', 'stddev_', 'p50_', 'p90_', 'p99_'];

function block(ms: number): void {
  for (const until = performance.now() + ms; performance.now() < until; );
}

t.test('a blocked event loop shows in the lag, in metrics until they are scraped', async (t) => {
  const { registry, eventLoopLag } = createMetrics();
  eventLoopLag.start();
  t.teardown(() => eventLoopLag.stop());
  const blockedMs = 400;
  block(blockedMs);
  // The timer was due while the loop was blocked: at most 100 ms after the beginning.
  const max = await eventually(() => eventLoopLag.takeMaxMs() || undefined, 'the lag is measured');
  t.ok(max >= blockedMs - 100, `the largest lag was ${max} ms`);
  const scraped = await registry.metrics();
  const lagIn = (text: string, name: string) =>
    Number(new RegExp(`^nodejs_eventloop_lag_${name}seconds (\\S+)$`, 'm').exec(text)?.[1]);
  for (const name of names) t.ok(lagIn(scraped, name) >= 0, `nodejs_eventloop_lag_${name}seconds`);
  t.ok(lagIn(scraped, 'max_') >= (blockedMs - 100) / 1000);
  t.ok(lagIn(scraped, 'p99_') >= lagIn(scraped, 'p50_'));
});

t.test('what is stopped measures no more', async (t) => {
  const { eventLoopLag } = createMetrics();
  eventLoopLag.start();
  eventLoopLag.stop();
  block(200);
  // A timer that was due would have fired between the two.
  await setImmediate();
  await setImmediate();
  t.equal(eventLoopLag.takeMaxMs(), 0);
});

t.test('the lag has the labels of its process', async (t) => {
  const { registry } = createMetrics({ processLabels: { worker: '7' } });
  const text = await registry.metrics();
  for (const name of names) t.match(text, `nodejs_eventloop_lag_${name}seconds{worker="7"} `);
});

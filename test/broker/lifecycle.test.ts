import { pino } from 'pino';
import t from 'tap';
import { Lifecycle } from '../../src/broker/lifecycle.ts';
import { startServer } from '../../src/server.ts';
import { startTestRedis } from '../helpers/redis.ts';
import { testConfig } from '../helpers/server.ts';

const silent = pino({ level: 'silent' });

/** Parts that record their starts and stops; the part `failing` fails to start. */
function notingParts(calls: string[], names: string[], failing?: string) {
  const part = (name: string) => ({
    start: () => {
      calls.push(`start ${name}`);
      if (name === failing) throw new Error('no');
    },
    stop: () => void calls.push(`stop ${name}`),
  });
  return Object.fromEntries(names.map((name) => [name, part(name)]));
}

t.test('parts stop in the reverse order of their start', async (t) => {
  const calls: string[] = [];
  const lifecycle = new Lifecycle(notingParts(calls, ['a', 'b', 'c']), silent);
  await lifecycle.start((step) => step());
  await lifecycle.stop();
  await lifecycle.stop();
  t.same(calls, ['start a', 'start b', 'start c', 'stop c', 'stop b', 'stop a']);
});

t.test('after a failed start only the parts that began to start are stopped', async (t) => {
  const calls: string[] = [];
  const lifecycle = new Lifecycle(notingParts(calls, ['a', 'b', 'c'], 'b'), silent);
  await t.rejects(
    lifecycle.start((step) => step()),
    { message: 'no' },
  );
  await lifecycle.stop();
  t.same(calls, ['start a', 'start b', 'stop b', 'stop a']);
});

t.test('a retry may run the start of a part again', async (t) => {
  const calls: string[] = [];
  const lifecycle = new Lifecycle(notingParts(calls, ['a', 'b']), silent);
  await lifecycle.start(async (step) => {
    await step();
    await step();
  });
  t.same(calls, ['start a', 'start a', 'start b', 'start b']);
});

t.test('a broker stops its parts in exactly the reverse order of their start', async (t) => {
  const { socketPath } = await startTestRedis(t);
  const lines: string[] = [];
  const log = pino({ level: 'debug' }, { write: (line: string) => void lines.push(line) });
  const server = await startServer(testConfig, { socketPath }, log);
  await server.close();
  const partsOf = (message: string) =>
    lines.map((line) => JSON.parse(line)).flatMap(({ msg, part }) => (msg === message ? [part] : []));
  const started = partsOf('A part of the broker has started');
  t.same(started.slice(-2), ['registration', 'controller'], 'the broker registers last');
  t.same(partsOf('A part of the broker has stopped'), started.toReversed());
});

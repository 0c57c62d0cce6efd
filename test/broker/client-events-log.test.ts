// One client that joins, leaves and opens sessions as fast as it can must not fill the disk of the server with log lines.
import { mock } from 'node:test';
import pino from 'pino';
import t from 'tap';
import { ClientEventsLog } from '../../src/broker/client-events-log.ts';

interface Line {
  msg: string;
  leftOut?: number;
  of?: string;
}

function logOf(level: string) {
  const lines: Line[] = [];
  return { lines, log: pino({ level }, { write: (line: string) => lines.push(JSON.parse(line)) }) };
}

t.test('of many lines with one message the first come, then ten a second, and one that tells the rest', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  t.teardown(() => mock.timers.reset());
  let now = 0;
  const pass = (ms: number) => {
    now += ms;
    mock.timers.tick(ms);
  };
  const { lines, log } = logOf('info');
  const events = new ClientEventsLog(log, () => now);
  for (let i = 0; i < 5000; i += 1) events.info({ i }, 'A client came');
  events.info({}, 'A client went');
  t.equal(lines.filter(({ msg }) => msg === 'A client came').length, 200);
  t.equal(lines.at(-1)?.msg, 'A client went', 'each message has a limit of its own');
  pass(10_000);
  t.match(lines.at(-1), { of: 'A client came', leftOut: 4800 });
  for (let i = 0; i < 5000; i += 1) events.info({ i }, 'A client came');
  t.equal(lines.filter(({ msg }) => msg === 'A client came').length, 300, 'ten for each second that has passed');
  pass(10_000);
  t.equal(lines.at(-1)?.leftOut, 4900);
  pass(100_000);
  t.equal(lines.at(-1)?.leftOut, 4900, 'nothing is told of nothing');
});

t.test('at level debug no line is left out', async (t) => {
  const { lines, log } = logOf('debug');
  const events = new ClientEventsLog(log);
  for (let i = 0; i < 1000; i += 1) events.info({ i }, 'A client came');
  t.equal(lines.length, 1000);
});

import t from 'tap';
import { type LogEntry, readableLine } from '../../src/logging/readable-line.ts';

const time = new Date(2026, 10, 30, 14, 3, 7).getTime();
const base = { time, pid: 1, hostname: 'h' };
const plain = { colour: false, isVerbose: false };
const line = (entry: Partial<LogEntry>) => readableLine({ ...base, level: 30, ...entry }, plain);

t.test('a line has time, level, message, and what the entry names', async (t) => {
  t.equal(
    line({ msg: 'A member joined the group', group: 'g 1', member: 'm', epoch: 4, none: undefined }),
    '14:03:07 A member joined the group group="g 1" member=m epoch=4',
  );
  const levels = [10, 20, 30, 40, 50, 60].map((level) => line({ level, msg: 'x' }).slice(9));
  t.same(levels, ['trace x', 'debug x', 'x', 'WARN x', 'ERROR x', 'FATAL x']);
});

t.test('an error is the end of the message; its trace and objects are for the verbose style', async (t) => {
  const entry = {
    ...base,
    level: 50,
    msg: 'It failed',
    err: { message: 'disk full', stack: 'Error: disk full\n    at f (src/a.ts:1:2)' },
    config: { port: 1 },
    partitions: [1, 2],
  };
  t.equal(readableLine(entry, plain), '14:03:07 ERROR It failed: disk full partitions=[1,2]');
  t.equal(
    readableLine(entry, { colour: false, isVerbose: true }),
    '14:03:07 ERROR It failed: disk full config={"port":1} partitions=[1,2]\n    at f (src/a.ts:1:2)',
  );
});

t.test('what a client chose can neither begin a new line nor command the terminal', async (t) => {
  const text = 'a\n14:03:07 forged\x1b]0;title\x07\x9b2J\u202eb\u2028';
  const shown = line({ msg: text, group: text, [`n${text}`]: 'v', err: { message: text }, list: [text] });
  t.notMatch(shown, /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
  t.match(shown, /a\\n14:03:07 forged\\u001b/);
});

t.test('a long value is cut, and colours are around words only', async (t) => {
  t.match(line({ msg: 'm', text: 'x'.repeat(1000) }), /^14:03:07 m text=x{300}…$/);
  const coloured = readableLine({ ...base, level: 40, msg: 'm', a: 1 }, { colour: true, isVerbose: false });
  t.ok(coloured.includes(' \x1b[33mWARN\x1b[39m m '), coloured);
});

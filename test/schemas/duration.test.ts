import t from 'tap';
import { durationMs as clientDurationMs } from '../../client/src/time.ts';
import { durationBetween, durationMs, negotiatedDuration } from '../../schemas/duration.ts';
import { durationMs as optionMs } from '../../src/cli/values.ts';
import { describeIssues, parseOptions } from '../../src/core/issues.ts';

t.test('durations are numbers of ms, digits, or digits with a unit', async (t) => {
  const examples: [string | number, number][] = [
    [0, 0],
    [1500, 1500],
    ['0', 0],
    ['1500', 1500],
    ['500ms', 500],
    ['10s', 10_000],
    ['5m', 300_000],
    ['1h', 3_600_000],
    ['7d', 604_800_000],
    ['9007199254740991', Number.MAX_SAFE_INTEGER],
  ];
  for (const [input, ms] of examples) t.equal(durationMs.parse(input), ms, JSON.stringify(input));
});

t.test('other texts are refused with a message that says what is allowed', async (t) => {
  const wrong = [-1, 1.5, Number.NaN, 2 ** 53, '', ' 1s', '1 s', '-1s', '1.5s', '1S', '1w', 's', '1s1', 'soon', '1e3'];
  for (const input of [...wrong, '9007199254740992', '104249991375d', null, undefined, true, {}, ['1s']]) {
    const result = durationMs.safeParse(input);
    t.match(result.error?.issues[0]?.message, /^must be a duration such as "500ms"/, JSON.stringify(input));
  }
});

t.test('a refused duration has one statement that says what is wrong', async (t) => {
  const schemas = { durationMs, negotiatedDuration, wait: durationBetween(1000, 300_000, 'must be 1s to 5m') };
  const wrong = ['10y', '', '-1', '104249991375d', '9007199254740992', '6m!', -1, 1.5, 2 ** 53, true, null, {}, ['1s']];
  for (const [name, schema] of Object.entries(schemas)) {
    for (const input of wrong) {
      const shown = describeIssues(schema.safeParse(input, parseOptions).error!);
      t.equal(shown.split('; ').length, 1, `${name}: ${JSON.stringify(input)}: ${shown}`);
    }
  }
  const shown = (input: unknown) => describeIssues(schemas.wait.safeParse(input, parseOptions).error!);
  t.match(shown('6m'), /must be 1s to 5m, not "6m"/);
  t.match(shown('10y'), /must be a duration such as .*, not "10y"/);
});

t.test('a duration that is out of its bounds is shown as it was sent', async (t) => {
  const wait = durationBetween(1000, 300_000, 'must be 1s to 5m');
  const shown = (input: unknown) => describeIssues(wait.safeParse(input, parseOptions).error!);
  t.match(shown('9999999h'), /must be 1s to 5m, not "9999999h"/);
  t.match(shown('6m'), /not "6m"/);
  t.match(shown('999ms'), /not "999ms"/);
  t.match(shown(5), /not 5\b/);
  t.match(shown('104249991375d'), /not "104249991375d"/);
});

t.test('server, client and command line take the same texts, and refuse others in the same words', async (t) => {
  for (const text of ['0', '1500', '500ms', '10s', '5m', '1h', '7d', '9007199254740991']) {
    const ms = durationMs.parse(text);
    t.same([clientDurationMs(text), optionMs(text)], [ms, ms], text);
  }
  for (const text of ['', ' 1s', '-1s', '1.5s', '1S', '1w', 'soon', '1e3', '9007199254740992', '104249991375d']) {
    const words = durationMs.safeParse(text).error?.issues[0]?.message;
    t.throws(() => clientDurationMs(text), { name: 'RangeError', message: `"${text}" ${words}.` }, text);
    t.throws(() => optionMs(text), { message: `It ${words}.` }, text);
  }
  t.same([clientDurationMs(1500), clientDurationMs(0)], [1500, 0]);
  for (const number of [-1, 1.5, Number.NaN, 2 ** 53]) t.throws(() => clientDurationMs(number), RangeError);
});

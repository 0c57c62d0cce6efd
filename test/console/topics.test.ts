// What the console makes of topics: the settings of its form, and the last rates.
import t from 'tap';
import { ValueHistory } from '../../console/src/live/value-history.ts';
import {
  parseSetting,
  type Setting,
  settingChanges,
  settings,
  settingText,
} from '../../console/src/topics/settings.ts';
import { topicResponse } from '../../schemas/topics.ts';

const setting = (name: string) => settings.find((each) => each.name === name) as Setting;

t.test('the form has every setting that topics have', async (t) => {
  const known = Object.keys(topicResponse.shape.config.shape).sort();
  t.same(settings.map(({ name }) => name).sort(), known);
});

t.test('a value is shown in the largest unit that loses nothing', async (t) => {
  t.equal(settingText(setting('retention.ms'), 604_800_000), '7 d');
  t.equal(settingText(setting('retention.ms'), 90_000), '90 s');
  t.equal(settingText(setting('retention.ms'), 1), '1 ms');
  t.equal(settingText(setting('retention.ms'), -1), 'for ever');
  t.equal(settingText(setting('retention.bytes'), 1024 ** 3), '1 GiB');
  t.equal(settingText(setting('retention.bytes'), 1000), '1000 B');
  t.equal(settingText(setting('delete.retention.ms'), 0), '0');
  t.equal(settingText(setting('cleanup.policy'), 'compact'), 'compact');
});

t.test('a value is read as people write it', async (t) => {
  const cases: [name: string, text: string, value: string | number][] = [
    ['retention.ms', '7d', 604_800_000],
    ['retention.ms', '1.5 h', 5_400_000],
    ['retention.ms', '5 m', 300_000],
    ['retention.ms', '5 MIN', 300_000],
    ['retention.ms', '250 ms', 250],
    ['retention.ms', '1000', 1000],
    ['retention.ms', 'For ever', -1],
    ['retention.ms', '-1', -1],
    ['retention.bytes', '1 GiB', 1024 ** 3],
    ['retention.bytes', '10kb', 10_240],
    ['retention.bytes', '3 M', 3 * 1024 ** 2],
    ['min.insync.replicas', ' 2 ', 2],
    ['cleanup.policy', 'compact', 'compact'],
  ];
  for (const [name, text, value] of cases) t.same(parseSetting(setting(name), text), { value }, `${name} ${text}`);
  for (const { name, kind } of settings)
    if (kind !== 'choice') {
      const text = settingText(setting(name), 86_400_000);
      t.same(parseSetting(setting(name), text), { value: 86_400_000 }, 'what is shown can be read');
    }
});

t.test('a text that is no value is refused with examples', async (t) => {
  for (const [name, text] of [
    ['retention.ms', 'soon'],
    ['retention.ms', '-2'],
    ['retention.ms', '1.0001 ms'],
    ['retention.bytes', '5 min'],
    ['min.insync.replicas', '2 s'],
    ['cleanup.policy', 'keep'],
    ['max.message.bytes', 'no limit'],
    ['max.message.bytes', ''],
  ] as const)
    t.match(parseSetting(setting(name), text), { error: new RegExp(name.replaceAll('.', '\\.')) }, text);
});

t.test('only what says something else is a change', async (t) => {
  const current = { 'retention.ms': 604_800_000, 'cleanup.policy': 'delete', 'min.insync.replicas': 1 };
  const texts = new Map([
    ['retention.ms', '168 h'],
    ['cleanup.policy', 'compact'],
    ['min.insync.replicas', 'two'],
    ['retention.bytes', '5'],
  ]);
  const { changes, errors } = settingChanges(current, texts);
  t.match(changes, [{ setting: { name: 'cleanup.policy' }, from: 'delete', to: 'compact' }]);
  t.equal(changes.length, 1);
  t.same([...errors.keys()], ['min.insync.replicas']);
});

t.test('the last values of a bounded number of things are kept', async (t) => {
  const history = new ValueHistory({ pointsMax: 3, keysMax: 2 });
  for (const value of [1, 2, 3, 4]) history.add('a', value);
  t.same(history.of('a'), [2, 3, 4]);
  history.add('b', 1);
  history.add('a', 5);
  history.add('c', 1);
  t.equal(history.size, 2);
  t.same(history.of('b'), [], 'the one that was seen least recently is forgotten');
  t.same(history.of('a'), [3, 4, 5]);
});

// The records of a topic: looked at, searched, followed live, appended, and saved as files.
import t from 'tap';
import { checkPage, openConsole, startBrowser } from '../helpers/browser.ts';
import { createTopic, produce } from '../helpers/groups.ts';
import { eventually, http, startTestServer } from '../helpers/server.ts';

const browser = await startBrowser(t);
const { url } = await startTestServer(t, { brokerId: 1 });
const append = (topic: string, records: object[]) => http(`${url}/v1/topics/${topic}/records`, 'POST', { records });

t.test('a record is appended with the form, appears, and is shown with all that it has', async (t) => {
  await createTopic(url, 'made', 1);
  const shown = await openConsole(t, browser, url, { hash: '#/topics/made' });
  await shown.sees('No records yet');
  await shown.click('button', 'Append a record');
  await shown.fill('Key', 'ann');
  await shown.fill('Value', '{"city": ');
  await shown.sees('This is no JSON');
  await shown.fill('Value', '{"city": "Bern"}');
  await shown.fill('Headers', 'trace: f00');
  await checkPage(t, shown, 'the form for a record');
  await shown.click('button', 'Append');
  await shown.sees('The record is appended');
  await shown.sees('{"city":"Bern"}');
  const { body } = await http(`${url}/v1/topics/made/partitions/0/records`);
  t.match(body.records, [{ key: 'ann', value: { city: 'Bern' }, headers: [['trace', 'f00']] }]);
  await shown.page.click('tr[data-row="0"]');
  await shown.sees('"city": "Bern"');
  await shown.sees('trace');
  await shown.click('button', 'Hex');
  await shown.sees('00000000  7b 22 63');
  await checkPage(t, shown, 'a record');
});

t.test('records that are appended appear, and wait while the user looks at others', async (t) => {
  await createTopic(url, 'live', 2);
  await append(
    'live',
    Array.from({ length: 90 }, (_, i) => ({ value: `old ${i}` })),
  );
  const shown = await openConsole(t, browser, url, { hash: '#/topics/live' });
  await shown.sees('90 records');
  await eventually(async () => {
    await append('live', [{ value: 'hello' }]);
    return (await shown.text()).includes('hello');
  }, 'a new record is shown');
  await shown.page.$eval('.table-frame', (frame) => frame.scrollTo(0, 600));
  await eventually(async () => {
    await append('live', [{ value: 'later' }]);
    return /\d+ new/.test(await shown.text());
  }, 'newer ones wait');
  await shown.seesNo('later');
  await shown.page.click('.new-rows');
  await shown.sees('later');
  await shown.page.click('tr[data-row="0"]');
  await shown.sees('Copy as curl');
  await eventually(async () => {
    await append('live', [{ value: 'behind the open one' }]);
    return /\d+ new/.test(await shown.text());
  }, 'they wait while one is open, too');
  await shown.press('Escape');
  await shown.sees('behind the open one');
  await shown.seesNo('new\n');
  await shown.page.focus('main');
  await shown.press('Space');
  await shown.sees('Paused');
});

t.test('the filters are in the URL', async (t) => {
  await createTopic(url, 'filtered', 2);
  await produce(url, 'filtered', 0, ['a0', 'a1', 'a2']);
  await produce(url, 'filtered', 1, ['b0', 'b1']);
  await append('filtered', [{ key: 'ann', value: 'by ann', partition: 1 }]);
  const shown = await openConsole(t, browser, url, { hash: '#/topics/filtered?key=ann' });
  await shown.sees('by ann');
  await shown.seesNo('a1');
  await shown.go('#/topics/filtered?from=offset&partition=0&offset=1');
  await shown.sees('a2');
  await shown.seesNo('a0');
  await shown.seesNo('b1');
  await shown.go('#/topics/filtered?from=earliest&contains=b');
  await shown.sees('b0');
  await shown.seesNo('a2');
  await shown.fill('Contains', 'nowhere', 'searchbox');
  await shown.sees('No record found');
  t.match(await shown.page.evaluate('location.hash'), /contains=nowhere/);
  await shown.go('#/topics/filtered?from=time');
  await shown.sees('Enter the time');
  await shown.go('#/topics/filtered?from=time&at=1');
  await shown.sees('a0');
  await checkPage(t, shown, 'filters');
});

t.test('more records than a page are loaded on demand', async (t) => {
  await createTopic(url, 'long', 1);
  await append(
    'long',
    Array.from({ length: 250 }, (_, i) => ({ value: i })),
  );
  const shown = await openConsole(t, browser, url, { hash: '#/topics/long' });
  await shown.sees('100 records');
  await shown.click('button', 'Load more');
  await shown.sees('200 records');
  await shown.click('button', 'Load more');
  await shown.sees('250 records');
  await shown.seesNo('Load more');
});

t.test('a fast tail is sampled, says so, and stays small', async (t) => {
  await createTopic(url, 'fast', 2);
  const shown = await openConsole(t, browser, url, { hash: '#/topics/fast' });
  await shown.sees('No records yet');
  const batch = Array.from({ length: 1000 }, (_, i) => ({ key: `k${i}`, value: { i, text: 'x'.repeat(100) } }));
  await eventually(async () => {
    await append('fast', batch);
    return /showing \d+ of [\d,]+\/s, chosen at random/.test(await shown.text());
  }, 'the counter says how many are left out');
  const rows = await shown.page.$$eval('tr[data-row]', (all) => all.length);
  t.ok(rows > 0 && rows < 100, 'only the rows in view are in the document');
  const kept = () => shown.page.$eval('table', (table) => Number(table.getAttribute('aria-rowcount')));
  await eventually(async () => {
    await append('fast', batch);
    return (await kept()) > 300;
  }, 'rows are kept');
  const [text = ''] = /showing \d+ of [\d,]+/.exec(await shown.text()) ?? [];
  const [shownRate = 0, seenRate = 0] = [...text.matchAll(/[\d,]+/g)].map(([digits]) =>
    Number(digits.replace(',', '')),
  );
  t.ok(shownRate <= 220 && seenRate > shownRate, text);
});

t.test('what is shown is saved as NDJSON and as CSV that no spreadsheet calculates', async (t) => {
  await createTopic(url, 'saved', 1);
  await append('saved', [{ key: '=1+1', value: { a: 1 } }]);
  const shown = await openConsole(t, browser, url, { hash: '#/topics/saved' });
  await shown.sees('1 record');
  await shown.page.evaluate(`
    window.saved = [];
    URL.createObjectURL = (blob) => { void blob.text().then((text) => window.saved.push(text)); return 'data:,'; };
    HTMLAnchorElement.prototype.click = () => {};
    undefined`);
  await shown.click('button', 'NDJSON');
  await shown.click('button', 'CSV');
  const files = (await eventually(async () => {
    const saved = (await shown.page.evaluate('window.saved')) as string[];
    return saved.length === 2 && saved;
  }, 'both files are made')) as string[];
  t.match(JSON.parse(files[0] ?? ''), { partition: 0, offset: 0, key: '=1+1', value: { a: 1 } });
  t.match(files[1], /0,0,[^,]+,'=1\+1,/);
});

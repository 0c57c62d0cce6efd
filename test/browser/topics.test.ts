// The pages of topics: the list, and what can be done with one.
import t from 'tap';
import { writePolicy } from '../helpers/access.ts';
import { checkPage, openConsole, startBrowser } from '../helpers/browser.ts';
import { createTopic, produce } from '../helpers/groups.ts';
import { eventually, http, startTestServer } from '../helpers/server.ts';

const browser = await startBrowser(t);
const one = await startTestServer(t, { brokerId: 1 });
const { url } = one;
const topicOf = async (name: string) => (await http(`${url}/v1/topics/${name}`)).body;

t.test('the list says how to begin, makes a topic, and follows what others make', async (t) => {
  const shown = await openConsole(t, browser, url, { hash: '#/topics' });
  await shown.sees('No topics yet');
  await shown.sees('weir topic create clicks');
  await checkPage(t, shown, 'no topics');
  await shown.click('button', 'New topic');
  await shown.fill('Name', 'bad name');
  await shown.sees('Use 1 to 249 of');
  await shown.fill('Name', 'clicks');
  await shown.fill('Keep for', '2 d');
  await checkPage(t, shown, 'a new topic');
  await shown.click('button', 'Create');
  await shown.sees('Topic clicks is created');
  await shown.sees('No records yet');
  const { partitions, config } = await topicOf('clicks');
  t.equal(partitions.length, 3);
  t.equal(config['retention.ms'], 172_800_000);
  await shown.go('#/topics');
  await shown.sees('1 topic');
  await createTopic(url, 'orders', 2);
  await produce(url, 'orders', 0, [1, 2, 3]);
  await shown.sees('2 topics');
  await shown.sees(/orders\s+2\s+3\s/);
  await checkPage(t, shown, 'topics');
  await shown.page.type('input[type="search"]', 'order');
  await shown.seesNo('clicks');
  t.match(await shown.page.evaluate('location.hash'), /find=order/, 'the filter is in the URL');
});

t.test('a refused topic leaves the form open, with the reason', async (t) => {
  const shown = await openConsole(t, browser, url, { hash: '#/topics' });
  await shown.click('button', 'New topic');
  await shown.fill('Name', 'orders');
  await shown.click('button', 'Create');
  await shown.sees('There is a topic with this name');
  await shown.sees('TOPIC_EXISTS');
});

t.test('a changed setting is shown as a difference before it is saved', async (t) => {
  const shown = await openConsole(t, browser, url, { hash: '#/topics/orders?tab=settings' });
  await shown.sees('Nothing is changed.');
  await checkPage(t, shown, 'settings');
  await shown.fill('retention.ms', 'soon');
  await shown.sees('"soon" is no value for retention.ms');
  await shown.fill('retention.ms', '36 h');
  await shown.sees('1 setting changed, not saved yet.');
  await shown.click('button', 'Review and save');
  await shown.sees('retention.ms = 7 d');
  await shown.sees('retention.ms = 36 h');
  await checkPage(t, shown, 'settings that change');
  await shown.click('button', 'Save');
  await shown.sees('1 setting of orders changed');
  t.equal((await topicOf('orders')).config['retention.ms'], 36 * 3_600_000);
  await http(`${url}/v1/topics/orders`, 'PATCH', { config: { 'retention.ms': 60_000 } });
  await eventually(
    () => shown.page.evaluate(`[...document.querySelectorAll('input')].some(({ value }) => value === '1 min')`),
    'what somebody else sets is shown',
  );
});

t.test('partitions are added, records truncated, and the topic deleted by its name', async (t) => {
  await createTopic(url, 'old', 2);
  await produce(url, 'old', 0, [1, 2, 3]);
  const shown = await openConsole(t, browser, url, { hash: '#/topics/old?tab=partitions' });
  await shown.click('button', 'Add partitions');
  await shown.fill('Partitions', '2', 'spinbutton');
  await shown.sees('Enter more than 2.');
  await shown.fill('Partitions', '4', 'spinbutton');
  await shown.click('button', 'Add');
  await shown.sees('old has 4 partitions');
  await checkPage(t, shown, 'partitions');
  await shown.click('button', 'Truncate');
  await shown.fill('Delete records before offset', '2');
  await shown.click('button', 'Delete 2 records');
  await shown.sees('2 records deleted');
  t.equal((await topicOf('old')).partitions[0].logStartOffset, 2);
  await shown.click('button', 'Delete');
  await shown.sees('Delete old?');
  t.equal(await shown.page.$eval('dialog button[type="submit"]', (button) => button.disabled), true);
  await shown.fill('Type old to go on', 'old');
  await shown.click('button', 'Delete the topic');
  await shown.sees('Topic old is deleted');
  t.equal((await http(`${url}/v1/topics/old`)).status, 404);
});

t.test('of 10,000 topics only those in view are in the document', async (t) => {
  const shown = await openConsole(t, browser, url);
  const topics = Array.from({ length: 10_000 }, (_, i) => ({
    name: `topic-${String(i).padStart(5, '0')}`,
    topicId: `id-${i}`,
    partitions: 1,
    records: i,
    bytes: i,
    inPerSec: 0,
    outPerSec: 0,
    groups: [],
  }));
  await shown.page.setRequestInterception(true);
  shown.page.on('request', (request) => {
    const isList = request.url().includes('/v1/topics?view=summary');
    const body = JSON.stringify({ topics });
    void (isList ? request.respond({ contentType: 'application/json', body }) : request.continue());
  });
  await shown.go('#/topics');
  await shown.sees('10,000 topics');
  await shown.sees('topic-00001');
  const rows = () => shown.page.$$eval('tr[data-row]', (all) => all.length);
  t.ok((await rows()) < 100);
  await shown.page.focus('tr[data-row="0"]');
  await shown.press('End');
  await shown.sees('topic-09999');
  t.ok((await rows()) < 100);
  await shown.press('Enter');
  await eventually(() => shown.page.evaluate(`location.hash.endsWith('topic-09999')`), 'Enter opens the topic');
});

t.test('the keys alone make a topic, append a record, look at it, and find the topic again', async (t) => {
  const shown = await openConsole(t, browser, url);
  await shown.sees('Live');
  await shown.press('g', 't');
  await shown.sees('clicks');
  await shown.press('n');
  await shown.page.waitForSelector('dialog[open]');
  await shown.page.keyboard.type('by-keys');
  await shown.press('Enter');
  await shown.sees('No records yet');
  await shown.sees('Append a record');
  await shown.press('n');
  await shown.page.waitForSelector('dialog textarea:focus');
  await shown.press('Tab', 'Tab', 'Tab', 'Tab', 'Enter');
  await shown.sees('The record is appended');
  await shown.page.waitForSelector('tr[data-row="0"]');
  await shown.page.focus('tr[data-row="0"]');
  await shown.press('Enter');
  await shown.sees('Offset 0');
  await shown.press('Escape');
  await shown.seesNo('Copy as curl');
  await shown.press('g', 't');
  // The page of the topic shows its own name, too.
  await shown.sees('clicks');
  await shown.sees('by-keys');
  await shown.press('f');
  await shown.page.keyboard.type('by-k');
  await shown.seesNo('clicks');
  await shown.press('Tab');
});

t.test('a user without the right is told which one is missing', async (t) => {
  const rules = 'allow:\n  - who: reader\n    topics: { "*": [read] }\n';
  const policy = await writePolicy(t, ['reader'], rules);
  const guarded = await startTestServer(t, { accessFile: policy.file });
  const token = policy.tokens.reader?.token ?? '';
  const shown = await openConsole(t, browser, guarded.url, { hash: '#/topics', token });
  await shown.sees('No topics yet');
  await shown.press('n');
  await shown.fill('Name', 'mine');
  await shown.click('button', 'Create');
  await shown.sees('You may not do this');
  await shown.sees('FORBIDDEN');
  await shown.sees('An operator can add the right');
  t.equal((await shown.page.$$('dialog[open]')).length, 1, 'the form is still there');
});

t.test('a console that is read-only offers no changes', async (t) => {
  const other = await startTestServer(t, { brokerId: 2, console: 'read-only' }, one.target);
  const shown = await openConsole(t, browser, other.url, { hash: '#/topics' });
  await shown.sees('orders');
  await shown.seesNo('New topic');
  await shown.go('#/topics/orders?tab=settings');
  await shown.sees('How long records are kept.');
  t.same(await shown.buttons(), []);
});

// The pages of groups: who has what, what has happened, and where a group goes on.
import t from 'tap';
import { checkPage, openConsole, startBrowser } from '../helpers/browser.ts';
import { createTopic, join, produce } from '../helpers/groups.ts';
import { http, startTestServer } from '../helpers/server.ts';

const browser = await startBrowser(t);
const one = await startTestServer(t, { brokerId: 1 });
const { url } = one;
const leave = (group: string, { memberId, memberSecret }: { memberId: string; memberSecret: string }) =>
  http(`${url}/v1/groups/${group}/members/${memberId}`, 'DELETE', undefined, { 'weir-member': memberSecret });

t.test('the list says how a group comes to be, and shows those that are there', async (t) => {
  const shown = await openConsole(t, browser, url, { hash: '#/groups' });
  await shown.sees('No groups yet');
  await shown.sees('weir consume -g billing orders');
  await checkPage(t, shown, 'no groups');
  await createTopic(url, 'orders', 4);
  await produce(url, 'orders', 0, [1, 2, 3]);
  await join(url, 'web', { topics: ['orders'], memberId: 'm1', clientId: 'web-a', reset: 'earliest' });
  await shown.sees('1 group');
  await shown.sees(/web\s+stable\s+1\s+orders\s+3/);
  await checkPage(t, shown, 'groups');
});

t.test('the page of a group shows members, owners and lag, and what happens', async (t) => {
  const shown = await openConsole(t, browser, url, { hash: '#/groups/web' });
  await shown.sees('web-a');
  await shown.sees('m1 joined');
  const owned = () => shown.page.$$eval('td[data-state="owned"]', (all) => all.length);
  t.equal(await owned(), 4);
  await checkPage(t, shown, 'a group');
  const { body: second } = await join(url, 'web', { topics: ['orders'], memberId: 'm2', clientId: 'web-b' });
  await shown.sees('web-b');
  await shown.sees('m2 joined');
  await shown.page.waitForSelector('td[data-state="revoking"]');
  await checkPage(t, shown, 'a rebalance');
  await leave('web', second);
  await shown.sees('m2 is gone');
});

t.test('a group with members is neither reset nor deleted', async (t) => {
  const shown = await openConsole(t, browser, url, { hash: '#/groups/web' });
  await shown.click('button', 'Reset offsets');
  await shown.sees('stop them first');
  await shown.click('button', 'I see');
  await shown.click('button', 'Delete');
  await shown.fill('Type web to go on', 'web');
  await shown.click('button', 'Delete the group');
  await shown.sees('GROUP_NOT_EMPTY');
});

t.test('offsets are reset after they were shown, and a group is deleted by its name', async (t) => {
  const offsets = [{ topic: 'orders', partition: 0, offset: 3 }];
  await http(`${url}/v1/groups/report/offsets`, 'POST', { offsets });
  const shown = await openConsole(t, browser, url, { hash: '#/groups/report' });
  await shown.sees('the group has caught up');
  await shown.click('button', 'Reset offsets');
  await shown.click('button', 'Show what would change');
  await shown.sees('3 again');
  const committed = async () => (await http(`${url}/v1/groups/report/offsets`)).body.offsets[0]?.offset;
  t.equal(await committed(), 3, 'nothing is changed yet');
  await checkPage(t, shown, 'a reset');
  await shown.click('button', 'Reset 1 partition');
  await shown.sees('1 offset of report reset');
  t.equal(await committed(), 0);
  await shown.sees('has been waiting');
  await shown.click('button', 'Delete');
  await shown.fill('Type report to go on', 'report');
  await shown.click('button', 'Delete the group');
  await shown.sees('Group report is deleted');
  t.equal((await http(`${url}/v1/groups/report`)).status, 404);
});

t.test('a group that is not there is said to be so, and read-only offers no changes', async (t) => {
  const other = await startTestServer(t, { brokerId: 2, console: 'read-only' }, one.target);
  const shown = await openConsole(t, browser, other.url, { hash: '#/groups/nobody' });
  await shown.sees('UNKNOWN_GROUP');
  await shown.go('#/groups/web');
  await shown.sees('web-a');
  const sorts = ['Topic', 'Part.', 'Owner', 'Lag', 'Waiting'];
  t.same(await shown.buttons(), sorts, 'only what looks at it');
});

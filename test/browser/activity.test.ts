// What happens on the tree, and the sessions.
import t from 'tap';
import { checkPage, openConsole, startBrowser } from '../helpers/browser.ts';
import { eventually, http, startTestServer } from '../helpers/server.ts';

const browser = await startBrowser(t);
const { url } = await startTestServer(t);

t.test('changes appear as they are made, and are filtered by path and kind', async (t) => {
  await http(`${url}/v1/nodes/seen/before?parents=true`, 'PUT', 'x');
  const shown = await openConsole(t, browser, url, { hash: '#/activity' });
  await shown.sees('/seen/before');
  await checkPage(t, shown, 'activity');
  await http(`${url}/v1/nodes/seen/now`, 'PUT', 'x');
  await shown.sees('/seen/now');
  await http(`${url}/v1/nodes/seen/now`, 'DELETE');
  await shown.click('button', 'Deleted');
  await shown.seesNo('/seen/before');
  await shown.sees('/seen/now');
  await shown.go('#/activity?path=/seen/before');
  await shown.sees('/seen/before');
  await shown.seesNo('/brokers');
});

t.test('a change is pinned, and leads to its node', async (t) => {
  await http(`${url}/v1/nodes/pinned`, 'PUT', 'its data');
  const shown = await openConsole(t, browser, url, { hash: '#/activity' });
  await shown.click('button', 'Pin created /pinned');
  await shown.sees('Unpin all');
  await checkPage(t, shown, 'pinned');
  await shown.page.$$eval('a[href="#/tree/pinned"]', ([first]) => (first as any).click());
  await shown.sees('its data');
});

t.test('a session is opened to its nodes, which lead to the tree', async (t) => {
  const { body } = await http(`${url}/v1/sessions`, 'POST', { ttl: '60s', label: 'opened' });
  await http(`${url}/v1/nodes/held?mode=ephemeral&session=${body.session}`, 'PUT', 'x');
  const shown = await openConsole(t, browser, url, { hash: `#/sessions/${body.id}` });
  await shown.sees('/held');
  await checkPage(t, shown, 'the nodes of a session');
  await http(`${url}/v1/sessions/${body.session}`, 'DELETE');
  await shown.sees('The session has ended, and with it this node');
  await shown.go(`#/sessions/0000000000000000`);
  await shown.sees('The session has ended');
});

t.test('a session shows how long it lives on, and is ended once its id is typed', async (t) => {
  const { id, session } = (await http(`${url}/v1/sessions`, 'POST', { ttl: '1h', label: 'the worker' })).body;
  await http(`${url}/v1/nodes/its-own?mode=ephemeral`, 'PUT', 'x', { 'weir-session': session });
  const shown = await openConsole(t, browser, url, { hash: `#/sessions?find=${id}` });
  await shown.sees('the worker');
  await shown.sees('of 1 h');
  await checkPage(t, shown, 'sessions');
  await shown.click('button', 'End');
  await shown.sees('1 ephemeral node');
  const isDisabled = () => shown.page.$eval('dialog [type="submit"]', (button) => (button as any).disabled);
  t.equal(await isDisabled(), true, 'not before the id is typed');
  await checkPage(t, shown, 'end of a session');
  await shown.fill(`Type ${id} to go on`, id);
  await shown.click('button', 'End the session');
  await shown.sees('The session has ended');
  await eventually(async () => (await http(`${url}/v1/nodes/its-own`)).status === 404, 'its node is gone');
  await shown.sees(`No session matches ${id}`);
});

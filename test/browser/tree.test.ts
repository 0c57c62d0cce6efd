// The tree of the console: it shows what is there and what changes, and changes it itself, never over somebody else's change.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { temporaryFolder } from '../../testbed/scope.ts';
import { checkPage, openConsole, startBrowser } from '../helpers/browser.ts';
import { eventually, http, startTestServer } from '../helpers/server.ts';

const browser = await startBrowser(t);
const { url } = await startTestServer(t);
const put = (path: string, data: string, headers: Record<string, string> = {}) =>
  http(`${url}/v1/nodes${path}?parents=true`, 'PUT', data, { 'content-type': 'text/plain', ...headers });
const read = async (path: string) => (await http(`${url}/v1/nodes${path}`)).body;

t.test('a node is shown with its data and stat, and what changes appears by itself', async (t) => {
  await put('/shop/config', '{"limit":10}', { 'content-type': 'application/json' });
  const shown = await openConsole(t, browser, url, { hash: '#/tree/shop/config' });
  await shown.sees('"limit": 10');
  await shown.sees('never since');
  await checkPage(t, shown, 'tree');
  await put('/shop/config', '{"limit":20}', { 'content-type': 'application/json' });
  await shown.sees('"limit": 20');
  await shown.sees('1 time since');
  await put('/shop/basket', 'x');
  await shown.page.waitForSelector('[role="treeitem"][data-path="/shop/basket"]');
  await http(`${url}/v1/nodes/shop/basket`, 'DELETE');
  await shown.page.waitForSelector('[role="treeitem"][data-path="/shop/basket"]', { hidden: true });
});

t.test('bytes that are no text are shown as hex', async (t) => {
  await http(`${url}/v1/nodes/blob`, 'PUT', new Uint8Array([0, 255, 72, 105]), {
    'content-type': 'application/octet-stream',
  });
  const shown = await openConsole(t, browser, url, { hash: '#/tree/blob' });
  await shown.sees('00 ff 48 69');
  await shown.sees('··Hi');
  await shown.sees('not UTF-8');
});

t.test('a node is created, edited, renamed, duplicated and deleted', async (t) => {
  const shown = await openConsole(t, browser, url, { hash: '#/tree' });
  await shown.click('button', 'Create');
  await shown.fill('Path', '/made/here');
  await shown.fill('Data', 'first');
  await checkPage(t, shown, 'create');
  await shown.click('button', 'Create');
  await eventually(async () => (await read('/made/here')) === 'first', 'the node is there');
  await shown.sees('/made/here is created');
  await shown.click('button', 'Edit');
  await shown.fill('Data', 'second');
  await shown.click('button', 'Save');
  await eventually(async () => (await read('/made/here')) === 'second', 'the node has the new data');
  await shown.click('button', 'More');
  await shown.click('menuitem', 'Duplicate');
  await shown.fill('New path', '/made/again');
  await shown.click('button', 'Duplicate');
  await eventually(async () => (await read('/made/again')) === 'second', 'the copy is there');
  await shown.sees('/made/here is copied');
  await shown.click('button', 'More');
  await shown.click('menuitem', 'Rename');
  await shown.fill('New path', '/made/moved');
  await shown.click('button', 'Rename');
  await eventually(async () => (await read('/made/moved')) === 'second', 'the node has the new path');
  t.equal((await http(`${url}/v1/nodes/made/again`)).status, 404);
  await shown.go('#/tree/made');
  await shown.click('button', 'More');
  await shown.click('menuitem', 'Delete');
  await shown.sees('3 nodes');
  await shown.fill('Type /made to go on', '/made');
  await shown.click('button', 'Delete 3 nodes');
  await eventually(async () => (await http(`${url}/v1/nodes/made`)).status === 404, 'the subtree is gone');
  await shown.sees('/made is deleted');
});

t.test('a subtree is exported, and imported elsewhere after a look at what that would do', async (t) => {
  await put('/saved/inner', 'kept');
  const folder = temporaryFolder(t);
  const shown = await openConsole(t, browser, url, { hash: '#/tree/saved' });
  const client = await shown.page.createCDPSession();
  await client.send('Browser.setDownloadBehavior', { behavior: 'allow', downloadPath: folder });
  await shown.click('button', 'More');
  await shown.click('menuitem', 'Export');
  await checkPage(t, shown, 'export');
  await shown.click('button', 'Export');
  await shown.sees('/saved is exported');
  const file = join(folder, 'saved.ndjson');
  await eventually(async () => existsSync(file), 'the file is there');
  await shown.click('button', 'More');
  await shown.click('menuitem', 'Import');
  const input = await shown.page.$('dialog input[type="file"]');
  await (input as any).uploadFile(file);
  await shown.sees('2 nodes in the file: 0 would be created');
  await shown.fill('Import to', '/restored');
  await shown.sees('2 would be created');
  await checkPage(t, shown, 'import');
  await shown.click('button', 'Import');
  await eventually(async () => (await read('/restored/inner')) === 'kept', 'the nodes are at their new place');
});

t.test('an edit never overwrites what somebody else has written: it shows both sides', async (t) => {
  await put('/contended', 'base');
  const shown = await openConsole(t, browser, url, { hash: '#/tree/contended' });
  await shown.sees('base');
  await shown.click('button', 'Edit');
  await shown.fill('Data', 'mine');
  await put('/contended', 'theirs');
  await shown.sees('Somebody else has set it');
  await shown.click('button', 'Save');
  await shown.sees('Theirs, and what yours would change');
  t.equal(await read('/contended'), 'theirs');
  await checkPage(t, shown, 'conflict');
  await shown.click('button', 'Keep mine');
  await shown.click('button', 'Save');
  await eventually(async () => (await read('/contended')) === 'mine', 'the second save has the new version');
});

t.test('the history of a node shows what each change did, and sets it back', async (t) => {
  await put('/past', 'one');
  await put('/past', 'two');
  const shown = await openConsole(t, browser, url, { hash: '#/tree/past?tab=history' });
  await shown.sees('created');
  await shown.page.$$eval('.history-list button', (all) => (all.at(-1) as any).click());
  await shown.sees('Set it back to this');
  await checkPage(t, shown, 'history');
  await shown.click('button', 'Set it back to this');
  await shown.click('button', 'Set it back');
  await eventually(async () => (await read('/past')) === 'one', 'the node has its first data again');
});

t.test('a node with 100,000 children opens at once, and scrolls to its last one', async (t) => {
  const names = Array.from({ length: 100_000 }, (_, index) => `n${String(index).padStart(6, '0')}`);
  await put('/many', '');
  for (let at = 0; at < names.length; at += 1000) {
    const ops = names.slice(at, at + 1000).map((name) => ({ op: 'create', path: `/many/${name}` }));
    await http(`${url}/v1/multi`, 'POST', { ops });
  }
  t.equal((await http(`${url}/v1/nodes/many?view=stat`)).body.stat.numChildren, names.length);
  const shown = await openConsole(t, browser, url, { hash: '#/tree/many/n099999' });
  await shown.page.waitForSelector('[role="treeitem"][data-path="/many/n099999"][aria-selected="true"]');
  const inDocument = await shown.page.$$eval('[role="treeitem"]', (all) => all.length);
  t.ok(inDocument < 100, `${inDocument} rows are in the document`);
  await put('/many/n099999', 'the last one');
  await shown.sees('the last one');
  await shown.sees('99.5K more');
});

t.test('the tree is used by keyboard alone', async (t) => {
  await put('/keys/inner/leaf', 'found');
  const shown = await openConsole(t, browser, url, { hash: '#/tree' });
  await shown.page.waitForSelector('[role="treeitem"][data-path="/keys"]');
  await shown.page.focus('[role="treeitem"][tabindex="0"]');
  const focused = () => shown.page.evaluate('document.activeElement.dataset.path');
  for (let steps = 0; steps < 40 && (await focused()) !== '/keys'; steps += 1) {
    const before = await focused();
    await shown.press('j');
    await eventually(async () => (await focused()) !== before, 'the next row has the focus');
  }
  t.equal(await focused(), '/keys');
  for (const [path, next] of [
    ['/keys', '/keys/inner'],
    ['/keys/inner', '/keys/inner/leaf'],
  ]) {
    await shown.press('ArrowRight');
    await shown.page.waitForSelector(`[role="treeitem"][data-path="${next}"]`);
    await eventually(async () => (await focused()) === path, 'the focus stays while it opens');
    await shown.press('ArrowRight');
    await eventually(async () => (await focused()) === next, 'the first child has the focus');
  }
  await shown.press('Enter');
  await shown.sees('found');
});

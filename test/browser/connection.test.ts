// What the console does when it loses its server, is not let in, or may change nothing.

import { pino } from 'pino';
import t from 'tap';
import { startServer } from '../../src/server.ts';
import { freePort } from '../../testbed/scope.ts';
import { writePolicy } from '../helpers/access.ts';
import { checkPage, openConsole, startBrowser } from '../helpers/browser.ts';
import { eventually, http, startTestServer, testConfig } from '../helpers/server.ts';

const browser = await startBrowser(t);

t.test('a page lives through a restart of its server, and misses nothing', async (t) => {
  const keeper = await startTestServer(t);
  const port = await freePort();
  const start = () => startServer({ ...testConfig, port }, keeper.target, pino({ level: 'silent' }));
  const first = await start();
  const shown = await openConsole(t, browser, first.url, { hash: '#/tree' });
  await shown.sees('Live');
  await first.close();
  await shown.sees('Reconnecting');
  await checkPage(t, shown, 'reconnecting');
  await http(`${keeper.url}/v1/nodes/meanwhile`, 'PUT', 'x');
  const second = await start();
  t.teardown(() => second.close());
  await shown.sees('Live');
  await shown.page.waitForSelector('[role="treeitem"][data-path="/meanwhile"]');
});

t.test('where access control is on, a token is asked for, and what is refused says why', async (t) => {
  const policy = await writePolicy(
    t,
    ['reader', 'ops'],
    'allow:\n  - who: reader\n    nodes: { "/**": [read] }\n  - who: ops\n    admin: true\n',
  );
  const { url } = await startTestServer(t, { accessFile: policy.file });
  await http(`${url}/v1/nodes/guarded`, 'PUT', 'x', policy.as('ops'));
  const shown = await openConsole(t, browser, url, { hash: '#/tree/guarded' });
  await shown.sees('This cluster has access control');
  await checkPage(t, shown, 'token');
  await shown.fill('Token', 'weir_wrong');
  await shown.click('button', 'Go on');
  await shown.page.waitForSelector('.field-error');
  await shown.fill('Token', policy.tokens.reader!.token);
  await shown.click('button', 'Go on');
  await shown.sees('/guarded');
  await shown.sees('reader');
  await shown.click('button', 'Edit');
  await shown.fill('Data', 'y');
  await shown.click('button', 'Save');
  await shown.sees('You may not do this');
  await shown.sees('reader needs write on node /guarded');
  await checkPage(t, shown, 'refusal');
  await shown.press('Escape');
  await shown.go('#/');
  await shown.sees('reader needs read: [metrics]');
  await shown.click('button', 'Sign out');
  await shown.sees('This cluster has access control');
});

t.test('a token that is revoked under the page is asked for anew, with the reason', async (t) => {
  const rules = 'allow:\n  - who: ops\n    admin: true\n';
  const policy = await writePolicy(t, ['ops'], rules);
  const { url } = await startTestServer(t, { accessFile: policy.file });
  const shown = await openConsole(t, browser, url, { hash: '#/topics', token: policy.tokens.ops?.token ?? '' });
  await shown.sees('No topics yet');
  await policy.change(rules, ['ops']);
  await shown.sees('This cluster has access control');
  await shown.page.waitForSelector('.field-error');
  await policy.change(rules);
  const holds = async () => (await http(`${url}/v1/topics`, 'GET', undefined, policy.as('ops'))).status === 200;
  await eventually(holds, 'the policy was read again');
  await shown.fill('Token', policy.tokens.ops?.token ?? '');
  await shown.click('button', 'Go on');
  await shown.sees('New topic');
});

t.test('a console that only reads offers no change', async (t) => {
  const { url } = await startTestServer(t, { console: 'read-only' });
  await http(`${url}/v1/nodes/kept`, 'PUT', 'x');
  const shown = await openConsole(t, browser, url, { hash: '#/tree/kept' });
  await shown.sees('read-only');
  await shown.sees('never since');
  const buttons = () => shown.page.$$eval('button', (all) => all.map((each) => (each as any).innerText.trim()));
  for (const name of ['Create', 'Edit']) t.notOk((await buttons()).includes(name), `there is no ${name}`);
  await shown.click('button', 'More');
  await shown.sees('Export');
  t.notOk((await buttons()).includes('Delete'), 'there is no Delete');
  await checkPage(t, shown, 'read-only');
});

t.test('with reduced motion nothing moves', async (t) => {
  const { url } = await startTestServer(t);
  const shown = await openConsole(t, browser, url, { isCalm: true });
  await shown.sees('Live');
  const longest = await shown.page.evaluate(`Math.max(...[...document.querySelectorAll('*')].flatMap((element) =>
    ['transitionDuration', 'animationDuration'].map((name) => parseFloat(getComputedStyle(element)[name]))))`);
  t.ok((longest as number) < 0.001, `${longest} s`);
});

t.test('a tab has one socket and one stream, and neither while nobody looks at it', async (t) => {
  const server = await startTestServer(t);
  const shown = await openConsole(t, browser, server.url);
  const open = async () => {
    const { body } = await http(`${server.url}/metrics`);
    const counts = [...(body as string).matchAll(/^weir_(?:stats_streams_open|sockets_open\{.*\}) (\d+)$/gm)];
    return counts.reduce((sum, [, count]) => sum + Number(count), 0);
  };
  const look = (isHidden: boolean) =>
    shown.page.evaluate(`Object.defineProperty(document, 'hidden', { configurable: true, get: () => ${isHidden} });
      document.dispatchEvent(new Event('visibilitychange'))`);
  await shown.sees('Live');
  await eventually(async () => (await open()) === 2, 'a socket and a stream are open');
  await look(true);
  await eventually(async () => (await open()) === 0, 'both are closed');
  await look(false);
  await eventually(async () => (await open()) === 2, 'both are open again');
});

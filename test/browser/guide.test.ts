// The guide, and the page of the API, in a browser.
import t from 'tap';
import { checkPage, openConsole, startBrowser } from '../helpers/browser.ts';
import { eventually, startTestServer } from '../helpers/server.ts';

const browser = await startBrowser(t);
const { url } = await startTestServer(t, { brokerId: 1 });
const open = (path: string) => openConsole(t, browser, url, { path });

t.test('the pages of the guide can be read by everybody, on every screen', async (t) => {
  const shown = await open('/docs/guide/');
  await shown.sees('Concepts');
  await checkPage(t, shown, 'the index of the guide');
  for (const path of ['guide/concepts', 'guide/operations', 'guide/console', 'errors']) {
    await shown.page.goto(`${url}/docs/${path}`);
    await checkPage(t, shown, path);
  }
});

t.test('the search finds a section by its words', async (t) => {
  const shown = await open('/docs/guide/adr/001-one-script-per-operation');
  await shown.press('/');
  await shown.page.keyboard.type('idempotency keys');
  await shown.sees('HTTP rules: Idempotency keys');
  await checkPage(t, shown, 'what was found');
  await shown.press('ArrowDown', 'Enter');
  await eventually(async () => shown.page.url().endsWith('/docs/guide/http#idempotency-keys'), 'the section is shown');
});

t.test('the guide has the colours that were chosen in the console', async (t) => {
  const shown = await open('/docs/guide/');
  await shown.click('button', 'Dark');
  const theme = () => shown.page.evaluate('document.documentElement.dataset.theme');
  t.equal(await theme(), 'dark');
  await shown.page.goto(`${url}/console/`);
  await eventually(async () => (await theme()) === 'dark', 'the console is dark');
  await shown.page.evaluate('localStorage.clear()');
});

t.test('the page of the API has our head, and leads to the guide', async (t) => {
  const shown = await open('/docs');
  await shown.sees('Create a sequential node');
  t.equal(await shown.page.title(), 'Weirkeeper API');
  await shown.page.click('.guide-head nav a');
  await shown.page.waitForSelector('.guide-nav');
});

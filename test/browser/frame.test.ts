// The frame of the console, and its first page.
import t from 'tap';
import { checkPage, openConsole, startBrowser } from '../helpers/browser.ts';
import { eventually, http, startTestServer } from '../helpers/server.ts';

const browser = await startBrowser(t);
const { url } = await startTestServer(t, { brokerId: 7 });

t.test('the overview shows the cluster, live, on wide and narrow screens', async (t) => {
  const shown = await openConsole(t, browser, url);
  await shown.sees('Broker 7');
  await shown.sees('all have a leader');
  await shown.sees('Live');
  await checkPage(t, shown, 'overview');
  await http(`${url}/v1/topics`, 'POST', { name: 'seen', partitions: 1 });
  await http(`${url}/v1/topics/seen/records`, 'POST', { records: Array.from({ length: 500 }, () => ({ value: 'x' })) });
  const plots = () =>
    shown.page.$$eval('[role="img"]', (all) => all.map((each) => each.getAttribute('aria-label') ?? ''));
  await eventually(async () => (await plots()).some((label) => /^Records since/.test(label)), 'there are samples');
});

t.test('the keys find a page, list themselves, and pause', async (t) => {
  const shown = await openConsole(t, browser, url);
  await shown.sees('Live');
  await shown.press('?');
  await shown.sees('pause, or go on');
  await shown.press('Escape');
  await shown.seesNo('pause, or go on');
  await shown.press('Space');
  await shown.sees('Paused');
  await shown.press('Space');
  await shown.sees('Live');
  await shown.page.keyboard.down('Control');
  await shown.press('k');
  await shown.page.keyboard.up('Control');
  await shown.page.waitForSelector('[role="combobox"]');
  await shown.page.keyboard.type('/brokers/');
  await shown.sees('/brokers/ids');
  await checkPage(t, shown, 'palette');
});

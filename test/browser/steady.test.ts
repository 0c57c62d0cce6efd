// What a page costs that stays open: its memory while much happens, and the processor while nothing does. The short form looks
// for some seconds; WEIR_BROWSER_MINUTES=60 npm run test:browser looks for an hour.
import { setTimeout as pause } from 'node:timers/promises';
import type { Page } from 'puppeteer-core';
import t from 'tap';
import { openConsole, startBrowser } from '../helpers/browser.ts';
import { eventually, http, startTestServer } from '../helpers/server.ts';

const minutes = Number(process.env.WEIR_BROWSER_MINUTES ?? 0);
const recordsPerSecond = 500;
const mebi = 1024 * 1024;

t.setTimeout((minutes + 5) * 60_000);

const { url } = await startTestServer(t, { brokerId: 1 });

interface Cost {
  heapBytes: number;
  nodes: number;
  listeners: number;
}

/** What the page holds after everything that it dropped was collected. */
async function costOf(page: Page): Promise<Cost> {
  const session = await page.createCDPSession();
  await session.send('HeapProfiler.collectGarbage');
  await session.detach();
  const { JSHeapUsedSize = 0, Nodes = 0, JSEventListeners = 0 } = await page.metrics();
  return { heapBytes: JSHeapUsedSize, nodes: Nodes, listeners: JSEventListeners };
}

const textOf = ({ heapBytes, nodes, listeners }: Cost) =>
  `${(heapBytes / mebi).toFixed(1)} MiB, ${nodes} nodes, ${listeners} listeners`;

t.test('the memory of pages stays what it is while a topic and the tree are busy', async (t) => {
  // The log is kept short: it is the page that is measured.
  const config = { 'retention.bytes': 4 * mebi };
  await http(`${url}/v1/topics`, 'POST', { name: 'busy', partitions: 2, config });
  // A browser each: a tab behind another one is hidden, and follows nothing.
  const open = async (hash: string) => openConsole(t, await startBrowser(t), url, { hash });
  const pages = {
    tail: await open('#/topics/busy'),
    overview: await open('#/'),
    activity: await open('#/activity'),
  };
  const load = new AbortController();
  let sent = 0;
  const produce = async () => {
    for (let round = 0; !load.signal.aborted; round += 1) {
      const records = Array.from({ length: recordsPerSecond / 5 }, (_, i) => ({
        key: `user-${(sent + i) % 997}`,
        value: { n: sent + i, page: `/articles/${i}`, ms: i * 7, text: 'x'.repeat(80) },
      }));
      await http(`${url}/v1/topics/busy/records`, 'POST', { records });
      await http(`${url}/v1/nodes/busy-${round % 50}`, 'PUT', String(round));
      sent += records.length;
      await pause(200);
    }
  };
  const produced = produce();
  t.teardown(() => load.abort());
  const rows = () =>
    pages.tail.page.evaluate(
      'Number(document.querySelector("table")?.getAttribute("aria-rowcount"))',
    ) as Promise<number>;
  await eventually(async () => (await rows()) > 2000, 'the tail keeps as many records as it ever does', 120_000);
  const costs = async () =>
    Object.fromEntries(
      await Promise.all(Object.entries(pages).map(async ([name, { page }]) => [name, await costOf(page)] as const)),
    );
  const seen: Record<string, Cost>[] = [];
  const look = async () => {
    const now = await costs();
    seen.push(now);
    t.comment(
      `${sent} records: ${Object.entries(now)
        .map(([name, cost]) => `${name} ${textOf(cost)}`)
        .join('; ')}`,
    );
  };
  await look();
  const endsAt = Date.now() + minutes * 60_000;
  do {
    const goal = sent + (minutes > 0 ? recordsPerSecond * 60 : recordsPerSecond * 10);
    await eventually(() => sent >= goal, `${goal} records were sent`, 600_000);
    await look();
  } while (Date.now() < endsAt);
  load.abort();
  await produced;
  for (const name of Object.keys(pages)) {
    // The first minutes of a page fill what it keeps: 900 samples, 5,000 changes.
    const of = (from: number, to: number) => {
      const part = seen.slice(Math.floor(seen.length * from), Math.max(1, Math.ceil(seen.length * to)));
      return part.map((each) => each[name] as Cost);
    };
    const lowest = (part: Cost[], figure: keyof Cost) => Math.min(...part.map((cost) => cost[figure]));
    const [early, late] = minutes > 0 ? [of(0.3, 0.6), of(0.7, 1)] : [of(0, 0.5), of(0.5, 1)];
    for (const [figure, spare] of [
      ['heapBytes', 2 * mebi],
      ['nodes', 500],
      ['listeners', 50],
    ] as const) {
      const [before, after] = [lowest(early, figure), lowest(late, figure)];
      t.ok(after <= before * 1.1 + spare, `${name}: ${figure} ${before}, later ${after}`);
    }
  }
});

/** Events of Chromium's tracing, as far as they are looked at. Times are in microseconds. */
interface TraceEvent {
  name: string;
  pid: number;
  tid: number;
  args: { name?: string };
  /** What the thread has worked; the time on the clock is longer on a busy machine. */
  tdur?: number;
}

t.test('a page that shows what a quiet cluster does takes a few percent of a processor', async (t) => {
  // On a busy machine the same work takes three times as long: only the long run, on a quiet one, has the limit that is promised.
  const [seconds, limit] = minutes > 0 ? [30, 2] : [8, 10];
  const shown = await openConsole(t, await startBrowser(t), url);
  await shown.sees('all have a leader');
  const { page } = shown;
  await eventually(() => page.$$eval('.plot canvas', (all) => all.length === 6), 'the plots are drawn');
  await page.tracing.start({ categories: ['-*', 'toplevel', 'disabled-by-default-devtools.timeline'] });
  await pause(seconds * 1000);
  const trace = Buffer.from((await page.tracing.stop()) ?? []).toString();
  const { traceEvents } = JSON.parse(trace) as { traceEvents: TraceEvent[] };
  const threadOf = ({ pid, tid }: TraceEvent) => `${pid} ${tid}`;
  const threads = new Set(
    traceEvents.filter(({ args, name }) => name === 'thread_name' && args.name === 'CrRendererMain').map(threadOf),
  );
  const tasks = traceEvents.filter((event) => event.name === 'RunTask' && threads.has(threadOf(event)));
  const worked = tasks.reduce((sum, { tdur = 0 }) => sum + tdur, 0) / 1e6;
  const percent = (worked / seconds) * 100;
  t.comment(`${tasks.length} tasks, ${percent.toFixed(2)} % of a processor`);
  t.ok(tasks.length > 0 && worked > 0, 'the trace has the tasks of the page');
  t.ok(percent < limit, `${percent.toFixed(2)} %`);
});

// How long lists with figures take: `npm run bench:summaries`. It creates 10,000 topics with a record each and 200 groups, and lists
// them with view=summary. It prints a Markdown table. `--topics N` sets the number of topics. Creating them takes about a minute.
import { parseArgs } from 'node:util';
import { median, table } from './lib/measure.ts';
import { WeirServer } from './lib/processes.ts';

const groupCount = 200;
const atOnce = 64;
const lists = 20;
/** What a list of all topics may take on an idle machine, ms. */
const goalMs = 200;

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { topics: { type: 'string', default: '10000' } } });
  const topicCount = Number(values.topics);
  const server = await WeirServer.open();
  try {
    const api = `${server.url}/v1`;
    await inParallel(topicCount, async (i) => {
      await send(`${api}/topics`, 'POST', { name: nameOf(i) });
      await send(`${api}/topics/${nameOf(i)}/records`, 'POST', { records: [{ value: i }] });
    });
    await inParallel(groupCount, async (i) => {
      const offsets = Array.from({ length: 50 }, (_, j) => ({
        topic: nameOf((i * 50 + j) % topicCount),
        partition: 0,
        offset: 0,
      }));
      await send(`${api}/groups/group-${i}/offsets`, 'POST', { offsets });
    });
    const rows: string[][] = [];
    for (const path of [`topics?limit=10000`, `topics?limit=10000&view=summary`, 'groups?limit=1000&view=summary']) {
      const first = await timed(`${api}/${path}`);
      const times: number[] = [];
      for (let i = 0; i < lists; i += 1) times.push((await timed(`${api}/${path}`)).ms);
      const shown = [first.ms, median(times), Math.max(...times)].map((ms) => ms.toFixed(0));
      rows.push([`GET /v1/${path}`, `${Math.round(first.bytes / 1024)}`, ...shown]);
    }
    console.log(
      table(`${topicCount} topics, ${groupCount} groups`, ['', 'KiB', 'first, ms', 'median, ms', 'slowest, ms'], rows),
    );
    console.log(`\nGoal: 10,000 topics in less than ${goalMs} ms on an idle machine.`);
  } finally {
    await server.stop();
  }
}

function nameOf(i: number): string {
  return `topic-${String(i).padStart(5, '0')}`;
}

async function inParallel(count: number, act: (i: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await act(next++);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

async function send(url: string, method: string, body: unknown): Promise<void> {
  const response = await fetch(url, {
    method,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${await response.text()}`);
  await response.arrayBuffer();
}

async function timed(url: string): Promise<{ ms: number; bytes: number }> {
  const at = performance.now();
  const response = await fetch(url);
  const { byteLength } = await response.arrayBuffer();
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return { ms: performance.now() - at, bytes: byteLength };
}

await main();

// Measures over HTTP whether pages of children and creates are slower below a parent with very many children.
import { HttpLoad, requestBytes } from '../lib/http-load.ts';
import { median, percent, shown, table } from '../lib/measure.ts';
import type { TreeSite } from '../lib/tree-site.ts';
import { nodeData, type Scale } from '../lib/workload.ts';

const pageSize = 1000;
const pagesPerRound = 50;

const sequentialName = (index: number) => `n-${String(index).padStart(10, '0')}`;

/** @returns Markdown */
export async function measureHugeParent(site: TreeSite, scale: Scale): Promise<string> {
  const single = await HttpLoad.open(site.server.url, 1);
  const busy = await HttpLoad.open(site.server.url, 64);
  const huge = `/v1/nodes${site.parent(0)}`;
  const few = '/v1/nodes/size/few';
  await site.create(['/size/few', ...Array.from({ length: pageSize }, (_, i) => `/size/few/${sequentialName(i)}`)]);
  const rows: string[][] = [];
  const compare = async (what: string, ofFew: () => Promise<number>, ofMany: () => Promise<number>) => {
    const [fewValues, manyValues]: [number[], number[]] = [[], []];
    for (let i = 0; i < scale.rounds; i++) {
      fewValues.push(await ofFew());
      manyValues.push(await ofMany());
    }
    const ratio = median(manyValues.map((value, i) => value / fewValues[i]!));
    rows.push([what, shown(median(fewValues)), shown(median(manyValues)), percent(ratio)]);
  };

  const pageMs = async (path: string, after: string) => {
    const request = requestBytes('GET', `${path}?view=children&limit=${pageSize}${after}`);
    const { latencyUs } = await single.run(() => request, 5000, pagesPerRound);
    return latencyUs.percentile(50) / 1000;
  };
  await pageMs(few, '');
  for (const [place, after] of [
    ['first', ''],
    ['middle', `&after=${sequentialName(scale.nodes / 2)}`],
    ['last', `&after=${sequentialName(scale.nodes - pageSize - 1)}`],
  ] as const) {
    const what = `${place} page of ${pageSize.toLocaleString('en')} names, ms`;
    await compare(
      what,
      () => pageMs(few, ''),
      () => pageMs(huge, after),
    );
  }

  let emptied = 0;
  let created = 0;
  const createUs = async (path: string) => {
    await single.send(requestBytes('PUT', `${path}/first?parents=true`, nodeData));
    const next = () => requestBytes('PUT', `${path}/extra-${++created}`, nodeData);
    return 1e6 / (await busy.run(next, scale.roundMs)).perSecond;
  };
  // Each round begins with an empty parent.
  await compare(
    'create, 64 connections, µs',
    () => createUs(`/v1/nodes/size/empty-${++emptied}`),
    () => createUs(huge),
  );

  const startedAt = performance.now();
  const names = await listAll(site.server.url + huge);
  const listSeconds = (performance.now() - startedAt) / 1000;
  single.close();
  busy.close();
  const [aPage, all] = [pageSize.toLocaleString('en'), scale.nodes.toLocaleString('en')];
  const head = ['', `parent of ${aPage}, or empty`, `parent of ${all}`, 'cost, of that'];
  return [
    table('A parent with very many children, over HTTP', head, rows),
    `All ${names.toLocaleString('en')} names, in pages of ${aPage}: ${shown(listSeconds)} s.\n`,
  ].join('\n');
}

/** Pages through all children. @returns how many there are */
async function listAll(url: string): Promise<number> {
  let count = 0;
  let after = '';
  do {
    const response = await fetch(`${url}?view=children&limit=${pageSize}${after}`);
    const { children, next } = (await response.json()) as { children: string[]; next?: string };
    count += children.length;
    after = next === undefined ? '' : `&after=${encodeURIComponent(next)}`;
  } while (after !== '');
  return count;
}

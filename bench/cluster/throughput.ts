// Whether more brokers answer more: the same load, spread over one, two and three of them.

import { type ClusterSite, json } from '../lib/cluster-site.ts';
import { HttpLoad, type Round, requestBytes } from '../lib/http-load.ts';
import { median, shown, table } from '../lib/measure.ts';

const connections = 48;
const partitions = 6;
const records = { records: Array.from({ length: 100 }, (_, n) => ({ value: `${n}`.padEnd(100, 'x') })) };

export async function measureThroughput(site: ClusterSite): Promise<string[]> {
  const produce = requestBytes('POST', '/v1/topics/log/records', JSON.stringify(records), {
    'content-type': 'application/json',
  });
  const fetchOf = (partition: number) =>
    requestBytes('GET', `/v1/topics/log/partitions/${partition}/records?offset=earliest&maxRecords=500`);
  const fetches = Array.from({ length: partitions }, (_, partition) => fetchOf(partition));
  const rows: string[][] = [];
  const first = new Map<string, number>();
  for (let count = 1; count <= 3; count += 1) {
    await site.startBroker(count);
    if (count === 1) await json(`${site.brokers[0]!.url}/v1/topics`, 'POST', { name: 'log', partitions });
    for (const [what, next] of [
      ['produce 100', () => produce],
      ['fetch 500', () => fetches[Math.floor(Math.random() * partitions)]!],
    ] as const) {
      const { perSecond, cpuShare } = await measure(site, next);
      if (count === 1) first.set(what, perSecond);
      rows.push([
        `${what}, ${count} broker${count === 1 ? '' : 's'}`,
        shown(perSecond),
        shown(perSecond / first.get(what)!),
        shown(cpuShare),
      ]);
    }
  }
  const head = ['', 'requests/s', 'of one broker', 'cores that the brokers used'];
  return [table(`Throughput, ${connections} connections spread over the brokers`, head, rows)];
}

async function measure(site: ClusterSite, next: () => Buffer): Promise<{ perSecond: number; cpuShare: number }> {
  const { rounds, roundMs } = site.scale;
  const each = Math.floor(connections / site.brokers.length);
  const loads = await Promise.all(site.brokers.map(({ url }) => HttpLoad.open(url, each)));
  const all = async (ms: number): Promise<Round[]> => Promise.all(loads.map((load) => load.run(next, ms)));
  const cpuUs = () => site.brokers.reduce((sum, broker) => sum + (broker.cpuUs ?? Number.NaN), 0);
  await all(roundMs);
  const rates: number[] = [];
  const [cpuBefore, startedAt] = [cpuUs(), performance.now()];
  for (let round = 0; round < rounds; round += 1) {
    rates.push((await all(roundMs)).reduce((sum, { perSecond }) => sum + perSecond, 0));
  }
  const cpuShare = (cpuUs() - cpuBefore) / 1000 / (performance.now() - startedAt);
  for (const load of loads) load.close();
  return { perSecond: median(rates), cpuShare };
}

// How long it takes until a group is stable again when a member joins, leaves, or dies.
import type { BenchMember, GroupSite } from '../lib/group-site.ts';
import { median, shown, table } from '../lib/measure.ts';

const sessionTimeoutMs = 1000;

export async function measureRebalance(site: GroupSite): Promise<string[]> {
  const rows: string[][] = [];
  for (const size of [3, 30, 300]) rows.push(await measure(site, size));
  const title = `From a change to a stable group, ms; members on sockets, two partitions each`;
  return [table(title, ['members', 'all join', 'one joins', 'one leaves', 'one dies, after its session'], rows)];
}

async function measure(site: GroupSite, size: number): Promise<string[]> {
  const name = `rebalance-${size}`;
  await site.createTopic(name, 2 * size);
  const startedAt = performance.now();
  const members: BenchMember[] = [];
  // As many at once as a fleet that starts would.
  for (let i = 0; i < size; i += 50) {
    const some = Array.from({ length: Math.min(50, size - i) }, (_, n) => site.join(name, name, `&memberId=m${i + n}`));
    members.push(...(await Promise.all(some)));
  }
  const allMs = (await site.stable(name, size)) - startedAt;
  const joins: number[] = [];
  const leaves: number[] = [];
  const deaths: number[] = [];
  for (let round = 0; round < site.scale.rounds; round += 1) {
    let at = performance.now();
    const one = await site.join(name, name, '&memberId=one');
    joins.push((await site.stable(name, size + 1)) - at);
    at = performance.now();
    one.ws.send('{"type":"leave"}');
    leaves.push((await site.stable(name, size)) - at);
    const mortal = await site.join(name, name, `&memberId=mortal&sessionTimeout=${sessionTimeoutMs}`);
    await site.stable(name, size + 1);
    at = performance.now();
    mortal.ws.terminate();
    deaths.push((await site.stable(name, size)) - at - sessionTimeoutMs);
  }
  for (const { ws } of members) ws.terminate();
  return [String(size), shown(allMs), ...[joins, leaves, deaths].map((times) => shown(median(times)))];
}

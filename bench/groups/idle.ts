// What groups cost that do nothing: each has a member on a socket, which answers pings.

import { redisMemory } from '../lib/group-memory.ts';
import { type GroupSite, pause } from '../lib/group-site.ts';
import { shown, table } from '../lib/measure.ts';

export async function measureIdle(site: GroupSite): Promise<string[]> {
  const count = 1000;
  const ms = site.scale.quick ? 6000 : 20_000;
  await site.createTopic('idle', 1);
  const before = await costs(site, ms);
  for (let i = 0; i < count; i += 50) {
    await Promise.all(Array.from({ length: 50 }, (_, n) => site.join(`idle-${i + n}`, 'idle', '&memberId=m')));
  }
  const after = await costs(site, ms);
  const row = (name: string, of: (costs: Costs) => number) => [
    name,
    shown(of(before)),
    shown(of(after)),
    shown(((of(after) - of(before)) * 1000) / count),
  ];
  return [
    table(
      `${count.toLocaleString('en')} idle groups of one member, heartbeats every 5 s`,
      ['', 'without', 'with', 'a thousand'],
      [
        row('server, % of a core', ({ serverShare }) => serverShare * 100),
        row('Redis, % of a core', ({ redisShare }) => redisShare * 100),
        row('server heap, MB', ({ heap }) => heap / 1e6),
        row('Redis, MB', ({ redis }) => redis / 1e6),
      ],
    ),
  ];
}

interface Costs {
  serverShare: number;
  redisShare: number;
  heap: number;
  redis: number;
}

async function costs({ server }: GroupSite, ms: number): Promise<Costs> {
  const [serverUs, redisUs] = [server.cpuUs ?? Number.NaN, server.redisCpuUs ?? Number.NaN];
  await pause(ms);
  const share = (us: number) => us / (ms * 1000);
  return {
    serverShare: share((server.cpuUs ?? Number.NaN) - serverUs),
    redisShare: share((server.redisCpuUs ?? Number.NaN) - redisUs),
    heap: (await server.memory()).heapUsed,
    redis: await redisMemory(server.socketPath),
  };
}

// Measures the CPU time and memory of idle groups: empty groups, and groups with a member on a socket that replies to pings.

import { type GroupSite, pause } from '../lib/group-site.ts';
import { shown, table } from '../lib/measure.ts';
import { redisCommands, redisMemory } from '../lib/redis-account.ts';

export async function measureIdle(site: GroupSite): Promise<string[]> {
  const count = 1000;
  const ms = site.scale.quick ? 6000 : 20_000;
  await site.createTopic('idle', 1);
  const before = await costs(site, ms);
  await each(count, async (n) => {
    const members = `/v1/groups/empty-${n}/members`;
    await site.ask('POST', members, { topics: ['idle'], memberId: 'm' });
    await site.ask('DELETE', `${members}/m`);
  });
  // Work done once when a group becomes empty is not part of the cost of an empty group.
  await untilQuiet(site);
  const empty = await costs(site, ms);
  await each(count, (n) => site.join(`idle-${n}`, 'idle', '&memberId=m'));
  const after = await costs(site, ms);
  const row = (name: string, of: (costs: Costs) => number) => [
    name,
    shown(of(before)),
    shown(of(empty) - of(before)),
    shown(of(after) - of(empty)),
  ];
  return [
    table(
      `What ${count.toLocaleString('en')} groups cost; a member is on a socket and gives a sign of life every 5 s`,
      ['', 'no groups', 'more for empty ones', 'more for those of one member'],
      [
        row('server, % of a core', ({ serverShare }) => serverShare * 100),
        row('Redis, % of a core', ({ redisShare }) => redisShare * 100),
        row('Redis commands/s, those in scripts, too', ({ commands }) => commands),
        row('server heap, MB', ({ heap }) => heap / 1e6),
        row('Redis, MB', ({ redis }) => redis / 1e6),
      ],
    ),
  ];
}

/** Waits until the store has been almost idle for a second. */
async function untilQuiet({ server }: GroupSite): Promise<void> {
  for (let before = await redisCommands(server.socketPath); ; ) {
    await pause(1000);
    const now = await redisCommands(server.socketPath);
    if (now - before < 200) return;
    before = now;
  }
}

async function each(count: number, make: (n: number) => Promise<unknown>): Promise<void> {
  for (let i = 0; i < count; i += 50) await Promise.all(Array.from({ length: 50 }, (_, n) => make(i + n)));
}

interface Costs {
  serverShare: number;
  redisShare: number;
  /** A second. */
  commands: number;
  heap: number;
  redis: number;
}

async function costs({ server }: GroupSite, ms: number): Promise<Costs> {
  const [serverUs, redisUs] = [server.cpuUs ?? Number.NaN, server.redisCpuUs ?? Number.NaN];
  const commands = await redisCommands(server.socketPath);
  await pause(ms);
  const done = (await redisCommands(server.socketPath)) - commands;
  const share = (us: number) => us / (ms * 1000);
  return {
    serverShare: share((server.cpuUs ?? Number.NaN) - serverUs),
    redisShare: share((server.redisCpuUs ?? Number.NaN) - redisUs),
    commands: (done * 1000) / ms,
    heap: (await server.memory()).heapUsed,
    redis: await redisMemory(server.socketPath),
  };
}

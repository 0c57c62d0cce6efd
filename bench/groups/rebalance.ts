// Measures the time until a group is stable again after members join, leave or die.
import { type GroupSite, pause } from '../lib/group-site.ts';
import { median, shown, table } from '../lib/measure.ts';

const sessionTimeoutMs = 2000;
/** How many members join at the same time, as when a fleet starts. */
const atOnce = 50;

/** A member on a socket or over HTTP. It releases revoked partitions at once. */
interface Member {
  leave(): Promise<void>;
  /** Ends the member without leaving, as a killed process would. */
  die(): void;
}

interface Kind {
  name: string;
  sizes: readonly number[];
  join(site: GroupSite, group: string, memberId: string, sessionTimeout: string): Promise<Member>;
}

const sockets: Kind = {
  name: 'sockets',
  sizes: [3, 30, 300, 1000],
  join: async (site, group, memberId, sessionTimeout) => {
    const query = `&memberId=${memberId}&sessionTimeout=${sessionTimeout}`;
    const { ws } = await site.join(group, group, query);
    return { leave: async () => ws.send('{"type":"leave"}'), die: () => ws.terminate() };
  },
};

/** Members over HTTP get changes with a heartbeat. Ten per second, so that the interval does not dominate the result. */
const http: Kind = {
  name: 'HTTP',
  sizes: [3, 30, 300],
  join: async (site, group, memberId, sessionTimeout) => {
    const members = `/v1/groups/${group}/members`;
    let member = await site.ask<MatchedEvents>('POST', members, { topics: [group], memberId, sessionTimeout });
    let isOver = false;
    const beat = async () => {
      while (!isOver) {
        const { memberEpoch, assignment: owned } = member;
        const heartbeat = site.ask<MatchedEvents>('POST', `${members}/${memberId}/heartbeat`, { memberEpoch, owned });
        // After a leave, a heartbeat that is in flight fails with UNKNOWN_MEMBER.
        member = await heartbeat.catch((error) => {
          if (isOver) return member;
          throw error;
        });
        await pause(100);
      }
    };
    const beating = beat();
    const die = () => {
      isOver = true;
    };
    const leave = async () => {
      die();
      await beating;
      await site.ask('DELETE', `${members}/${memberId}`);
    };
    return { leave, die };
  },
};

interface MatchedEvents {
  memberEpoch: number;
  assignment: { topic: string; partitions: number[] }[];
}

export async function measureRebalance(site: GroupSite): Promise<string[]> {
  const rows: string[][] = [];
  for (const kind of [sockets, http]) for (const size of kind.sizes) rows.push(await measure(site, kind, size));
  const title = 'From a change to a stable group, ms; two partitions each';
  const changes = [
    'all join',
    'one joins',
    'one leaves',
    'one dies',
    'a third leaves',
    'a third joins',
    'a third dies',
  ];
  return [table(`${title}; a death from the end of its session`, ['members', ...changes], rows)];
}

async function measure(site: GroupSite, kind: Kind, size: number): Promise<string[]> {
  const name = `rebalance-${kind.name.toLowerCase()}-${size}`;
  await site.createTopic(name, 2 * size);
  const timed = async (members: number, change: () => Promise<unknown>) => {
    const at = performance.now();
    await change();
    return (await site.stable(name, members)) - at;
  };
  const joinAll = async (prefix: string, count: number, sessionTimeout = '30s') => {
    const joined: Member[] = [];
    for (let i = 0; i < count; i += atOnce) {
      const some = Array.from({ length: Math.min(atOnce, count - i) }, (_, n) =>
        kind.join(site, name, `${prefix}${i + n}`, sessionTimeout),
      );
      joined.push(...(await Promise.all(some)));
    }
    return joined;
  };
  const members: Member[] = [];
  const allMs = await timed(size, async () => members.push(...(await joinAll('m', size))));
  const joins: number[] = [];
  const leaves: number[] = [];
  const deaths: number[] = [];
  for (let round = 0; round < site.scale.rounds; round += 1) {
    const some: Member[] = [];
    joins.push(await timed(size + 1, async () => some.push(...(await joinAll('one', 1)))));
    leaves.push(await timed(size, () => some[0]!.leave()));
    const [mortal] = await joinAll('mortal', 1, `${sessionTimeoutMs}ms`);
    await site.stable(name, size + 1);
    deaths.push((await timed(size, async () => mortal!.die())) - sessionTimeoutMs);
  }
  const third = Math.ceil(size / 3);
  const left = members.splice(0, third);
  const leftMs = await timed(size - third, () => Promise.all(left.map((member) => member.leave())));
  const mortals: Member[] = [];
  const joinedMs = await timed(size, async () => {
    mortals.push(...(await joinAll('third', third, `${sessionTimeoutMs}ms`)));
  });
  const diedMs = await timed(size - third, async () => {
    for (const member of mortals) member.die();
  });
  for (const member of members) member.die();
  const medians = [joins, leaves, deaths].map((times) => median(times));
  return [`${size}, ${kind.name}`, ...[allMs, ...medians, leftMs, joinedMs, diedMs - sessionTimeoutMs].map(shown)];
}

// Leader election: the candidate that came first leads, until it resigns or its session ends.
import type { CallOptions } from '../tree.ts';
import { allChildren, type Hold, hold, ifFree, type On, placeInTurn, sessionOf, type Waiting } from './place.ts';

/** A leader as others see it. */
export interface Leader {
  value: string;
  token: number;
}

/** The leadership of this client. */
export interface Leadership extends Omit<Hold, 'release'> {
  /** Lets the next candidate lead. */
  resign(): Promise<void>;
}

export interface Election {
  /** Waits until this candidate leads. Append with `fence: \`name=${token}\`` from then on, and stop when `signal` is aborted. */
  campaign(options?: CallOptions): Promise<Leadership>;
  /** Leads at once if nobody else leads or waits to; else undefined. */
  tryCampaign(options?: CallOptions): Promise<Leadership | undefined>;
  /** Who leads now; undefined if nobody does. */
  leader(options?: CallOptions): Promise<Leader | undefined>;
  /** The leader now, and each time that it changes. */
  observe(options?: { signal?: AbortSignal }): AsyncGenerator<Leader | undefined, void, undefined>;
}

/** @param value what others read of the leader, such as its address */
export function election(on: On, name: string, { value = '' }: { value?: string } = {}): Election {
  const root = `/elections/${name}`;
  const leader = async (): Promise<Leader | undefined> => {
    const { tree } = await sessionOf(on);
    if (!(await tree.exists(root))) return undefined;
    const [first] = await allChildren(await sessionOf(on), root);
    if (first === undefined) return undefined;
    const node = await tree.get(`${root}/${first}`);
    // It has resigned since the list was read: the next one leads.
    return node ? { value: node.text, token: node.stat.czxid } : leader();
  };
  const lead = async (waiting: Waiting): Promise<Leadership> => {
    const { release, ...held } = await hold(on, waiting.signal, (session) =>
      placeInTurn(session, root, 'candidate-', value, '', waiting),
    );
    return { ...held, resign: release };
  };
  return {
    campaign: ({ signal } = {}) => lead({ signal }),
    tryCampaign: ({ signal } = {}) => ifFree(lead({ signal, waits: false })),
    leader,
    observe: async function* ({ signal } = {}) {
      const session = await sessionOf(on, signal);
      const watch = session.watch(root, { mode: 'recursive', onCompacted: 'resync', ...(signal && { signal }) });
      try {
        await watch.started;
        for (let last: Leader | undefined | null = null; ; ) {
          const now = await leader();
          if (last === null || now?.token !== last?.token) yield now;
          last = now;
          if ((await watch.next()).done) return;
        }
      } finally {
        await watch.return();
      }
    },
  };
}

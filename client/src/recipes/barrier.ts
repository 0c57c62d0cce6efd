// Barriers: all wait until somebody lifts one, or until enough have come.
import { isWeirError } from '../errors.ts';
import type { CallOptions } from '../tree.ts';
import { allChildren, type On, sessionOf } from './place.ts';

/** A barrier is there as long as its node is. */
export interface Barrier {
  set(): Promise<void>;
  lift(): Promise<void>;
  /** Waits until it is lifted, also if it is set again at once. */
  wait(options?: CallOptions): Promise<void>;
}

/** All wait until somebody lifts it. */
export function barrier(on: On, name: string): Barrier {
  const path = `/barriers/${name}`;
  return {
    set: async () => {
      const { tree } = await sessionOf(on);
      await tree.create(path, '', { parents: true }).catch(unless('NODE_EXISTS'));
    },
    lift: async () => {
      const { tree } = await sessionOf(on);
      await tree.remove(path).catch(unless('NO_NODE'));
    },
    wait: async ({ signal } = {}) => {
      const { tree } = await sessionOf(on, signal);
      const set = await tree.stat(path);
      if (!set) return;
      // This very barrier: one that is set again afterwards is another.
      await tree.waitFor(path, { until: (node) => node?.stat.czxid !== set.czxid, ...(signal && { signal }) });
    },
  };
}

/** Members begin together and end together. A name is for one use. */
export interface DoubleBarrier {
  /** Waits until `count` members are there. */
  enter(options?: CallOptions): Promise<void>;
  /** Waits until all are done. */
  leave(options?: CallOptions): Promise<void>;
}

/** @param member the name of this member */
export function doubleBarrier(on: On, name: string, count: number, member: string): DoubleBarrier {
  if (!(count >= 1)) throw new RangeError(`A barrier of ${count} members would hold nobody up; it needs at least 1.`);
  const root = `/double-barriers/${name}`;
  const members = `${root}/members`;
  return {
    enter: async ({ signal } = {}) => {
      const session = await sessionOf(on, signal);
      const { tree } = session;
      await tree.create(`${members}/${member}`, '', { mode: 'ephemeral', parents: true });
      if ((await allChildren(session, members)).length >= count) {
        await tree.create(`${root}/ready`).catch(unless('NODE_EXISTS'));
      }
      // Not for the number: a quick member may be gone before a slow one has counted.
      await tree.waitFor(`${root}/ready`, signal && { signal });
    },
    leave: async ({ signal } = {}) => {
      const session = await sessionOf(on, signal);
      const { tree } = session;
      for (;;) {
        const names = await allChildren(session, members);
        const [first] = names;
        const last = names.at(-1);
        if (first === undefined) return;
        if (first === member && last !== member) {
          // The first stays until it is the only one: each change wakes one member.
          await tree.waitFor(`${members}/${last}`, { until: 'gone', ...(signal && { signal }) });
          continue;
        }
        await tree.remove(`${members}/${member}`).catch(unless('NO_NODE'));
        if (first === member) return;
        await tree.waitFor(`${members}/${first}`, { until: 'gone', ...(signal && { signal }) });
      }
    },
  };
}

function unless(code: 'NODE_EXISTS' | 'NO_NODE'): (error: unknown) => void {
  return (error) => {
    if (!isWeirError(error, code)) throw error;
  };
}

// Locks: one holder at a time, readers together or one writer, and at most so many.
import { isWeirError } from '../errors.ts';
import type { CallOptions } from '../tree.ts';
import {
  allChildren,
  during,
  type Hold,
  hold,
  ifFree,
  leavePlace,
  NotFree,
  type On,
  type Place,
  placeInTurn,
  placeLost,
  type Waiting,
} from './place.ts';

/** Something that is acquired, held and released. */
export interface Acquirable {
  /** Waits for it. */
  acquire(options?: CallOptions): Promise<Hold>;
  /** Takes it if it is free; undefined if somebody else holds it or waits for it. */
  tryAcquire(options?: CallOptions): Promise<Hold | undefined>;
  /** Holds it while `work` runs: `with(async ({ token, signal }) => …)`. Stop when `signal` is aborted. */
  with<T>(work: (held: Hold) => Promise<T> | T, options?: CallOptions): Promise<T>;
}

function acquirable(acquire: (waiting: Waiting) => Promise<Hold>): Acquirable {
  return {
    acquire: ({ signal } = {}) => acquire({ signal }),
    tryAcquire: ({ signal } = {}) => ifFree(acquire({ signal, waits: false })),
    with: (work, { signal } = {}) => during(acquire({ signal }), work),
  };
}

/** One holder at a time, in the order in which they came. */
export function lock(on: On, name: string): Acquirable {
  return acquirable((waiting) =>
    hold(on, waiting.signal, (session) => placeInTurn(session, `/locks/${name}`, 'lock-', undefined, '', waiting)),
  );
}

/** Readers together, or one writer alone. Who came first goes first. */
export function rwLock(on: On, name: string): { read: Acquirable; write: Acquirable } {
  const side = (prefix: string, waitsFor: string) =>
    acquirable((waiting) =>
      hold(on, waiting.signal, (session) =>
        placeInTurn(session, `/rw-locks/${name}`, prefix, undefined, waitsFor, waiting),
      ),
    );
  return { read: side('read-', 'write-'), write: side('write-', '') };
}

/** At most `permits` holders at a time; all must name the same number. @throws RangeError if it is none from 1 on */
export function semaphore(on: On, name: string, permits: number): Acquirable {
  if (!(permits >= 1))
    throw new RangeError(`A semaphore with ${permits} permits would let nobody in; it needs at least 1.`);
  const root = `/semaphores/${name}`;
  return acquirable(({ signal, waits = true }) =>
    hold(on, signal, async (session): Promise<Place> => {
      const { tree } = session;
      await tree.create(`${root}/leases`, '', { parents: true }).catch((error: unknown) => {
        if (!isWeirError(error, 'NODE_EXISTS')) throw error;
      });
      // Only the first of the queue takes leases, so their number can only fall while it looks.
      const place = await placeInTurn(session, `${root}/queue`, 'place-', undefined, '', { signal, waits });
      const watch = session.watch(`${root}/leases`, {
        mode: 'children',
        onCompacted: 'resync',
        ...(signal && { signal }),
      });
      try {
        await watch.started;
        while ((await allChildren(session, `${root}/leases`)).length >= permits) {
          if (!waits) throw new NotFree();
          if ((await watch.next()).done) signal?.throwIfAborted();
        }
        const { results } = await tree
          .multi()
          .remove(place.path)
          .create(`${root}/leases/lease-`, '', { mode: 'ephemeral', sequential: true })
          .commit();
        const lease = results[1];
        if (!lease?.stat) throw placeLost(place.path);
        return {
          session,
          path: lease.path,
          name: lease.path.slice(lease.path.lastIndexOf('/') + 1),
          token: lease.stat.czxid,
        };
      } catch (error) {
        await leavePlace(place);
        throw isWeirError(error, 'NO_NODE') ? placeLost(place.path) : error;
      } finally {
        await watch.return();
      }
    }),
  );
}

// A queue of items, each processed by one worker at a time, and none lost when a worker dies.
import { isWeirError } from '../errors.ts';
import type { DataInput, TreeNode } from '../node-data.ts';
import type { CallOptions } from '../tree.ts';
import { allChildren, ifFree, NotFree, type On, sessionOf, type Waiting } from './place.ts';

/** An item that this worker has claimed. */
export interface QueueItem {
  node: TreeNode;
  /** The node of the claim. */
  claim: string;
  /** The czxid of the claim: the fencing token of its worker. */
  token: number;
  /** The item is done: deletes it. @throws WeirError if the claim was lost, so that another worker has it */
  done(): Promise<void>;
  /** Gives it back to the other workers. */
  release(): Promise<void>;
}

export interface Queue {
  /** Appends items, all or none. */
  put(...items: DataInput[]): Promise<void>;
  /** Waits for an item, and claims it. The claim ends with the session. */
  take(options?: CallOptions): Promise<QueueItem>;
  /** Claims an item if there is one that nobody has claimed; else undefined. */
  tryTake(options?: CallOptions): Promise<QueueItem | undefined>;
  /** Gives one item after the other to `work`, until `signal` is aborted. If it throws, the item is given back, and this rejects. */
  process(work: (node: TreeNode) => unknown, options?: CallOptions): Promise<void>;
}

/** For some thousands of items that are claimed one by one; for more, use a topic and a group. */
export function queue(on: On, name: string): Queue {
  const root = `/queues/${name}`;
  const take = async ({ signal, waits = true }: Waiting = {}): Promise<QueueItem> => {
    const session = await sessionOf(on, signal);
    const { tree } = session;
    await tree.create(root, '', { parents: true }).catch((error: unknown) => {
      if (!isWeirError(error, 'NODE_EXISTS')) throw error;
    });
    const watch = session.watch(root, { mode: 'children', onCompacted: 'resync', ...(signal && { signal }) });
    try {
      await watch.started;
      for (;;) {
        const names = new Set(await allChildren(session, root));
        for (const item of names) {
          if (item.endsWith('.claim') || names.has(`${item}.claim`)) continue;
          const claim = `${root}/${item}.claim`;
          try {
            // The check: a claim after another worker has completed the item would claim nothing.
            const { results } = await tree
              .multi()
              .check(`${root}/${item}`)
              .create(claim, '', { mode: 'ephemeral' })
              .commit();
            const node = await tree.get(`${root}/${item}`);
            const mzxid = results[1]?.stat?.mzxid;
            if (!node || mzxid === undefined) continue;
            return {
              node,
              claim,
              token: mzxid,
              done: async () => void (await tree.multi().remove(claim, { mzxid }).remove(node.path).commit()),
              release: () => tree.remove(claim, { mzxid }),
            };
          } catch (error) {
            if (!isWeirError(error, 'NODE_EXISTS', 'NO_NODE')) throw error;
          }
        }
        if (!waits) throw new NotFree();
        if ((await watch.next()).done) signal?.throwIfAborted();
      }
    } finally {
      await watch.return();
    }
  };
  return {
    put: async (...items) => {
      const { tree } = await sessionOf(on);
      await tree.create(root, '', { parents: true }).catch((error: unknown) => {
        if (!isWeirError(error, 'NODE_EXISTS')) throw error;
      });
      const multi = tree.multi();
      for (const item of items) multi.create(`${root}/item-`, item, { sequential: true });
      await multi.commit();
    },
    take: ({ signal } = {}) => take({ signal }),
    tryTake: ({ signal } = {}) => ifFree(take({ signal, waits: false })),
    process: async (work, { signal } = {}) => {
      while (!signal?.aborted) {
        let item: QueueItem;
        try {
          item = await take({ signal });
        } catch (error) {
          if (signal?.aborted) return;
          throw error;
        }
        try {
          await work(item.node);
        } catch (error) {
          await item.release().catch(() => {});
          throw error;
        }
        await item.done();
      }
    },
  };
}

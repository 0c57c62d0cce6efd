// A number that several clients add to.
import { isWeirError } from '../errors.ts';
import { type On, sessionOf } from './place.ts';

export interface Counter {
  value(): Promise<number>;
  /** Adds, and returns the sum. */
  add(by?: number): Promise<number>;
}

/** @throws WeirError BAD_REQUEST-like TypeError if the node holds no number */
export function counter(on: On, name: string): Counter {
  const path = `/counters/${name}`;
  const numberIn = (text: string | undefined) => {
    const value = Number(text ?? '0');
    if (!Number.isSafeInteger(value)) throw new TypeError(`${path} holds '${text}', which is no whole number.`);
    return value;
  };
  return {
    value: async () => numberIn((await (await sessionOf(on)).tree.get(path))?.text),
    add: async (by = 1) => {
      const { tree } = await sessionOf(on);
      for (;;) {
        const node = await tree.get(path);
        const sum = numberIn(node?.text) + by;
        try {
          if (node) await tree.set(path, String(sum), { mzxid: node.stat.mzxid });
          else await tree.create(path, String(sum), { parents: true });
          return sum;
        } catch (error) {
          // Another client was faster.
          if (!isWeirError(error, 'BAD_VERSION', 'NODE_EXISTS', 'NO_NODE')) throw error;
        }
      }
    },
  };
}

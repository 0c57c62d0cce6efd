// The event stream of a store as it comes to a broker whose reader is slow: it can be held back, and passed on later.
import type { Events } from '../../src/store/tree/events.ts';
import type { Transaction } from '../../src/store/tree/node-codec.ts';

export interface HeldEvents {
  events: Events;
  /** From now on nothing is passed on. */
  hold(): void;
  /** Passes on what was held back, and all that follows. */
  release(): void;
}

export function holdEvents(real: Events): HeldEvents {
  let accept: (batch: Transaction[]) => void = () => {};
  let held: Transaction[][] | undefined;
  const follow: Events['follow'] = (after, follower, signal) => {
    accept = (batch) => follower.accept(batch);
    let position = after;
    const passing = {
      ...follower,
      accept: (batch: Transaction[]) => {
        position = batch.at(-1)!.zxid;
        if (held) held.push(batch);
        else accept(batch);
      },
      positions: () => [position, ...[...follower.positions()].slice(1)],
    };
    return real.follow(after, passing, signal);
  };
  return {
    events: { newestZxid: () => real.newestZxid(), follow } as Events,
    hold: () => {
      held = [];
    },
    release: () => {
      for (const batch of held ?? []) accept(batch);
      held = undefined;
    },
  };
}

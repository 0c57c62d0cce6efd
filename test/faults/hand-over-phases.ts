// The phases of a hand-over: how long the partition still had its old owner in the tree, how long it had none or another one,
// how long until the next member was notified, and the faults meanwhile.
import type { Transaction } from '../../src/store/tree/node-codec.ts';
import type { HandOver } from './assignment-history.ts';
import type { TimedFault } from './fault-log.ts';

/** The begin and the end of each ownership of a partition, by the clock of this process. */
interface Owned {
  member: string;
  fromMs: number;
  /** Not later than this; undefined = it has it still. */
  untilMs: number | undefined;
}

/** One line about a hand-over of the group `group`, in ms from the moment at which it began. */
export function phasesOf(
  { partition, from, to, how, ms, startMs }: HandOver,
  history: readonly Transaction[],
  faults: readonly TimedFault[],
  group: string,
): string {
  const at = (time: number | undefined) => (time === undefined ? '?' : `${Math.round(time - startMs)}`);
  const owners = ownersOf(history, `/consumers/${group}/owners/`, `/${partition}`)
    .filter(({ fromMs, untilMs }) => fromMs <= startMs + ms && (untilMs ?? Number.POSITIVE_INFINITY) >= startMs)
    .map(({ member, fromMs, untilMs }) => `${member} ${at(fromMs)} to ${at(untilMs)}`);
  const meanwhile = faults
    .filter(({ fromMs, untilMs }) => fromMs <= startMs + ms && untilMs >= startMs)
    .map(({ what, fromMs, untilMs }) => `${what} ${at(fromMs)} to ${at(untilMs)}`);
  return (
    `partition ${partition}, ${from} (${how}) to ${to}: received after ${Math.round(ms)}; ` +
    `owner nodes: ${owners.join(', ') || 'none'}; faults: ${meanwhile.join(', ') || 'none'}`
  );
}

function ownersOf(history: readonly Transaction[], prefix: string, suffix: string): Owned[] {
  const owned: Owned[] = [];
  const times = timesOf(history);
  for (const [i, { events }] of history.entries()) {
    for (const { kind, path, data } of events) {
      if (!path.startsWith(prefix) || !path.endsWith(suffix)) continue;
      const last = owned.at(-1);
      if (kind === 'deleted' && last) last.untilMs = times[i];
      if (kind === 'created') owned.push({ member: String(data), fromMs: times[i]!, untilMs: undefined });
    }
  }
  return owned;
}

/** Creates and changes have a time; a deletion was only not later than the next change. */
function timesOf(history: readonly Transaction[]): number[] {
  const times: number[] = [];
  let next = performance.now();
  for (const [i, { events }] of [...history.entries()].reverse()) {
    const written = events
      .filter(({ kind }) => kind !== 'deleted')
      .map(({ stat }) => stat.mtime - performance.timeOrigin);
    next = written.length > 0 ? Math.max(...written) : next;
    times[i] = next;
  }
  return times;
}

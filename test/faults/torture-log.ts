// What a torture writes down about itself, and how it waits.
import { setTimeout as pause } from 'node:timers/promises';

/** A fault of a broker, and when it was, by performance.now(). */
export interface TimedFault {
  what: string;
  fromMs: number;
  untilMs: number;
}

export interface TortureLog {
  /** How often each fault was done. */
  faults: Map<string, number>;
  /** Those of brokers, one by one. */
  timed: TimedFault[];
  /** What should not have been: a broker that ended by itself, or one that could not be started. */
  problems: string[];
  /** Errors that the brokers wrote to their logs, each text with its count. */
  errors: Map<string, number>;
}

/** Waits; false if that was cut short because it is over. */
export async function goesOn(ms: number, signal: AbortSignal): Promise<boolean> {
  await pause(ms, undefined, { signal }).catch(() => undefined);
  return !signal.aborted;
}

export function count(counts: Map<string, number>, what: string): void {
  counts.set(what, (counts.get(what) ?? 0) + 1);
}

export function shown(counts: Map<string, number>): string {
  return [...counts].map(([what, times]) => `${times} × ${what}`).join(', ') || 'none';
}

/** All counts together. */
export function sumOf(all: Iterable<Map<string, number>>): Map<string, number> {
  const sum = new Map<string, number>();
  for (const counts of all) {
    for (const [what, times] of counts) sum.set(what, (sum.get(what) ?? 0) + times);
  }
  return sum;
}

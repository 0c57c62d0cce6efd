// The log of a fault test, and its waiting.
import { setTimeout as pause } from 'node:timers/promises';

/** A fault of a broker and its times, by performance.now(). */
export interface TimedFault {
  what: string;
  fromMs: number;
  untilMs: number;
}

export interface FaultLog {
  /** How often each fault was caused. */
  faults: Map<string, number>;
  /** Each fault of a broker. */
  timed: TimedFault[];
  /** Violations: a broker that ended by itself, or that could not be started. */
  problems: string[];
  /** Errors that the brokers wrote to their logs, each text with its count. */
  errors: Map<string, number>;
}

/** Waits. @returns false if the wait was aborted */
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

/** The sum of all counts. */
export function sumOf(all: Iterable<Map<string, number>>): Map<string, number> {
  const sum = new Map<string, number>();
  for (const counts of all) {
    for (const [what, times] of counts) sum.set(what, (sum.get(what) ?? 0) + times);
  }
  return sum;
}

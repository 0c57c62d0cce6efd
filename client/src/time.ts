// Time: a clock that never goes back, durations as the API writes them, pauses that a signal ends.

/** `"500ms"`, `"10s"`, `"5m"`, `"1h"`, `"7d"`, or a whole number of ms. */
export type Duration = number | string;

const unitsMs: { readonly [unit: string]: number } = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** As servers read durations (schemas/duration-text.ts, of which no client knows). @throws RangeError if it is none */
export function durationMs(duration: Duration): number {
  const [, digits, unit = 'ms'] = /^(\d{1,16})(ms|s|m|h|d)?$/.exec(String(duration)) ?? [];
  const ms = Number(digits) * (unitsMs[unit] ?? 1);
  if (Number.isSafeInteger(ms)) return ms;
  throw new RangeError(
    `"${duration}" must be a duration such as "500ms", "10s", "5m", "1h", "7d", or a whole number of ms.`,
  );
}

/** Ms on a clock that never goes back, and that no correction of the time of day moves. */
export function now(): number {
  return performance.now();
}

/** By signal: what its end calls. */
const atEnd = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Calls `end` when the signal is aborted; at once if it is already. A signal has one listener however many calls share it, as Node.js
 * warns of a leak when it has more than ten. @returns undoes it; to be called in the end
 */
export function onAbort(signal: AbortSignal | undefined, end: () => void): () => void {
  if (signal?.aborted) end();
  if (!signal || signal.aborted) return () => {};
  const ends = atEnd.get(signal) ?? new Set();
  if (!atEnd.has(signal)) {
    atEnd.set(signal, ends);
    signal.addEventListener('abort', () => {
      for (const each of ends) each();
    });
  }
  ends.add(end);
  return () => ends.delete(end);
}

/** Waits. Rejects with the reason of the signal as soon as that is aborted. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  return unlessAborted(over, signal).finally(() => clearTimeout(timer));
}

/** The result of `promise`, or the reason of the signal if that is aborted first. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  let undo: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    undo = onAbort(signal, () => reject(signal?.reason));
  });
  return Promise.race([aborted, promise]).finally(undo);
}

/**
 * A signal that is aborted with the first of `parents`. `unlink` must be called in the end: what waits for a signal that lives as long
 * as the process would stay for ever. (`AbortSignal.any` leaves a listener on Node.js 20.)
 */
export function linkedController(...parents: (AbortSignal | undefined)[]): {
  controller: AbortController;
  unlink: () => void;
} {
  const controller = new AbortController();
  const undo = parents.map((parent) => onAbort(parent, () => controller.abort(parent?.reason)));
  return {
    controller,
    unlink: () => {
      for (const each of undo) each();
    },
  };
}

/** A name that nobody else uses: 128 random bits. (`crypto.randomUUID` needs a secure context in browsers.) */
export function uniqueId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** A promise, and how to settle it. */
export interface Deferred<T> {
  promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
}

/** Its rejection counts as handled: who waits for it gets it, and perhaps nobody does. */
export function deferred<T>(): Deferred<T> {
  let resolve: (value: T) => void = () => {};
  let reject: (error: unknown) => void = () => {};
  const promise = new Promise<T>((done, failed) => {
    resolve = done;
    reject = failed;
  });
  promise.catch(() => {});
  return { promise, resolve, reject };
}

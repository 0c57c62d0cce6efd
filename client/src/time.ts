// Time: a clock that never goes back, durations as the API writes them, pauses that a signal ends.

/** `"500ms"`, `"10s"`, `"5m"`, `"1h"`, `"7d"`, or a number of ms. */
export type Duration = number | string;

const unitsMs: { readonly [unit: string]: number } = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** @throws RangeError if it is no duration */
export function durationMs(duration: Duration): number {
  const [, digits, unit = 'ms'] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(String(duration)) ?? [];
  if (digits === undefined)
    throw new RangeError(`${duration} is no duration; write "500ms", "10s", "5m", or a number of ms.`);
  return Number(digits) * (unitsMs[unit] ?? 1);
}

/** Ms on a clock that never goes back, and that no correction of the time of day moves. */
export function now(): number {
  return performance.now();
}

/** Waits. Rejects with the reason of the signal as soon as that is aborted. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const ended = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', ended);
      resolve();
    }, ms);
    signal?.addEventListener('abort', ended, { once: true });
  });
}

/** The result of `promise`, or the reason of the signal if that is aborted first. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise<T>((resolve, reject) => {
    signal.throwIfAborted();
    const ended = () => reject(signal.reason);
    signal.addEventListener('abort', ended, { once: true });
    const settled = () => signal.removeEventListener('abort', ended);
    promise.then(
      (value) => {
        settled();
        resolve(value);
      },
      (error: unknown) => {
        settled();
        reject(error);
      },
    );
  });
}

/**
 * A signal that is aborted with the first of `parents`. `unlink` must be called in the end: a listener on a signal that lives as long
 * as the process would stay for ever. (`AbortSignal.any` leaves one on Node.js 20.)
 */
export function linkedController(...parents: (AbortSignal | undefined)[]): {
  controller: AbortController;
  unlink: () => void;
} {
  const controller = new AbortController();
  const undo: (() => void)[] = [];
  for (const parent of parents) {
    if (!parent) continue;
    const abort = () => controller.abort(parent.reason);
    if (parent.aborted) abort();
    else {
      parent.addEventListener('abort', abort, { once: true });
      undo.push(() => parent.removeEventListener('abort', abort));
    }
  }
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

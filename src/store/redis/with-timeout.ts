// A time limit for several steps together, each of which has a limit of its own.

/**
 * Settles as `work` does, or rejects after `ms`. The work itself is not stopped; its later result is ignored.
 * @param timeoutError creates the error
 */
export function withTimeout<T>(work: Promise<T>, ms: number, timeoutError: () => Error): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => {
      // Replies that arrived while this process was busy are read before the immediate (see command-timeout.ts).
      setImmediate(() => reject(timeoutError()));
    }, ms);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

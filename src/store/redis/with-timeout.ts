// The limit of a whole answer, where several steps that each have a limit of their own follow each other.

/**
 * Settles as `work` does, or rejects if that takes longer. What is under way goes on, and nobody hears of it.
 * @param late makes the error
 */
export function withTimeout<T>(work: Promise<T>, ms: number, late: () => Error): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => {
      // What has come in while this process was busy is read before this (see command-timeout.ts).
      setImmediate(() => reject(late()));
    }, ms);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

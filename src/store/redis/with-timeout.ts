// A time limit for several steps together, each of which has a limit of its own. All limits share one timer: a timer for each would cost
// more than the rest of a short request.

interface Limited {
  /** As performance.now(). */
  readonly deadline: number;
  exceeded(): void;
}

/** Limits are checked at most so often, ms, so one may be exceeded by so much. */
const checkMs = 10;

const limits = new Set<Limited>();
let timer: NodeJS.Timeout | undefined;
/** When the timer is due, as performance.now(). */
let due = Number.POSITIVE_INFINITY;

/**
 * Settles as `work` does, or rejects after `ms`. The work itself is not stopped; its later result is ignored.
 * @param timeoutError creates the error
 */
export function withTimeout<T>(work: Promise<T>, ms: number, timeoutError: () => Error): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const limited = { deadline: performance.now() + ms, exceeded: () => reject(timeoutError()) };
    limits.add(limited);
    if (limited.deadline < due) wakeAt(limited.deadline);
    else if (limits.size === 1) timer?.ref();
    work.then(
      (result) => {
        remove(limited);
        resolve(result);
      },
      (error) => {
        remove(limited);
        reject(error);
      },
    );
  });
}

/** Without work the timer does not keep the process running; it is left as it is, as most work comes at short intervals. */
function remove(limited: Limited): void {
  limits.delete(limited);
  if (limits.size === 0) timer?.unref();
}

function wakeAt(deadline: number): void {
  clearTimeout(timer);
  due = deadline;
  // Replies that arrived while this process was busy are read before the immediate (see command-timeout.ts).
  timer = setTimeout(() => setImmediate(check), Math.max(checkMs, deadline - performance.now()));
}

function check(): void {
  const now = performance.now();
  let next = Number.POSITIVE_INFINITY;
  for (const limited of limits) {
    if (limited.deadline > now) {
      next = Math.min(next, limited.deadline);
    } else {
      remove(limited);
      limited.exceeded();
    }
  }
  due = Number.POSITIVE_INFINITY;
  if (next < due) wakeAt(next);
  else timer = undefined;
}

// Log lines about what single clients do. One client can join and leave a group, open sessions, or send requests while the store is away
// thousands of times a second; a line for each would fill the disk of the server.
import type { Logger } from 'pino';

/** How many lines with one message may come at once, such as when a broker with many members stops. */
const burst = 200;
/** How many more may come later, lines a second. */
const linesPerSecond = 10;
/** How long after the first line that was left out the number of them is told, ms. */
const tellMs = 10_000;

interface Budget {
  lines: number;
  at: number;
  leftOut: number;
}

/** Limits the lines with each message, and tells how many were left out. At level `debug` none is. */
export class ClientEventsLog {
  readonly #log: Logger;
  readonly #clock: () => number;
  readonly #budgets = new Map<string, Budget>();

  /** @param clock ms; it never goes back */
  constructor(log: Logger, clock: () => number = () => performance.now()) {
    this.#log = log;
    this.#clock = clock;
  }

  /** @param message one of a few texts of the program, each of which has a limit of its own */
  info(fields: object, message: string): void {
    if (this.mayWrite(message)) this.#log.info(fields, message);
  }

  /** As `info`. */
  warn(fields: object, message: string): void {
    if (this.mayWrite(message)) this.#log.warn(fields, message);
  }

  /**
   * For lines that another logger writes.
   * @param kind what these lines have in common, one of a few texts of the program
   * @returns whether one more may be written; if not, it is counted as left out
   */
  mayWrite(kind: string): boolean {
    if (this.#log.isLevelEnabled('debug')) return true;
    const budget = this.#budgetOf(kind);
    if (budget.lines >= 1) {
      budget.lines -= 1;
      return true;
    }
    budget.leftOut += 1;
    if (budget.leftOut === 1) setTimeout(() => this.#tell(kind, budget), tellMs).unref();
    return false;
  }

  #budgetOf(kind: string): Budget {
    const now = this.#clock();
    const budget = this.#budgets.get(kind) ?? { lines: burst, at: now, leftOut: 0 };
    budget.lines = Math.min(burst, budget.lines + ((now - budget.at) / 1000) * linesPerSecond);
    budget.at = now;
    this.#budgets.set(kind, budget);
    return budget;
  }

  #tell(kind: string, budget: Budget): void {
    const { leftOut } = budget;
    budget.leftOut = 0;
    this.#log.info({ of: kind, leftOut }, 'Log lines were left out, as there were too many of one kind');
  }
}

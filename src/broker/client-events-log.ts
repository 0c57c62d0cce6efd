// Log lines about what single clients do. One client can join and leave a group, open sessions, or send requests while the store is away
// thousands of times a second; a line for each would fill the disk of the server.
import type { Logger } from 'pino';
import { TokenBucket } from '../core/token-bucket.ts';

/** How many lines with one message may come at once, such as when a broker with many members stops. */
const burst = 200;
/** How many more may come later, lines a second. */
const linesPerSecond = 10;
/** How long after the first line that was left out the number of them is told, ms. */
const tellMs = 10_000;

interface Kind {
  readonly lines: TokenBucket;
  leftOut: number;
}

/** Limits the lines with each message, and tells how many were left out. At level `debug` none is. */
export class ClientEventsLog {
  readonly #log: Logger;
  readonly #clock: () => number;
  readonly #kinds = new Map<string, Kind>();

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

  /** As `info`. */
  error(fields: object, message: string): void {
    if (this.mayWrite(message)) this.#log.error(fields, message);
  }

  /**
   * For lines that another logger writes.
   * @param kind what these lines have in common, one of a few texts of the program
   * @returns whether one more may be written; if not, it is counted as left out
   */
  mayWrite(kind: string): boolean {
    if (this.#log.isLevelEnabled('debug')) return true;
    const now = this.#clock();
    const known = this.#kinds.get(kind) ?? { lines: new TokenBucket(linesPerSecond, now, burst), leftOut: 0 };
    this.#kinds.set(kind, known);
    if (known.lines.take(now)) return true;
    known.leftOut += 1;
    if (known.leftOut === 1) setTimeout(() => this.#tell(kind, known), tellMs).unref();
    return false;
  }

  #tell(kind: string, known: Kind): void {
    const { leftOut } = known;
    known.leftOut = 0;
    this.#log.info({ of: kind, leftOut }, 'Log lines were left out, as there were too many of one kind');
  }
}

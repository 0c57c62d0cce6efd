// What a terminal shows of the log: lines that stay, and below them at most one status line that the next one replaces. Several
// processes of a server write to one terminal and know nothing of each other's status: so the cursor waits at its beginning, and every
// line clears what is left of it.
const clearToEnd = '\x1b[K';

/** The part of a tty.WriteStream that is used. */
export interface Screen {
  columns?: number;
  write(text: string): unknown;
}

export class Terminal {
  readonly #screen: Screen;
  #hasStatus = false;

  constructor(screen: Screen) {
    this.#screen = screen;
  }

  /** Writes a line that stays; it may have further lines in it. */
  line(text: string): void {
    this.#hasStatus = false;
    this.#screen.write(`${text.replaceAll('\n', `${clearToEnd}\n`)}${clearToEnd}\n`);
  }

  /** Shows the status in the place of the one before; what does not fit on one line is left out. */
  status(text: string): void {
    this.#hasStatus = true;
    const columns = this.#screen.columns || 80;
    const shown = text.length < columns ? text : `${text.slice(0, columns - 2)}…`;
    this.#screen.write(`${shown}${clearToEnd}\r`);
  }

  /** Removes the status. */
  clear(): void {
    if (this.#hasStatus) this.#screen.write(clearToEnd);
    this.#hasStatus = false;
  }
}

const barCells = 20;

/** A bar that shows a share, such as `[#####...............]`. */
export function bar(percent: number): string {
  const full = Math.round((Math.min(Math.max(percent, 0), 100) / 100) * barCells);
  return `[${'#'.repeat(full)}${'.'.repeat(barCells - full)}]`;
}

// What commands print: results on stdout in the form that the user wants, everything else on stderr.
import { stripVTControlCharacters, styleText } from 'node:util';
import { usageError } from './errors.ts';
import { type Table, tableLines } from './table.ts';

export const formats = ['table', 'json', 'ndjson', 'raw', 'name'] as const;
export type Format = (typeof formats)[number];

/** Clears the terminal, and goes to its first line. */
const clearScreen = '\u001b[2J\u001b[H';

/** A style of `util.styleText`. */
type Style = Parameters<typeof styleText>[0];

/** A result in each of its forms. The forms that are missing are made of the others. */
interface Shown {
  /** As the API gave it; -o json prints it as it is. */
  body: unknown;
  /** What -o ndjson prints, one a line; default: the body. */
  items?: () => readonly unknown[];
  table?: () => Table;
  /** What is printed in place of a table. */
  text?: () => string;
  /** What identifies the result: names or paths, one a line. */
  names?: () => readonly string[];
  /** The data alone. */
  raw?: () => string | Uint8Array;
}

export interface OutputStream {
  write(chunk: string | Uint8Array, done?: (error?: Error | null) => void): boolean;
  isTTY?: boolean;
  columns?: number;
  rows?: number;
}

interface OutputOptions {
  stdout: OutputStream;
  stderr: OutputStream;
  format?: Format | undefined;
  /** Whether colours are forbidden, whatever the terminal can do. */
  noColor: boolean;
  quiet: boolean;
}

export class Output {
  readonly #options: OutputOptions;

  constructor(options: OutputOptions) {
    this.#options = options;
  }

  /** The form that the user asked for; undefined: that of the command. */
  get format(): Format | undefined {
    return this.#options.format;
  }

  /** Whether somebody reads the output on a terminal. */
  get isTerminal(): boolean {
    return this.#options.stdout.isTTY === true;
  }

  /** Whether stderr is a terminal, for progress. */
  get isProgressVisible(): boolean {
    return this.#options.stderr.isTTY === true && !this.#options.quiet;
  }

  /** Characters of a line, and lines, of the terminal. */
  get size(): { columns: number; rows: number } {
    const { columns, rows } = this.#options.stdout;
    // A terminal that nobody has given a size has 0.
    return { columns: columns || 80, rows: rows || 24 };
  }

  /** Text in a style, on terminals only. */
  style(style: Style, text: string): string {
    return this.isTerminal && !this.#options.noColor ? styleText(style, text) : text;
  }

  /** Writes to stdout, and resolves when it can take more. */
  write(data: string | Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      this.#options.stdout.write(data, () => resolve());
    });
  }

  /** Writes a line to stdout. */
  line(text: string): Promise<void> {
    return this.write(`${text}\n`);
  }

  /** Draws the whole terminal anew, with as much of the text as it has room for. */
  async screen(text: string): Promise<void> {
    const { columns, rows } = this.size;
    const all = text.split('\n');
    // The last line of a terminal stays free: a line feed there would move everything up.
    const room = Math.max(1, rows - 1);
    const shown = all.length <= room ? all : [...all.slice(0, room - 1), `… ${all.length - room + 1} more lines`];
    const cut = (line: string) => {
      const plain = stripVTControlCharacters(line);
      return plain.length <= columns ? line : plain.slice(0, columns);
    };
    await this.write(`${clearScreen}${shown.map(cut).join('\n')}\n`);
  }

  /** Tells something that is not the result, on stderr; nothing with --quiet. */
  note(text: string): void {
    if (!this.#options.quiet) this.#options.stderr.write(`${text}\n`);
  }

  /** An error, on stderr, also with --quiet. */
  error(text: string): void {
    this.#options.stderr.write(`${text}\n`);
  }

  /** Writes to stderr as it is, for progress. */
  progress(text: string): void {
    this.#options.stderr.write(text);
  }

  /** Prints a result in the form that the user asked for. @throws CliError if the result has no such form */
  async show(shown: Shown): Promise<void> {
    const { format = 'table' } = this.#options;
    const { body, items, table, text, names, raw } = shown;
    if (format === 'json') return this.line(JSON.stringify(body, undefined, 2) ?? '');
    if (format === 'ndjson') {
      for (const item of items?.() ?? [body]) await this.line(JSON.stringify(item));
      return;
    }
    if (format === 'name') {
      if (!names) throw usageError('This command prints no names; use -o table or -o json.');
      for (const name of names()) await this.line(name);
      return;
    }
    if (format === 'raw') return this.write(raw?.() ?? `${JSON.stringify(body) ?? ''}\n`);
    if (text) return this.line(text());
    if (table) {
      const lines = tableLines(table(), (title) => this.style('bold', title));
      return this.write(lines.map((each) => `${each}\n`).join(''));
    }
    return this.line(JSON.stringify(body, undefined, 2) ?? '');
  }
}

/**
 * The log of a server process, in one of two forms: a line of JSON for each event, or a line for people. On a terminal a start is one
 * status line that tells what happens now, and then one line that tells what serves; warnings and errors of the start stay.
 */
import { type Logger, pino } from 'pino';
import type { Config } from '../config/config.ts';
import { errorForLog } from '../stack-traces.ts';
import type { LoadingProgress } from '../store/redis/server-info.ts';
import { headline, type Serving } from './headline.ts';
import { type LogEntry, printable, readableLine } from './readable-line.ts';
import { bar, type Screen, Terminal } from './terminal.ts';

export interface ServerLog {
  readonly log: Logger;
  /** Shows on a terminal how far the store has loaded its data; undefined: it has. Elsewhere the lines of the log tell. */
  showLoading(progress: LoadingProgress | undefined): void;
  /** Tells that the server serves, which ends its start. */
  serves(serving: Serving): void;
  /** Ends the start without telling anything: it failed, or another process tells. */
  endStart(): void;
}

interface ServerLogOptions {
  /** The number of the worker that this process is; undefined for the process that the user started. */
  worker?: number;
  /** Whether the server, of which this process is a part, has started before. */
  hasStarted?: boolean;
}

/** pino's number for information. */
const info = 30;

/** @param config says form and level, and what the server will tell when it serves */
export function createServerLog(config: Config, { worker, hasStarted = false }: ServerLogOptions = {}): ServerLog {
  const { logLevel, logFormat, workers } = config;
  const isTerminal = process.stdout.isTTY === true;
  const settings = { level: logLevel, serializers: { err: errorForLog } };
  const ofWorker = (log: Logger) => (worker === undefined ? log : log.child({ worker }));
  if (logFormat === 'json' || (logFormat === 'auto' && !isTerminal)) {
    const log = ofWorker(pino(settings));
    return {
      log,
      showLoading: () => undefined,
      serves: ({ url, redisVersion }) =>
        log.info({ url, docs: `${url}/docs`, redisVersion, ...(workers > 1 && { workers }) }, 'Weirkeeper serves'),
      endStart: () => undefined,
    };
  }
  const isVerbose = logLevel === 'debug' || logLevel === 'trace';
  const screen = isTerminal ? process.stdout : undefined;
  const lines = new ReadableLog({ screen, isVerbose, showsStatus: worker === undefined, hasStarted });
  const log = ofWorker(pino(settings, lines));
  return {
    log,
    showLoading: (progress) => lines.showLoading(progress),
    serves: (serving) => lines.endStart(log.isLevelEnabled('info') ? headline(config, serving) : undefined),
    endStart: () => lines.endStart(),
  };
}

interface ReadableLogOptions {
  /** The terminal; undefined: the output is a file or a pipe. */
  screen: (Screen & { hasColors?(): boolean }) | undefined;
  isVerbose: boolean;
  /** Whether this process is the one that shows what happens during the start. */
  showsStatus: boolean;
  hasStarted: boolean;
}

/** Where pino writes its entries: makes them readable. */
class ReadableLog {
  readonly #options: ReadableLogOptions;
  readonly #terminal: Terminal | undefined;
  readonly #file = pino.destination({ fd: 1, sync: true });
  readonly #colour: boolean;
  #isStarting: boolean;

  constructor(options: ReadableLogOptions) {
    this.#options = options;
    this.#terminal = options.screen && new Terminal(options.screen);
    this.#colour = options.screen?.hasColors?.() ?? false;
    // With more to read than one status line, every line stays.
    this.#isStarting = !options.hasStarted && !options.isVerbose && this.#terminal !== undefined;
    process.once('exit', () => this.#terminal?.clear());
  }

  /** @param text one entry as JSON, with a line feed */
  write(text: string): void {
    const entry = JSON.parse(text) as LogEntry;
    if (this.#isStarting && entry.level <= info) this.#showStatus(printable(entry.msg ?? ''));
    else this.#line(readableLine(entry, { colour: this.#colour, isVerbose: this.#options.isVerbose }));
  }

  showLoading(progress: LoadingProgress | undefined): void {
    if (!this.#isStarting || !progress) return;
    const { percent, secondsLeft } = progress;
    this.#showStatus(`Redis loads its data ${bar(percent)} ${percent} %, about ${secondsLeft} s left`);
  }

  /** @param text a line that tells that the server serves */
  endStart(text?: string): void {
    this.#isStarting = false;
    this.#terminal?.clear();
    if (text !== undefined) this.#line(text);
  }

  #showStatus(text: string): void {
    if (this.#options.showsStatus) this.#terminal?.status(text);
  }

  #line(text: string): void {
    if (this.#terminal) this.#terminal.line(text);
    else this.#file.write(`${text}\n`);
  }
}

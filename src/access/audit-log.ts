// The audit log: a line of JSON for each refusal and each act of administration, and for each write if that is wanted. It never makes a
// request wait: lines are queued, and those beyond the queue are dropped and counted.
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Logger, pino } from 'pino';
import type { SonicBoom as Destination } from 'sonic-boom';

/** Its types are those of an ES module, which it is not. */
const { SonicBoom } = createRequire(import.meta.url)('sonic-boom') as typeof import('sonic-boom');

/** What is known of a request: a request of Fastify is one. */
export interface Origin {
  readonly ip: string;
  readonly id: string;
  readonly method: string;
  readonly routeOptions: { readonly url?: string | undefined };
}

/** Who asked for what, and whether it was allowed. */
export interface Decision {
  identity: string | undefined;
  tokenId: string | undefined;
  certificate?: string | undefined;
  /** A verb of the policy, `admin`, `identity`, or `authenticate`. */
  verb: string;
  /** Such as `topic orders`. */
  resource: string;
  /** The code of the refusal; undefined if it was allowed. */
  code?: string | undefined;
  /** Why a credential was refused. */
  reason?: string | undefined;
  origin: Origin | undefined;
}

interface AuditOptions {
  /** The path of the file; `-` = the standard output. */
  file: string;
  /** Also lines for writes and deletions that were allowed. */
  writes: boolean;
  /** Characters that may wait to be written. */
  queueMax?: number;
}

/** Some 30,000 lines: several seconds of a slow disk. */
const queueMaxDefault = 8 * 1024 * 1024;
/** Paths of nodes may have 16 KiB. */
const resourceMax = 1000;
/** How long a start waits for the file, and a stop for the queue, ms: a pipe may have no reader. */
const openMsMax = 1000;
const closeMsMax = 2000;
/** Least interval of log lines about failures, ms. */
const logEveryMs = 60_000;

/** Allowed acts that are always told. */
const administration = new Set(['admin', 'manage']);
const writes = new Set(['write', 'delete']);

export class AuditLog {
  readonly #options: AuditOptions;
  readonly #destination: Destination;
  readonly #lines: Logger;
  readonly #log: Logger;
  #written = 0;
  #dropped = 0;
  #errors = 0;
  #toldAt = Number.NEGATIVE_INFINITY;
  #closing: Promise<void> | undefined;

  private constructor(options: AuditOptions, log: Logger) {
    this.#options = options;
    this.#log = log;
    const { file, queueMax = queueMaxDefault } = options;
    const dest = file === '-' ? 1 : file;
    // Not pino.destination(), which would fail at the end of a process whose file could not be opened.
    this.#destination = new SonicBoom({ dest, sync: false, maxLength: queueMax, mode: 0o600 });
    this.#destination.on('drop', () => this.#noteDrop());
    this.#destination.on('error', (error: Error) => this.#noteError(error));
    this.#lines = pino(
      { base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: () => ({ log: 'audit' }) } },
      this.#destination,
    );
  }

  /** @throws Error if the file cannot be opened */
  static async open(options: AuditOptions, log: Logger): Promise<AuditLog> {
    const audit = new AuditLog(options, log);
    const failed = once(audit.#destination, 'ready').catch((error: NodeJS.ErrnoException) => {
      throw new Error(
        `WEIR_AUDIT_FILE is ${options.file}, which cannot be opened: ${error.message}. The server must be able to append to it.`,
      );
    });
    const opened = await Promise.race([failed, sleep(openMsMax, undefined)]);
    if (opened === undefined) log.warn({ file: options.file }, 'The audit log is not open yet; its lines wait');
    // A pipe that gets a reader later is no failure.
    failed.catch(() => undefined);
    return audit;
  }

  /** Lines that were written or queued; that were dropped, as the queue was full; and failures of writing, since the start. */
  get written(): number {
    return this.#written;
  }

  get dropped(): number {
    return this.#dropped;
  }

  get errors(): number {
    return this.#errors;
  }

  /** Tells a decision, if it is one that this log is for. */
  record({ identity, tokenId, certificate, verb, resource, code, reason, origin }: Decision): void {
    if (this.#closing !== undefined) return;
    if (code === undefined && !administration.has(verb) && !(this.#options.writes && writes.has(verb))) return;
    this.#written += 1;
    this.#lines.info({
      identity: identity ?? null,
      ...(tokenId !== undefined && { token: tokenId }),
      ...(certificate !== undefined && { certificate }),
      address: origin?.ip,
      verb,
      resource: resource.length > resourceMax ? `${resource.slice(0, resourceMax)}…` : resource,
      result: code === undefined ? 'allowed' : 'denied',
      ...(code !== undefined && { code }),
      ...(reason !== undefined && { reason }),
      requestId: origin?.id,
    });
  }

  /** Opens the file anew, after it was rotated. */
  reopen(): void {
    if (this.#options.file !== '-' && this.#closing === undefined) this.#destination.reopen();
  }

  /** Writes what is queued, for a limited time, and closes the file. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const closed = once(this.#destination, 'close').then(
      () => true,
      () => true,
    );
    this.#destination.end();
    if (await Promise.race([closed, sleep(closeMsMax, false, { ref: false })])) return;
    this.#log.error({ file: this.#options.file }, 'The audit log was closed before all of its lines were written');
    this.#destination.destroy();
  }

  #noteDrop(): void {
    this.#written -= 1;
    this.#dropped += 1;
    this.#tell(undefined);
  }

  #noteError(err: Error): void {
    this.#errors += 1;
    this.#tell(err);
  }

  /** An attacker may cause any number of lines. */
  #tell(err: Error | undefined): void {
    const now = performance.now();
    if (now - this.#toldAt < logEveryMs) return;
    this.#toldAt = now;
    const facts = { file: this.#options.file, dropped: this.#dropped, errors: this.#errors, ...(err && { err }) };
    if (err) this.#log.error(facts, 'The audit log cannot be written; its lines wait, and are dropped beyond a limit');
    else this.#log.error(facts, 'Lines of the audit log are dropped, as it is not written fast enough');
  }
}

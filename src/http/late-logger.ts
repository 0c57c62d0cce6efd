// A logger whose children are made at their first line: Fastify makes one with the id of each request, few of which log anything, and a
// child of pino costs more than most hooks.
import type { FastifyBaseLogger } from 'fastify';
import { symbols } from 'pino';

type Line = [what: unknown, message?: string, ...values: unknown[]];

export class LateLogger implements FastifyBaseLogger {
  readonly #parent: FastifyBaseLogger;
  readonly #bindings: object;
  readonly #options: object;
  #made: FastifyBaseLogger | undefined;

  /** @param bindings and @param options as those of a child of `parent` */
  constructor(parent: FastifyBaseLogger, bindings: object = {}, options: object = {}) {
    this.#parent = parent;
    this.#bindings = bindings;
    this.#options = options;
  }

  get #child(): FastifyBaseLogger {
    const parent = this.#parent instanceof LateLogger ? this.#parent.#child : this.#parent;
    this.#made ??= parent.child(this.#bindings, this.#options);
    return this.#made;
  }

  /** Where Fastify looks for those of the logger that it is given, which it would replace by its own. */
  get serializers(): unknown {
    return (this.#parent as { [symbols.serializersSym]?: unknown })[symbols.serializersSym];
  }

  get level(): string {
    return this.#parent.level;
  }

  fatal(...line: Line): void {
    this.#child.fatal(...line);
  }

  error(...line: Line): void {
    this.#child.error(...line);
  }

  warn(...line: Line): void {
    this.#child.warn(...line);
  }

  info(...line: Line): void {
    this.#child.info(...line);
  }

  debug(...line: Line): void {
    this.#child.debug(...line);
  }

  trace(...line: Line): void {
    this.#child.trace(...line);
  }

  silent(...line: Line): void {
    this.#child.silent(...line);
  }

  child(bindings: object, options?: object): FastifyBaseLogger {
    return new LateLogger(this, bindings, options);
  }
}

// What every command has: the options that all commands share, the server, output, and a signal that ends it.
import { setTimeout as setTimeoutPromise } from 'node:timers/promises';
import type { HttpRequest, Weir, WeirOptions } from '@weirkeeper/client';
import { ContextFile } from './contexts.ts';
import { curlOf } from './curl.ts';
import { CliError, Ended, exitCodes, usageError } from './errors.ts';
import { Outage } from './outage.ts';
import { type Format, Output, type OutputStream } from './output.ts';
import { type Target, targetOf } from './target.ts';

/** What the process hands over. */
export interface CliProcess {
  env: Readonly<Record<string, string | undefined>>;
  stdin: NodeJS.ReadStream;
  stdout: OutputStream;
  stderr: OutputStream;
}

/** The options that all commands share, as they were parsed. */
export interface GlobalOptions {
  url?: string;
  token?: string;
  context?: string;
  output?: Format;
  /** False with --no-color. */
  color: boolean;
  quiet?: boolean;
  verbose?: boolean;
  timeout?: number;
  yes?: boolean;
  dryRun?: boolean;
}

type Files = Pick<Target, 'cacert' | 'cert' | 'key'>;

/** How long a command tries to reach a server, unless --timeout says another time. */
const retryForMsDefault = 3000;

export class Cli {
  readonly io: CliProcess;
  readonly contexts: ContextFile;
  /** Whether the command goes on until the user ends it: then that is a success. */
  isFollowing = false;
  readonly outage = new Outage((text) => this.out.note(text));
  readonly #ending = new AbortController();
  #globals: GlobalOptions = { color: true };
  #out: Output | undefined;
  #target: Promise<Target> | undefined;
  #weir: Promise<Weir> | undefined;
  #lastCurl = '';
  #timer: ReturnType<typeof setTimeout> | undefined;
  #signalTaker: ((signal: NodeJS.Signals) => void) | undefined;

  constructor(io: CliProcess) {
    this.io = io;
    this.contexts = new ContextFile(io.env);
  }

  /** Takes the options that all commands share; to be called once they are parsed. */
  configure(globals: GlobalOptions): void {
    this.#globals = globals;
    this.#out = undefined;
    const { timeout } = globals;
    if (timeout === undefined) return;
    const late = new CliError(`The command was not done within ${timeout} ms (--timeout).`, exitCodes.timeout);
    this.#timer = setTimeout(() => this.end(late), timeout);
  }

  get globals(): GlobalOptions {
    return this.#globals;
  }

  get out(): Output {
    const { stdout, stderr, env } = this.io;
    this.#out ??= new Output({
      stdout,
      stderr,
      format: this.#globals.output,
      noColor: !this.#globals.color || Boolean(env.NO_COLOR) || env.TERM === 'dumb',
      quiet: this.#globals.quiet ?? false,
    });
    return this.#out;
  }

  /** Aborted when the command shall end: by Ctrl-C, by --timeout, or as nobody reads its output any more. */
  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  /** Ends the command: what waits for the server ends with this reason. */
  end(reason: Error): void {
    this.#ending.abort(reason);
  }

  /** From now on signals are for a command that this one runs, and do not end this one. @returns undoes it */
  takeSignals(take: (signal: NodeJS.Signals) => void): () => void {
    this.#signalTaker = take;
    return () => {
      this.#signalTaker = undefined;
    };
  }

  /** @returns whether a signal was taken by the command that runs */
  passSignal(signal: NodeJS.Signals): boolean {
    this.#signalTaker?.(signal);
    return this.#signalTaker !== undefined;
  }

  /** To be called when a command that follows has ended. @throws the reason, unless it is the user or the reader of the output who ends it */
  throwUnlessEnded(): void {
    const { reason } = this.signal;
    if (this.signal.aborted && !(reason instanceof Ended)) throw reason;
  }

  /** Waits. @throws the reason, if the command ends meanwhile */
  sleep(ms: number): Promise<void> {
    return setTimeoutPromise(ms, undefined, { signal: this.signal }).catch(() => {
      throw this.signal.reason;
    });
  }

  /** The server of the command. */
  target(): Promise<Target> {
    this.#target ??= targetOf(this.#globals, this.io.env, this.contexts);
    return this.#target;
  }

  /** The client; made when it is first asked for. */
  weir(): Promise<Weir> {
    this.#weir ??= this.newWeir();
    return this.#weir;
  }

  /** A client with settings of its own, which its caller closes. @throws CliError if the URL or a file of the target is of no use */
  async newWeir(options: Partial<WeirOptions> = {}): Promise<Weir> {
    const { url, token, context: _, ...files } = await this.target();
    if (Object.keys(files).length > 0) (await import('./certificates.ts')).useCertificates(files);
    const { verbose, timeout = retryForMsDefault } = this.#globals;
    return this.#clientOf({
      url,
      retry: { for: timeout },
      ...(token !== undefined && { token }),
      ...(verbose && {
        fetch: (input: string | URL | Request, init?: RequestInit) => this.#tellAndFetch(files, input, init),
      }),
      ...options,
    });
  }

  /** @throws CliError if it is no URL of a server, or no list of such URLs */
  async checkUrl(url: string): Promise<void> {
    await (await this.#clientOf({ url })).close();
  }

  async #clientOf(options: WeirOptions): Promise<Weir> {
    const { Weir } = await import('@weirkeeper/client');
    try {
      return new Weir(options);
    } catch (error) {
      if (error instanceof TypeError) throw usageError(error.message);
      throw error;
    }
  }

  /**
   * From now on the command goes on until the user ends it: it is a success then, and a server that is away for a while is told of, and
   * waited for. @returns the client of the command from now on @throws CliError, WeirError if no server responds at the beginning
   */
  async follow(): Promise<Weir> {
    this.isFollowing = true;
    const first = await this.newWeir({ fetch });
    try {
      await first.http.send({ path: '/health/live', signal: this.signal });
    } finally {
      await first.close();
    }
    const { outage } = this;
    this.#weir = this.newWeir({
      retry: { for: Number.MAX_SAFE_INTEGER },
      onEvent: (event) => outage.hear(event),
    });
    return this.#weir;
  }

  /** Sends a request of the API, and returns the JSON of its response. */
  async json<T>(request: HttpRequest): Promise<T> {
    const body = await (await this.weir()).http.json<T>({ signal: this.signal, ...request });
    this.outage.ended();
    return body;
  }

  /** Sends a request of the API. */
  async send(request: HttpRequest): Promise<Response> {
    return (await this.weir()).http.send({ signal: this.signal, ...request });
  }

  /** With -v: prints the curl command that a request over a socket stands for. */
  async tellCurl(path: string, { method = 'GET', headers = {}, body }: Omit<HttpRequest, 'path'> = {}): Promise<void> {
    if (!this.#globals.verbose) return;
    const { url, token, context: _, ...files } = await this.target();
    const sent = Object.entries(headers).filter((entry): entry is [string, string] => entry[1] !== undefined);
    this.#tell(
      curlOf({
        method,
        url: `${url.split(',')[0]?.replace(/\/+$/, '')}${path}`,
        headers: { ...Object.fromEntries(sent), ...(token !== undefined && { authorization: token }) },
        ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
        files,
      }),
    );
  }

  /** Closes what the command has used. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await (await this.#weir?.catch(() => undefined))?.close();
  }

  #tell(curl: string): void {
    if (curl === this.#lastCurl) return;
    this.#lastCurl = curl;
    this.out.error(curl);
  }

  #tellAndFetch(files: Files, input: string | URL | Request, init: RequestInit = {}): Promise<Response> {
    const { method = 'GET', headers, body } = init;
    this.#tell(
      curlOf({
        method,
        url: String(input),
        headers: headers as { [name: string]: string },
        ...(body !== undefined && body !== null && { body: body as string | Uint8Array }),
        files,
      }),
    );
    return fetch(input, init);
  }
}

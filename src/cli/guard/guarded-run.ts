// Runs commands while a session certainly lives: the guard gets each new deadline, and hears when the session or the node that stands for
// what is held is gone.
import type { Session, Weir, WeirOptions } from '@weirkeeper/client';
import { Option } from 'commander';
import type { Cli } from '../cli.ts';
import { CliError, usageError } from '../errors.ts';
import { durationMs } from '../values.ts';
import {
  type CommandEnd,
  exitCodeOfCommand,
  Guard,
  type GuardedCommand,
  sharedMs,
  weirFailed,
} from './guarded-command.ts';

/** The longest defaults; with a short time to live both are shares of it. */
const graceMsMax = 5000;
const marginMsMax = 1000;
const ttlMsDefault = 10_000;
/** How long a request is tried while a command waits or runs: brokers and Redis may be away for some time. */
const retryForMs = 60_000;

/** From SIGTERM to SIGKILL, and from SIGKILL to the end of the session. */
interface StopTimes {
  graceMs: number;
  marginMs: number;
}

/**
 * How a command is stopped before a session can end. By default SIGTERM is sent when about a third of the time to live is left; renewals
 * are due when two thirds are.
 * @throws CliError if so much grace would leave no time for a renewal that is late
 */
export function stopTimesOf(ttlMs: number, graceMs = Math.min(graceMsMax, ttlMs / 5)): StopTimes {
  const marginMs = Math.min(marginMsMax, ttlMs / 10);
  const most = Math.floor(ttlMs / 2 - marginMs);
  if (graceMs > most) {
    throw usageError(
      `--grace is ${graceMs} ms; with a session of ${ttlMs} ms it is at most ${most} ms, as a renewal may be late. Set a longer --ttl.`,
    );
  }
  return { graceMs, marginMs };
}

/** Signals that are passed on to the command besides SIGINT and SIGTERM. */
const passedSignals = ['SIGHUP', 'SIGQUIT', 'SIGUSR2', 'SIGWINCH'] as const;

/** Runs commands one after the other under one guard. */
export class GuardedRunner {
  readonly #guard = new Guard();
  readonly #cli: Cli;
  readonly #session: Session | undefined;
  readonly #times: StopTimes | undefined;
  readonly #unlisten: (() => void)[] = [];
  #wasSignalled = false;

  /** @param session without one a command may run for as long as this process does */
  constructor(cli: Cli, session?: Session, graceMs?: number) {
    this.#cli = cli;
    this.#session = session;
    this.#times = session && stopTimesOf(session.ttlMs, graceMs);
    if (!session) return;
    this.#unlisten.push(
      session.onRenewal((deadline) => this.#guard.renewed(sharedMs(deadline))),
      session.onState((state) => state === 'lost' && this.#guard.lost()),
    );
  }

  /** Whether a command has got a signal: then no further one is to begin. */
  get wasSignalled(): boolean {
    return this.#wasSignalled;
  }

  /** @param held the node of what is held; if it is deleted, the command is killed */
  async run(command: GuardedCommand, held?: string): Promise<CommandEnd> {
    const session = this.#session;
    if (session?.state === 'lost') return { kind: 'stopped', reason: 'lost' };
    const ended = new AbortController();
    const passNoLonger = this.#passSignals();
    const lease = session && this.#times && { deadlineMs: sharedMs(session.deadline), ...this.#times };
    const end = this.#guard.run(command, lease);
    if (session && held !== undefined) {
      session.tree.waitFor(held, { until: 'gone', signal: ended.signal }).then(
        () => this.#guard.lost(),
        // The command has ended; or the session has, which the guard is told.
        () => {},
      );
    }
    try {
      return await end;
    } finally {
      passNoLonger();
      ended.abort();
    }
  }

  close(): void {
    for (const unlisten of this.#unlisten) unlisten();
    this.#guard.close();
  }

  /** Signals are for the command while it runs. @returns undoes it */
  #passSignals(): () => void {
    const { signal: ending } = this.#cli;
    const pass = (signal: NodeJS.Signals) => {
      this.#wasSignalled ||= signal !== 'SIGWINCH';
      this.#guard.signal(signal);
    };
    const stop = () => this.#guard.stop();
    // A command that the terminal has stopped would lose what it holds, and so would one whose `weir` has been stopped.
    const refuse = () => this.#cli.out.error('Ctrl-Z is not passed on: the command would lose what it holds.');
    const takeNoLonger = this.#cli.takeSignals(pass);
    for (const signal of passedSignals) process.on(signal, pass);
    process.on('SIGTSTP', refuse);
    ending.addEventListener('abort', stop, { once: true });
    if (ending.aborted) stop();
    return () => {
      takeNoLonger();
      for (const signal of passedSignals) process.removeListener(signal, pass);
      process.removeListener('SIGTSTP', refuse);
      ending.removeEventListener('abort', stop);
    };
  }
}

/** The end of `weir` after the command: with its exit code, and with a reason where `weir` has one. @throws CliError unless the code is 0 */
export function endLike(end: CommandEnd, [program = '']: readonly string[]): void {
  const code = exitCodeOfCommand(end);
  if (code !== 0) throw new CliError(reasonOf(end, program), code);
}

function reasonOf(end: CommandEnd, program: string): string {
  switch (end.kind) {
    case 'exited':
    case 'signalled':
      return '';
    case 'notStarted':
      if (end.code === 'ENOENT') return `${program}: command not found`;
      return `${program} cannot be run: ${end.code === 'EACCES' ? 'permission denied' : end.code}`;
    case 'unguarded':
      return 'The guard of the command has ended or is frozen, so the command was killed.';
    case 'stopped':
      if (end.reason === 'lost')
        return 'The session has ended, or the node of what was held was deleted: the command was killed.';
      return 'The session could not be renewed in time: the command was stopped before anybody else could hold what it held.';
  }
}

/** A client that waits for a server that is away, once it was there. */
export async function patientWeir(cli: Cli, options: Partial<WeirOptions> = {}): Promise<Weir> {
  await cli.send({ path: '/health/live' });
  return cli.newWeir({ retry: { for: retryForMs }, ...options });
}

/** The option of every command that has a session of its own. */
export function ttlOption(): Option {
  return new Option('--ttl <duration>', 'time to live of the session: how long it outlives weir')
    .argParser(durationMs)
    .default(ttlMsDefault, '10s');
}

/** Anything that goes wrong around the command has an exit code that no command has by itself. */
export async function withGuardedErrors(work: () => Promise<void>): Promise<void> {
  const { isWeirError } = await import('@weirkeeper/client');
  try {
    await work();
  } catch (error) {
    if (isWeirError(error)) throw new CliError(error.detail, weirFailed);
    throw error;
  }
}

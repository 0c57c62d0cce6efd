// The side of `weir` of a guarded command: starts the guard, tells it of renewals and signals, and stops the command by itself where the
// guard has ended or is silent.
import { type ChildProcess, spawn } from 'node:child_process';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { signalExitCode } from '../errors.ts';
import type { FromGuard, Lease, StopReason, ToGuard } from './messages.ts';

const program = fileURLToPath(new URL('./guard.js', import.meta.url));

/** A command as the guard starts it. */
export interface GuardedCommand {
  /** The program and its arguments. */
  command: readonly string[];
  env: { readonly [name: string]: string | undefined };
  /** What it reads on its standard input, in place of that of `weir`. */
  input?: Uint8Array;
}

/** How a command has ended. */
export type CommandEnd =
  | { kind: 'exited'; code: number }
  | { kind: 'signalled'; signal: NodeJS.Signals }
  | { kind: 'notStarted'; code: string }
  /** It was stopped, because somebody else could hold what it held. */
  | { kind: 'stopped'; reason: StopReason }
  /** The guard has ended or was killed; the command was killed. */
  | { kind: 'unguarded' };

export class Guard {
  readonly #process: ChildProcess;
  #pid: number | undefined;
  #lease: Lease | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #settle: ((end: CommandEnd) => void) | undefined;
  /** Why the guard stops the command, once it does. */
  #stops: StopReason | undefined;
  #hasEnded = false;
  #isReady = false;
  /** What to run, until the guard is ready for it. */
  #order: (ToGuard & { type: 'run' }) | undefined;
  /** Signals that came before the command has started. */
  #signals: NodeJS.Signals[] = [];

  /** Starts a guard. It ends when it is closed, or this process has ended, and no command of it runs any more. */
  constructor() {
    this.#process = spawn(process.execPath, ['--max-semi-space-size=1', '--max-old-space-size=16', program], {
      // A session of its own: Ctrl-C at the terminal is for `weir`, which passes it on.
      detached: true,
      stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
      // What NODE_OPTIONS asks for is not for the guard. The command gets its environment with the order to run.
      env: {},
    });
    this.#process.on('message', (message: FromGuard) => this.#hear(message));
    const ended = () => {
      this.#hasEnded = true;
      this.#killCommand({ kind: 'unguarded' });
    };
    this.#process.on('error', ended);
    this.#process.on('exit', ended);
  }

  /** Runs a command; one at a time. @param lease until when it may run; without one as long as this process does */
  run({ command: [file = '', ...args], env, input }: GuardedCommand, lease?: Lease): Promise<CommandEnd> {
    return new Promise((resolve) => {
      this.#settle = resolve;
      this.#pid = this.#stops = undefined;
      this.#lease = lease && { ...lease };
      if (this.#hasEnded) {
        this.#killCommand({ kind: 'unguarded' });
        return;
      }
      const known = Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined);
      this.#order = {
        type: 'run',
        command: file,
        args,
        env: Object.fromEntries(known),
        ...(input && { input: Buffer.from(input).toString('base64') }),
      };
      this.#sendOrder();
      this.#watchGuard();
    });
  }

  /** With the newest deadline: a guard may take long to start on a busy machine. */
  #sendOrder(): void {
    const order = this.#order;
    if (!order || !this.#isReady) return;
    this.#order = undefined;
    this.#tell(this.#lease ? { ...order, lease: this.#lease } : order);
  }

  /** The session was renewed. */
  renewed(deadlineMs: number): void {
    if (this.#lease) this.#lease.deadlineMs = deadlineMs;
    this.#tell({ type: 'renewed', deadlineMs });
    this.#watchGuard();
  }

  /** The session has ended: kills the command. */
  lost(): void {
    if (this.#order) this.#end({ kind: 'stopped', reason: 'lost' });
    else this.#tell({ type: 'lost' });
  }

  /** Stops the command: SIGTERM, and after its grace SIGKILL. */
  stop(): void {
    if (this.#order) this.#end({ kind: 'stopped', reason: 'ended' });
    else this.#tell({ type: 'stop' });
  }

  /** Passes a signal on to the process group of the command. */
  signal(signal: NodeJS.Signals): void {
    if (this.#pid === undefined) this.#signals.push(signal);
    else this.#tell({ type: 'signal', signal });
  }

  /** Ends the guard, and a command that still runs. */
  close(): void {
    clearTimeout(this.#timer);
    if (this.#process.connected) this.#process.disconnect();
  }

  #tell(message: ToGuard): void {
    // A guard that has just ended is heard of by its exit.
    if (this.#process.connected) this.#process.send(message, () => {});
  }

  #hear(message: FromGuard): void {
    switch (message.type) {
      case 'ready':
        this.#isReady = true;
        this.#sendOrder();
        break;
      case 'started':
        this.#pid = message.pid;
        for (const signal of this.#signals.splice(0)) this.signal(signal);
        break;
      case 'failed':
        this.#end({ kind: 'notStarted', code: message.code });
        break;
      case 'stops':
        this.#stops = message.reason;
        break;
      case 'ended':
        this.#end(endOf(message));
    }
  }

  /** A guard that does not stop the command in time is frozen. */
  #watchGuard(): void {
    clearTimeout(this.#timer);
    if (!this.#lease || !this.#settle) return;
    const waitMs = this.#leftMs;
    if (waitMs > 0) this.#timer = setTimeout(() => this.#watchGuard(), waitMs);
    // This process itself may have been frozen: then the guard has told meanwhile that it stops the command, or how it has ended.
    else setImmediate(() => this.#leftMs <= 0 && this.#killInTime());
  }

  /** The guard has not told that the command has ended. If it does stop it, that may only be known late. */
  #killInTime(): void {
    this.#killCommand(this.#stops ? { kind: 'stopped', reason: this.#stops } : { kind: 'unguarded' });
  }

  /** Until the guard must have stopped the command. */
  get #leftMs(): number {
    return this.#lease ? this.#lease.deadlineMs - this.#lease.marginMs / 2 - monotonicMs() : Number.POSITIVE_INFINITY;
  }

  #killCommand(end: CommandEnd): void {
    if (!this.#settle) return;
    if (this.#pid !== undefined) {
      try {
        process.kill(-this.#pid, 'SIGKILL');
      } catch {
        // Nothing is left of it.
      }
    }
    this.#process.kill('SIGKILL');
    this.#end(end);
  }

  #end(end: CommandEnd): void {
    clearTimeout(this.#timer);
    const settle = this.#settle;
    this.#settle = this.#lease = this.#pid = this.#order = undefined;
    this.#signals = [];
    settle?.(end);
  }
}

/** A time of `performance.now()`, on the clock that all processes of the machine share. */
export function sharedMs(time: number): number {
  // Read in this order, a pause in between makes the result earlier, never later.
  const shared = monotonicMs();
  return shared + time - performance.now();
}

function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

function endOf({ code, signal, stopped }: FromGuard & { type: 'ended' }): CommandEnd {
  if (stopped) return { kind: 'stopped', reason: stopped };
  return signal ? { kind: 'signalled', signal } : { kind: 'exited', code: code ?? 1 };
}

/** The exit code of a shell for what has ended so, or of `weir` if it had to stop the command. */
export function exitCodeOfCommand(end: CommandEnd): number {
  switch (end.kind) {
    case 'exited':
      return end.code;
    case 'signalled':
      return signalExitCode(end.signal);
    case 'notStarted':
      return end.code === 'ENOENT' ? 127 : 126;
    default:
      return weirFailed;
  }
}

/** The exit code of `weir` if it has failed itself, or has stopped the command. */
export const weirFailed = 125;

// The guard of a command: a small process between `weir` and the command, which stops the command in time when `weir` cannot. It starts the
// command in a process group of its own. It sends SIGTERM to the group, and then SIGKILL before the session can have ended, unless
// `weir` tells of a renewal before that: so it does not matter whether `weir` has lost the server, is frozen, or was killed.
//
// It is a program for Node.js and no shell script: the shell has no monotonic clock, so a correction of the time of day would move the
// deadline, and no timer below a second that works everywhere. It loads nothing but the start of processes; of its memory 6 MiB are not
// shared with `weir`.
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import type { FromGuard, Lease, StopReason, ToGuard } from './messages.ts';

/** How often it looks whether the group has ended. */
const pollMs = 50;
/** What is left of a group after SIGKILL is dead, and only nobody has waited for it. */
const afterKillMsMax = 1000;
/** The time to end of what a command has left behind, if it has no lease. */
const graceMsDefault = 5000;

let command: ChildProcess | undefined;
/** The process group of the command; 0 before there was one. */
let group = 0;
let lease: Lease | undefined;
let timer: ReturnType<typeof setTimeout> | undefined;
let stopped: StopReason | undefined;
/** When the group gets SIGKILL, once it has got SIGTERM. */
let killAtMs: number | undefined;
let end: { code: number | null; signal: NodeJS.Signals | null } | undefined;

function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

function tell(message: FromGuard): void {
  if (process.connected) process.send?.(message);
}

/** @returns whether there is anything in the group */
function signalGroup(signal: NodeJS.Signals | 0): boolean {
  if (group === 0) return false;
  try {
    return process.kill(-group, signal);
  } catch (error) {
    // Something is there that this user may not signal, such as a program that has changed its user.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/**
 * Whether all that is left of the group is dead, and only nobody has waited for it. In a container whose first process is not an init, a
 * process that has lost its parent stays so for good. Where /proc does not tell, nothing is dead.
 */
function isGroupDead(): boolean {
  let isDead = false;
  for (const pid of processIds()) {
    let stat: string;
    try {
      stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    } catch {
      // It has ended meanwhile.
      continue;
    }
    // The name of the program stands in parentheses, and may hold any character.
    const [state = '', , processGroup] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (Number(processGroup) !== group) continue;
    if (!'ZX'.includes(state)) return false;
    isDead = true;
  }
  return isDead;
}

function processIds(): string[] {
  try {
    return readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
}

function run({ command: file, args, env, input, lease: given }: ToGuard & { type: 'run' }): void {
  lease = given;
  group = 0;
  stopped = end = killAtMs = undefined;
  if (leftMs() <= 0) {
    tell({ type: 'ended', code: null, signal: null, stopped: 'deadline' });
    return;
  }
  const failed = ({ code, message }: NodeJS.ErrnoException) => tell({ type: 'failed', code: code ?? message });
  let child: ChildProcess;
  try {
    const stdin = input === undefined ? 'inherit' : 'pipe';
    child = spawn(file, args, { env, stdio: [stdin, 'inherit', 'inherit'], detached: true });
  } catch (error) {
    failed(error as NodeJS.ErrnoException);
    return;
  }
  child.on('error', (error) => group === 0 && failed(error));
  if (child.pid === undefined) return;
  command = child;
  group = child.pid;
  tell({ type: 'started', pid: group });
  child.on('exit', (code, signal) => {
    end = { code, signal };
    // What it has left running in its group would go on after the lock is released.
    if (killAtMs === undefined) stop(now() + (lease?.graceMs ?? graceMsDefault));
    finish();
  });
  // The command may end without reading it.
  child.stdin?.on('error', () => {});
  child.stdin?.end(Buffer.from(input ?? '', 'base64'));
  watchDeadline();
}

/** How long the command may run on without a renewal. */
function leftMs(): number {
  return lease ? lease.deadlineMs - lease.marginMs - lease.graceMs - now() : Number.POSITIVE_INFINITY;
}

/** Stops the command when its time is over. */
function watchDeadline(): void {
  clearTimeout(timer);
  if (!lease || killAtMs !== undefined) return;
  const waitMs = leftMs();
  if (waitMs > 0) timer = setTimeout(watchDeadline, waitMs);
  else stop(lease.deadlineMs - lease.marginMs, 'deadline');
}

/** SIGTERM at once, SIGKILL at `killMs`, or before the deadline if that is earlier. */
function stop(killMs: number, reason?: StopReason): void {
  clearTimeout(timer);
  if (reason && !stopped) tell({ type: 'stops', reason });
  stopped ??= reason;
  const lastMs = lease ? lease.deadlineMs - lease.marginMs : killMs;
  const isFirst = killAtMs === undefined;
  killAtMs = Math.min(killMs, lastMs, killAtMs ?? killMs);
  if (isFirst && killAtMs > now()) signalGroup('SIGTERM');
  // A command that is stopped, by SIGSTOP or a terminal, gets SIGTERM only when it goes on.
  if (isFirst) signalGroup('SIGCONT');
  finish();
}

/** Waits until the group has ended, and tells so. */
function finish(): void {
  clearTimeout(timer);
  if (!command || killAtMs === undefined) return;
  const time = now();
  const isThere = signalGroup(time >= killAtMs ? 'SIGKILL' : 0);
  if (end && (!isThere || time > killAtMs + afterKillMsMax || isGroupDead())) {
    command = undefined;
    tell({ type: 'ended', ...end, stopped });
    return;
  }
  timer = setTimeout(finish, Math.max(1, time < killAtMs ? Math.min(pollMs, killAtMs - time) : pollMs));
}

process.on('message', (message: ToGuard) => {
  switch (message.type) {
    case 'run':
      run(message);
      break;
    case 'renewed':
      if (!lease || killAtMs !== undefined) break;
      lease.deadlineMs = Math.max(lease.deadlineMs, message.deadlineMs);
      watchDeadline();
      break;
    case 'lost':
      if (command) stop(now(), 'lost');
      break;
    case 'stop':
      if (command) stop(now() + (lease?.graceMs ?? graceMsDefault), 'ended');
      break;
    case 'signal':
      signalGroup(message.signal);
  }
});

process.on('disconnect', () => {
  if (command) stop(now() + (lease?.graceMs ?? graceMsDefault), 'orphaned');
});

// It ends when the command has ended: whoever sends a signal to all processes of a service sends it to the command as well.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const) process.on(signal, () => {});

tell({ type: 'ready' });

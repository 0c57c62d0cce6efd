/**
 * One redis-server process: started by this process, or taken over from an earlier server. Both have the same interface. The
 * output of a started Redis goes to the log. embedded-redis.ts decides when to start and end processes.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readlinkSync, statSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { Logger } from 'pino';
import { isAlive, type ProcessIdentity } from './process-lock.ts';
import type { RedisBinary } from './redis-binary.ts';

export interface RedisExit {
  /** Null if a signal ended it, or if it was taken over: only the parent process learns the code. */
  code: number | null;
  signal: NodeJS.Signals | null;
  /** The last lines of its output. */
  lastLines: string[];
}

export interface RedisProcess {
  readonly pid: number;
  /** Resolves when the process has ended. */
  readonly exit: Promise<RedisExit>;
  /** How it ended; undefined while it runs. */
  readonly exited: RedisExit | undefined;
  kill(signal: 'SIGTERM' | 'SIGKILL'): void;
}

type Log = Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;

/** Interval at which a process that is not a child is checked, ms. */
const adoptedPollMs = 100;

/** Running processes. They are ended if this process ends without stopping them, by process.exit() or a throw. */
const running = new Set<RedisProcess>();

process.once('exit', () => {
  for (const redis of running) redis.kill('SIGTERM');
});

/** Starts `binary` with `args`. @throws Error if the process cannot be started */
export async function spawnRedis(
  binary: Pick<RedisBinary, 'command' | 'env'>,
  args: string[],
  log: Log,
): Promise<RedisProcess> {
  // Its files are readable by this user only.
  const umask = process.umask(0o077);
  const child = spawn(binary.command, args, {
    // The environment of this process may contain passwords, so Redis does not inherit it.
    env: binary.env,
    // In its own process group, so that Ctrl-C at the terminal does not end Redis while the server drains.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  process.umask(umask);
  const lastLines: string[] = [];
  const outputEnded = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const exit = new Promise<RedisExit>((resolve) => {
    child.once('exit', (code, signal) => {
      // The last lines give the reason and may arrive after the exit. The wait is bounded, as a fork of Redis can hold the pipe open.
      const timer = setTimeout(finish, 500);
      void outputEnded.then(finish);
      function finish(): void {
        clearTimeout(timer);
        resolve({ code, signal, lastLines });
      }
    });
  });
  const { pid } = child;
  if (pid === undefined) {
    const [error] = await once(child, 'error');
    throw new Error(`${binary.command} cannot be started`, { cause: error });
  }
  child.on('error', (error) =>
    log.error({ err: error, redisPid: pid }, 'A signal could not be sent to the private Redis'),
  );
  const remember = (line: string): void => {
    lastLines.push(line);
    if (lastLines.length > 5) lastLines.shift();
  };
  readLines(child.stdout, (line) => {
    const { level, text } = parseLogLine(line);
    remember(text);
    log[level]({ redisPid: pid }, `redis: ${text}`);
  });
  readLines(child.stderr, (line) => {
    remember(line);
    log.error({ redisPid: pid }, `redis: ${line}`);
  });
  return follow(pid, exit, (signal) => child.kill(signal));
}

const serverProgram = /(^|\/)(redis|valkey)-(server|check-rdb)( \(deleted\))?$/;

/**
 * Whether a process is a Redis of this user that works in `dataDir`. The lock file may be old or forged, and no other process
 * may be ended because of it.
 */
export function isRedisOf(pid: number, dataDir: string): boolean {
  try {
    if (process.platform !== 'linux') {
      const [uid, ...command] = execFileSync('ps', ['-o', 'uid=,comm=', '-p', String(pid)], { encoding: 'utf8' })
        .trim()
        .split(/\s+/);
      return Number(uid) === process.getuid?.() && serverProgram.test(command.join(' '));
    }
    return (
      statSync(`/proc/${pid}`).uid === process.getuid?.() &&
      serverProgram.test(readlinkSync(`/proc/${pid}/exe`)) &&
      readlinkSync(`/proc/${pid}/cwd`).replace(/ \(deleted\)$/, '') === dataDir
    );
  } catch {
    return false; // it has ended, or belongs to another user
  }
}

/** A Redis that is not a child of this process: its end is noticed by polling, its exit code is unknown. */
export function adoptProcess(identity: ProcessIdentity): RedisProcess {
  const exit = new Promise<RedisExit>((resolve) => {
    const timer = setInterval(() => {
      if (isAlive(identity)) return;
      clearInterval(timer);
      resolve({ code: null, signal: null, lastLines: [] });
    }, adoptedPollMs);
  });
  return follow(identity.pid, exit, (signal) => {
    // The pid may belong to another process by now.
    if (isAlive(identity)) process.kill(identity.pid, signal);
  });
}

function follow(pid: number, exit: Promise<RedisExit>, send: (signal: 'SIGTERM' | 'SIGKILL') => void): RedisProcess {
  let exited: RedisExit | undefined;
  const redis: RedisProcess = {
    pid,
    exit,
    get exited() {
      return exited;
    },
    kill: (signal) => {
      if (!exited) send(signal);
    },
  };
  running.add(redis);
  void exit.then((how) => {
    exited = how;
    running.delete(redis);
  });
  return redis;
}

function readLines(stream: Readable, take: (line: string) => void): void {
  createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY }).on('line', (line) => {
    if (line.trim() !== '') take(line);
  });
}

/** Lines that Redis marks as warnings at each normal start and end. */
const routine = new RegExp(
  '^(oO0OoO0OoO0Oo|Redis version=|Valkey version=|Configuration loaded|Server initialized' +
    '|User requested shutdown|(Redis|Valkey) is now ready to exit)',
);

/** What Redis finds at the machine at each start. It is advice, which this server passes on, and no event. */
const advice =
  /^WARNING (Memory overcommit|you have Transparent Huge Pages|The TCP backlog)|^Increased maximum number of open files/;

/** Parses `<pid>:<role> <date and time> <mark> <text>`. The mark `#` is a warning; `*`, `-` and `.` are notices, for who looks for a fault. */
function parseLogLine(line: string): { level: 'debug' | 'info' | 'warn'; text: string } {
  const [, mark, text] = /^\d+:[A-Z] \d+ \w+ \d+ [\d:.]+ ([#*.-]) (.*)$/.exec(line) ?? [];
  if (mark !== undefined && text !== undefined) {
    if (mark !== '#' || routine.test(text)) return { level: 'debug', text };
    return { level: advice.test(text) ? 'info' : 'warn', text };
  }
  const fromSignal = /^\d+:signal-handler \(\d+\) (.*)$/.exec(line)?.[1];
  // Lines without a mark are part of a crash report.
  return fromSignal !== undefined ? { level: 'debug', text: fromSignal } : { level: 'warn', text: line };
}

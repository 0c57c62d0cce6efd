/**
 * One run of a redis-server: started by this process, or left behind by an earlier one and taken over. Both look the
 * same to whoever watches them. Also brings what Redis prints into the log. When to start or end one is the business
 * of embedded-redis.ts.
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
  /** Null if it was ended by a signal, and for one that was taken over: only a parent learns the code. */
  code: number | null;
  signal: NodeJS.Signals | null;
  /** The last lines that it printed. */
  lastLines: string[];
}

export interface RedisProcess {
  readonly pid: number;
  /** Resolves when it is gone. */
  readonly exit: Promise<RedisExit>;
  /** How it ended; undefined while it lives. */
  readonly exited: RedisExit | undefined;
  kill(signal: 'SIGTERM' | 'SIGKILL'): void;
}

type Log = Pick<Logger, 'info' | 'warn' | 'error'>;

/** How often a Redis that is not a child is looked after. */
const adoptedPollMs = 100;

/** Those that must not be left behind when this process ends without stopping them, by process.exit() or a throw. */
const running = new Set<RedisProcess>();

process.once('exit', () => {
  for (const redis of running) redis.kill('SIGTERM');
});

/** Starts `binary` with `args`. Rejects if the process cannot be made. */
export async function spawnRedis(
  binary: Pick<RedisBinary, 'command' | 'env'>,
  args: string[],
  log: Log,
): Promise<RedisProcess> {
  // What it writes is for this user alone.
  const umask = process.umask(0o077);
  const child = spawn(binary.command, args, {
    // What this process has in its environment, passwords perhaps, is no business of Redis.
    env: binary.env,
    // A process group of its own: Ctrl-C at the terminal must not end Redis while the server is still draining.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  process.umask(umask);
  const lastLines: string[] = [];
  const outputEnded = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const exit = new Promise<RedisExit>((resolve) => {
    child.once('exit', (code, signal) => {
      // The last lines say why, and may still be on their way; but a fork of Redis can hold the pipe for long.
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
  child.on('error', (error) => log.error({ err: error, redisPid: pid }, 'A signal could not be sent to Redis'));
  const keep = (line: string): void => {
    lastLines.push(line);
    if (lastLines.length > 5) lastLines.shift();
  };
  readLines(child.stdout, (line) => {
    const { level, text } = parseLogLine(line);
    keep(text);
    log[level]({ redisPid: pid }, `redis: ${text}`);
  });
  readLines(child.stderr, (line) => {
    keep(line);
    log.error({ redisPid: pid }, `redis: ${line}`);
  });
  return follow(pid, exit, (signal) => child.kill(signal));
}

const serverProgram = /(^|\/)(redis|valkey)-(server|check-rdb)( \(deleted\))?$/;

/**
 * Whether a process is a Redis of this user that works in `dataDir`: what a file says of a process may be old, or planted, and
 * nobody else is to be ended for it.
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
    return false; // it is gone, or another user's
  }
}

/** A Redis that is not a child of this process: its end is noticed by looking, its code is not known. */
export function adoptProcess(identity: ProcessIdentity): RedisProcess {
  const exit = new Promise<RedisExit>((resolve) => {
    const timer = setInterval(() => {
      if (isAlive(identity)) return;
      clearInterval(timer);
      resolve({ code: null, signal: null, lastLines: [] });
    }, adoptedPollMs);
  });
  return follow(identity.pid, exit, (signal) => {
    // Its pid may be another's by now.
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

/** What Redis prints with the mark of a warning each time it starts and ends. */
const routine = new RegExp(
  '^(oO0OoO0OoO0Oo|Redis version=|Valkey version=|Configuration loaded|Server initialized' +
    '|User requested shutdown|(Redis|Valkey) is now ready to exit)',
);

/** `<pid>:<role> <date and time> <mark> <text>`; the mark `#` is a warning, `*`, `-` and `.` are less and less. */
function parseLogLine(line: string): { level: 'info' | 'warn'; text: string } {
  const [, mark, text] = /^\d+:[A-Z] \d+ \w+ \d+ [\d:.]+ ([#*.-]) (.*)$/.exec(line) ?? [];
  if (mark !== undefined && text !== undefined) {
    return { level: mark === '#' && !routine.test(text) ? 'warn' : 'info', text };
  }
  const fromSignal = /^\d+:signal-handler \(\d+\) (.*)$/.exec(line)?.[1];
  // Anything else has no mark of its own: a crash report.
  return fromSignal !== undefined ? { level: 'info', text: fromSignal } : { level: 'warn', text: line };
}

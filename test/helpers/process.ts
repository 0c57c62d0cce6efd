// Starts the server as a separate process, for tests that kill or stop it as an operator would.
import { type ChildProcess, spawn } from 'node:child_process';
import type { Test } from 'tap';
import { untilServing } from '../../testbed/server-start.ts';
import { programToStart } from './programs.ts';

export interface ServerProcess {
  url: string;
  child: ChildProcess;
  /** Its log so far, one entry per line. */
  log: Record<string, unknown>[];
  /** Resolves with the exit code, or the signal that ended it. */
  exited: Promise<number | NodeJS.Signals | null>;
}

/** Starts `weir` on a free port and waits until it serves; it is killed with the test. Rejects with its error output. */
export async function startServerProcess(t: Test, env: Record<string, string> = {}): Promise<ServerProcess> {
  const program = programToStart('server');
  const child = spawn(process.execPath, [program.file], {
    env: { PATH: process.env.PATH ?? '', WEIR_PORT: '0', ...program.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  const log: Record<string, unknown>[] = [];
  const exited = new Promise<number | NodeJS.Signals | null>((resolve) => {
    child.once('exit', (code, signal) => resolve(signal ?? code));
  });
  let url = '';
  await untilServing(child, (entry) => {
    log.push(entry);
    if (entry.msg !== 'Weirkeeper serves') return false;
    url = String(entry.url);
    return true;
  });
  return { url, child, log, exited };
}

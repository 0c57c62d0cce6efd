// A program on a terminal of its own: the command `script` of util-linux, which every distribution has, makes the terminal.
import { spawn } from 'node:child_process';
import type { Test } from 'tap';
import { within } from '../../testbed/scope.ts';

export interface PtyProcess {
  /** All that it has written so far, with the control sequences of terminals. */
  output(): string;
  /** Types on its keyboard, such as `\x03` for Ctrl-C. */
  type(keys: string): void;
  /** Resolves with its exit code; fails with its output if it does not end. */
  readonly exited: Promise<number | null>;
}

/** Starts a program on a terminal of 100 columns; it ends with the test. */
export function startOnPty(t: Test, command: readonly string[], env: Record<string, string> = {}): PtyProcess {
  const line = command.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
  const child = spawn('script', ['-qefc', `stty cols 100; exec ${line}`, '/dev/null'], {
    env: { PATH: process.env.PATH ?? '', TERM: 'xterm-256color', ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stdin.on('error', () => undefined);
  const closed = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
  // Without its terminal the program gets SIGHUP, which ends it.
  t.teardown(() => child.kill('SIGTERM'));
  return {
    output: () => output,
    type: (keys) => void child.stdin.write(keys),
    get exited() {
      return within(closed, `${line} ends`, { evidence: () => output });
    },
  };
}

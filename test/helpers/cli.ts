// Runs the command line: in the process of the test, or in one of its own, as users do.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import { runCommandLine } from '../../src/cli/program.ts';
import { temporaryFolder } from '../../testbed/scope.ts';

const main = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

export interface CliResult {
  code: number | NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  input?: string | Uint8Array;
  env?: Record<string, string>;
}

export interface StartedCli {
  child: ChildProcessWithoutNullStreams;
  /** What it has printed so far. */
  output: CliResult;
  exited: Promise<CliResult>;
}

/** The command line in a home of its own, which is the folder of this process meanwhile, with the servers of one URL. */
export class TestCli {
  readonly folder: string;
  readonly env: Record<string, string>;
  readonly #t: Test;

  constructor(t: Test, url: string) {
    this.#t = t;
    this.folder = temporaryFolder(t);
    const before = process.cwd();
    process.chdir(this.folder);
    t.teardown(() => process.chdir(before));
    const bin = join(this.folder, 'bin');
    mkdirSync(bin);
    writeFileSync(join(bin, 'weir'), `#!/bin/sh\nexec '${process.execPath}' '${main}' "$@"\n`, { mode: 0o755 });
    this.env = { PATH: `${bin}:${process.env.PATH ?? ''}`, HOME: this.folder, WEIR_URL: url, LANG: 'C.UTF-8' };
  }

  /** Runs `weir` with these arguments to its end, in this process: it costs a tenth of a process of its own. */
  async run(args: readonly string[], { input = '', env }: RunOptions = {}): Promise<CliResult> {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const output = Promise.all([text(stdout), text(stderr)]);
    const stdin = Readable.from([Buffer.from(input)]) as NodeJS.ReadStream;
    const code = await runCommandLine(args, { env: { ...this.env, ...env }, stdin, stdout, stderr });
    for (const stream of [stdout, stderr]) stream.end();
    const [out, err] = await output;
    return { code, stdout: out, stderr: err };
  }

  /** As `run`, in a process of its own. */
  async runProcess(args: readonly string[], { input, env }: RunOptions = {}): Promise<CliResult> {
    const { child, exited } = this.start(args, env);
    child.stdin.end(input ?? '');
    return exited;
  }

  /** Runs a line of a shell, in which `weir` is a command. */
  async shell(line: string, { input, env }: RunOptions = {}): Promise<CliResult> {
    const { child, exited } = this.startShell(line, env);
    child.stdin.end(input ?? '');
    return exited;
  }

  /** Starts `weir`; its stdin is open. It is killed with the test. */
  start(args: readonly string[], env?: Record<string, string>): StartedCli {
    return this.#spawn(process.execPath, [main, ...args], env);
  }

  /** Starts a line of a shell; its stdin is open. It is killed with the test. */
  startShell(line: string, env?: Record<string, string>): StartedCli {
    return this.#spawn('sh', ['-c', line], env);
  }

  #spawn(program: string, args: readonly string[], env: Record<string, string> = {}): StartedCli {
    const child = spawn(program, args, { cwd: this.folder, env: { ...this.env, ...env } });
    this.#t.teardown(() => child.kill('SIGKILL'));
    const output: CliResult = { code: null, stdout: '', stderr: '' };
    child.stdin.on('error', () => {});
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output.stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      output.stderr += text;
    });
    const exited = new Promise<CliResult>((resolve) => {
      child.once('close', (code, signal) => {
        output.code = signal ?? code;
        resolve(output);
      });
    });
    return { child, output, exited };
  }
}

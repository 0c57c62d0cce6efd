// Runs the command line: in the process of the test, or in one of its own, as users do.
import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { Test } from 'tap';
import { runCommandLine } from '../../src/cli/program.ts';
import { temporaryFolder, within } from '../../testbed/scope.ts';
import { bundledProgram, programToStart } from './programs.ts';

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
  /** Resolves when it has ended, and nothing that it has started can write to its output; fails if that takes too long. */
  readonly exited: Promise<CliResult>;
}

/** More than the longest command takes on a busy machine, less than the time of a test file. */
const endMsMax = 150_000;

/** The processes of command lines, guards and shells, with their states: why one does not end. */
function processes(): string {
  try {
    const columns = 'pid,ppid,pgid,sid,stat,etimes,wchan:20,args';
    const lines = execFileSync('ps', ['-ww', '-eo', columns], { encoding: 'utf8' }).split('\n');
    return lines.filter((line) => /PID|cli\/|sleep|\bsh -c\b|defunct/.test(line)).join('\n');
  } catch (error) {
    return `ps: ${String(error)}`;
  }
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
    writeFileSync(join(bin, 'weir'), `#!/bin/sh\nexec '${process.execPath}' "$TEST_PROGRAM" "$@"\n`, { mode: 0o755 });
    this.env = {
      PATH: `${bin}:${process.env.PATH ?? ''}`,
      HOME: this.folder,
      WEIR_URL: url,
      LANG: 'C.UTF-8',
      TEST_PROGRAM: bundledProgram('weir'),
    };
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
    const started = this.start(args, env);
    started.child.stdin.end(input ?? '');
    return started.exited;
  }

  /** Runs a line of a shell, in which `weir` is a command. */
  async shell(line: string, { input, env }: RunOptions = {}): Promise<CliResult> {
    const started = this.startShell(line, env);
    started.child.stdin.end(input ?? '');
    return started.exited;
  }

  /** Starts `weir`; its stdin is open. It is killed with the test. */
  start(args: readonly string[], env?: Record<string, string>): StartedCli {
    const program = programToStart('weir');
    return this.#spawn(process.execPath, [program.file, ...args], { ...program.env, ...env });
  }

  /** Starts a line of a shell; its stdin is open. It is killed with the test. */
  startShell(line: string, env?: Record<string, string>): StartedCli {
    const program = programToStart('weir');
    return this.#spawn('sh', ['-c', line], { TEST_PROGRAM: program.file, ...program.env, ...env });
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
    const closed = new Promise<CliResult>((resolve) => {
      child.once('close', (code, signal) => {
        output.code = signal ?? code;
        resolve(output);
      });
    });
    const state = () => `stdout: ${output.stdout}\nstderr: ${output.stderr}\n${processes()}`;
    return {
      child,
      output,
      get exited() {
        return within(closed, `${args.join(' ')} ends`, { withinMs: endMsMax, evidence: state });
      },
    };
  }
}

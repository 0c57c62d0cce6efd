// Runs the recipes of examples/recipes as a user would: as separate processes, which can be killed.
import { type ChildProcess, spawn } from 'node:child_process';
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Test } from 'tap';
import { projectRoot } from '../../src/config/config.ts';
import { temporaryFolder } from '../../testbed/scope.ts';
import { eventually } from '../helpers/server.ts';

export const recipesFolder = join(projectRoot(), 'examples/recipes');

/**
 * A long TTL, so that a slow machine loses no session, and a short one for tests that lose a session. A script renews after
 * 1/3 of the TTL and gives up after 4/5 of it without a response: a TTL of 2 s was too short for a pause of 1 s.
 */
export const lastingTtlMs = 15_000;
export const shortTtlMs = 4000;

export interface RecipeProcess {
  child: ChildProcess;
  /** The output of the script and its commands so far. */
  lines: string[];
  errors: string[];
  hasEnded: boolean;
  /** The exit code, or the signal that ended it. Its commands may outlive it. */
  exited: Promise<number | NodeJS.Signals | null>;
  /** Kills only the script, with SIGKILL: it cannot clean up, and its command keeps running. */
  kill9(): Promise<void>;
  /** Sends a signal to the script and all processes that it started. */
  signalAll(signal: NodeJS.Signals): void;
}

export interface Recipes {
  /** A folder for files that the commands share. */
  folder: string;
  /** A file in that folder, line by line; none if it does not exist yet. */
  lines(file: string): string[];
  write(file: string, line: string): void;
  start(script: string, args: string[], options?: { ttlMs?: number; url?: string }): RecipeProcess;
  /** Runs a recipe to its end; its exit code must be 0. @returns its output */
  run(script: string, args: string[], options?: { ttlMs?: number; url?: string }): Promise<string[]>;
}

/** Recipes against the server at `url`, with more in their environment. Processes that still run are killed when the test ends. */
export function recipesFor(t: Test, url: string, env: Readonly<Record<string, string>> = {}): Recipes {
  const folder = temporaryFolder(t);
  const path = (file: string) => join(folder, file);

  const start: Recipes['start'] = (script, args, options = {}) => {
    const child = spawn(join(recipesFolder, script), args, {
      cwd: folder,
      env: {
        PATH: `${recipesFolder}:${process.env.PATH}`,
        WEIR_URL: options.url ?? url,
        ...env,
        SESSION_TTL_MS: String(options.ttlMs ?? lastingTtlMs),
      },
      stdio: ['ignore', 'pipe', 'pipe'],
      // A process group of its own, so that commands that outlive the script can be ended.
      detached: true,
    });
    const signalAll = (signal: NodeJS.Signals) => {
      try {
        process.kill(-child.pid!, signal);
      } catch (error) {
        // No process of the group is left.
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
      }
    };
    t.teardown(() => {
      // If the test fails, the output of its scripts helps to find the reason.
      if (!t.passing())
        t.comment(script, args.join(' '), child.exitCode ?? child.signalCode ?? 'runs', errors.join('\n'));
      signalAll('SIGKILL');
    });
    const lines: string[] = [];
    const errors: string[] = [];
    createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
    createInterface({ input: child.stderr }).on('line', (line) => errors.push(line));
    const running: RecipeProcess = {
      child,
      lines,
      errors,
      hasEnded: false,
      exited: new Promise((resolve, reject) => {
        child.once('error', reject);
        child.once('exit', (code, signal) => {
          running.hasEnded = true;
          resolve(signal ?? code);
        });
      }),
      kill9: async () => {
        child.kill('SIGKILL');
        await running.exited;
      },
      signalAll,
    };
    return running;
  };

  return {
    folder,
    lines: (file) => (existsSync(path(file)) ? readFileSync(path(file), 'utf8').split('\n').slice(0, -1) : []),
    write: (file, line) => appendFileSync(path(file), `${line}\n`),
    start,
    run: async (script, args, options) => {
      const running = start(script, args, options);
      const closed = new Promise((resolve) => running.child.once('close', resolve));
      const ended = await running.exited;
      if (ended !== 0) throw new Error(`${script} ${args.join(' ')} ended with ${ended}: ${running.errors.join('\n')}`);
      await closed;
      return running.lines;
    },
  };
}

/** Waits until a recipe has written a line. */
export function written(recipe: RecipeProcess, line: string): Promise<unknown> {
  return eventually(() => {
    if (recipe.hasEnded && !recipe.lines.includes(line)) throw new Error(`It ended: ${recipe.errors.join('\n')}`);
    return recipe.lines.includes(line);
  }, `a recipe writes "${line}"`);
}

// Programs that check what is deployed. Not every machine has them: what needs a missing one is skipped, and a line says so.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { projectRoot } from '../../src/config/config.ts';

export const root = projectRoot();
export const deployFolder = join(root, 'deploy');

/** @returns for the options of a test: whether to skip it, with the reason */
export function needing(program: string, remedy: string): { skip: string | false } {
  const { error, status } = spawnSync(program, [program === 'helm' ? 'version' : '--version'], { encoding: 'utf8' });
  if (!error && status === 0) return { skip: false };
  const skip = `${program} is not installed; ${remedy}`;
  process.stderr.write(`skipped: ${skip}\n`);
  return { skip };
}

export const withPromtool = needing('promtool', 'on Debian and Ubuntu it is in the package prometheus');

export interface Outcome {
  status: number | null;
  /** Standard output and errors. */
  text: string;
  stdout: string;
}

/** Runs a program to its end. @param input its standard input */
export function run(program: string, args: readonly string[], input?: string): Outcome {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    encoding: 'utf8',
    cwd: deployFolder,
    maxBuffer: 2 ** 26,
    ...(input !== undefined && { input }),
  });
  return { status, stdout, text: `${stdout}${stderr}${error?.message ?? ''}` };
}

/** A folder for a test, removed with it. */
export function folderFor(t: { teardown(end: () => void): void }): string {
  const folder = mkdtempSync(join(tmpdir(), 'weir-deploy-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

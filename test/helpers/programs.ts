// The programs that tests start as processes.
import { fileURLToPath } from 'node:url';

/** The programs by the names of their bundles, and the modules that they begin with. */
const modules = { server: 'src/main.js', weir: 'src/cli/main.js' };
type ProgramName = keyof typeof modules;

export interface Program {
  file: string;
  /** Variables that it is started with, besides those of the test. */
  env: Record<string, string>;
}

/** A third of what a process costs is to record what it runs, and most run the same: the coverage is that of the first of a test process. */
const measuredMax = 3;
let started = 0;

/**
 * A program to start now: the server, or the command line.
 * @returns the bundle that users start (scripts/bundle-programs.mjs), or, where its coverage is recorded, the one whose modules are known by their files
 */
export function programToStart(name: ProgramName): Program {
  const isCoverageWanted = (process.env.NODE_V8_COVERAGE ?? '') !== '';
  started += 1;
  if (isCoverageWanted && started <= measuredMax) return { file: compiled(modules[name]), env: {} };
  // Node.js passes the variable on to what it starts, unless it is set.
  return { file: bundledProgram(name), env: isCoverageWanted ? { NODE_V8_COVERAGE: '' } : {} };
}

/** The file of a bundled program. */
export const bundledProgram = (name: ProgramName): string => compiled(`programs/${name}.js`);

const compiled = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

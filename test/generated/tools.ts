// Installs the generators of clients into a cache folder, from the package registries. What cannot be installed on a machine is not
// tried there, and the output says so.
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const exec = promisify(execFile);

const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'weirkeeper-check');
const generatorVersion = '7.17.0';

/** The PATH with Go where its installer puts it. */
export const path = `${process.env.PATH}:/usr/local/go/bin`;

/** Runs a program. @returns what it prints @throws Error with what it printed, if it fails */
export async function run(
  program: string,
  args: string[],
  { env: more = {}, ...options }: { cwd?: string; timeout?: number; env?: Record<string, string> } = {},
): Promise<string> {
  const env = { ...process.env, ...more, PATH: path, PYTHONDONTWRITEBYTECODE: '1', NODE_OPTIONS: '' };
  try {
    return (await exec(program, args, { timeout: 300_000, maxBuffer: 64 * 1024 * 1024, ...options, env })).stdout;
  } catch (error) {
    const { stdout = '', stderr = '', message } = error as { stdout?: string; stderr?: string; message: string };
    throw new Error(`${program} ${args.join(' ')}\n${(stdout + stderr || message).slice(-4000)}`);
  }
}

/** What a generator needs: what it is called by, or why it is not there. */
export type Tool<T> = { found: T } | { missing: string };

async function tool<T>(install: () => Promise<T>): Promise<Tool<T>> {
  try {
    mkdirSync(cache, { recursive: true });
    return { found: await install() };
  } catch (error) {
    return { missing: (error as Error).message.split('\n').slice(0, 2).join(': ') };
  }
}

/** A folder of Python programs that has the packages. */
export function pythonPrograms(...packages: string[]): Promise<Tool<string>> {
  return tool(async () => {
    const programs = join(cache, 'py', 'bin');
    if (!existsSync(join(programs, 'pip'))) await run('python3', ['-m', 'venv', join(cache, 'py')]);
    await run(join(programs, 'pip'), ['install', '--quiet', ...packages]);
    return programs;
  });
}

/** The jar of openapi-generator, with a Java and a Maven to run and to fetch it. */
export function openApiGenerator(): Promise<Tool<string>> {
  return tool(async () => {
    const jar = join(cache, `openapi-generator-cli-${generatorVersion}.jar`);
    await run('java', ['-version']);
    if (!existsSync(jar)) {
      const artifact = `org.openapitools:openapi-generator-cli:${generatorVersion}`;
      await run('mvn', ['-q', '-B', 'dependency:copy', `-Dartifact=${artifact}`, `-DoutputDirectory=${cache}`]);
    }
    return jar;
  });
}

/** openapi-typescript, which needs the TypeScript that is written in JavaScript. */
export function openApiTypescript(): Promise<Tool<string>> {
  return tool(async () => {
    const program = join(cache, 'node', 'node_modules/.bin/openapi-typescript');
    if (existsSync(program)) return program;
    mkdirSync(join(cache, 'node'), { recursive: true });
    const packages = ['openapi-typescript@7', 'typescript@5'];
    await run('npm', ['install', '--no-audit', '--no-fund', '--silent', '--prefix', join(cache, 'node'), ...packages]);
    return program;
  });
}

/** A compiler that only has to be there. */
export function installed(program: string, ...args: string[]): Promise<Tool<string>> {
  return tool(async () => {
    await run(program, args);
    return program;
  });
}

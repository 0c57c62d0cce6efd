/**
 * Finds the redis-server or valkey-server of the private Redis: one on the PATH, else one installed earlier in the project's own
 * folder, else one that redis-install.ts installs there. embedded-redis.ts runs it.
 *
 * Run as a program (`npm run redis:install`), this file finds or installs the binary and prints its path and version.
 */
import { execFile } from 'node:child_process';
import { realpathSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Logger } from 'pino';
import { commandSearchPath, installFolder } from '../config/config.ts';
import { isExecutable, libraryFolders } from './private-packages.ts';
import { installRedis } from './redis-install.ts';

const run = promisify(execFile);

export interface RedisBinary {
  /** Absolute path of the server's executable. */
  command: string;
  /** Environment variables that it needs: the path of its shared libraries if they were installed with it. */
  env: Record<string, string>;
  /** The version, such as `7.0.15`. */
  version: string;
  source: 'path' | 'installed';
}

interface ResolveRedisBinaryOptions {
  /** The folder for a private installation. Default: installFolder(). */
  installDir?: string;
  log: Pick<Logger, 'info' | 'warn'>;
  /** Folders that are searched first. Default: those of the PATH. */
  searchPath?: string[];
  /** Installs the newest version of the distribution even if a server exists; it replaces the one installed earlier. */
  update?: boolean;
  /** What was found already. Default: it is looked for. */
  found?: Promise<FoundRedis>;
}

/** A server that is there, or why there is none that can be used. */
export type FoundRedis = { binary: RedisBinary } | { passedOver: string[]; problem: string };

/** The features of 7.0 that are needed: multi-part AOF, `#!lua` scripts, CONFIG SET with several parameters. */
const oldestVersion = { major: 7, minor: 0 };

const serverNames = ['valkey-server', 'redis-server'];

/**
 * Finds a server of version 7.0 or newer. If there is none and the machine has apt, installs one into `installDir`.
 * @throws Error if there is none and the installation failed; the message tells the user how to install one
 */
export async function resolveRedisBinary(options: ResolveRedisBinaryOptions): Promise<RedisBinary> {
  const { log, searchPath = commandSearchPath() } = options;
  const installDir = resolve(options.installDir ?? installFolder());
  if (options.update) return installNewest(installDir, log, searchPath);

  const found = await (options.found ?? findRedisBinary(options));
  if ('binary' in found) return found.binary;
  const { passedOver } = found;
  let { problem } = found;
  const installedRoot = join(installDir, 'redis');
  try {
    const usabilityProblem = async (root: string): Promise<string | undefined> => {
      const found = await binaryIn(root);
      return 'problem' in found ? found.problem : undefined;
    };
    await installRedis({ installDir, log, searchPath, usabilityProblem });
    const installed = await binaryIn(installedRoot);
    if ('command' in installed) return installed;
    problem = installed.problem;
  } catch (error) {
    problem = error instanceof Error ? error.message : String(error);
  }
  const oldest = `${oldestVersion.major}.${oldestVersion.minor}`;
  const passed = passedOver.length > 0 ? ` Skipped: ${passedOver.join(', ')}.` : '';
  throw new Error(
    `No Redis to start: there is no ${serverNames.join(' or ')} of version ${oldest} or newer on the PATH or in ${installDir}.${passed} ` +
      `Installing one there failed: ${problem.trim().replace(/\.$/, '')}. ` +
      'Please install it: `sudo apt-get install redis-server` (Debian, Ubuntu), `sudo dnf install valkey` (Fedora, RHEL), ' +
      `\`brew install redis\` (macOS); where that is older than ${oldest}, take it from https://packages.redis.io. ` +
      'Or set WEIR_REDIS_URL to a Redis that is running already.',
  );
}

/** Finds a server of version 7.0 or newer on this machine, and installs none. */
export async function findRedisBinary({
  log,
  installDir = installFolder(),
  searchPath = commandSearchPath(),
}: ResolveRedisBinaryOptions): Promise<FoundRedis> {
  const passedOver: string[] = [];
  for (const name of serverNames) {
    for (const folder of searchPath) {
      const command = join(folder, name);
      if (!isExecutable(command)) continue;
      const found = await probe(command, {});
      if ('version' in found) return { binary: { command, env: {}, version: found.version, source: 'path' } };
      passedOver.push(`${command} (${found.problem})`);
      log.warn({ command }, `This Redis server was skipped: ${found.problem}`);
    }
  }
  const earlier = await binaryIn(join(resolve(installDir), 'redis'));
  return 'command' in earlier ? { binary: earlier } : { passedOver, problem: earlier.problem };
}

/** The dates of a binary, YYYY-MM-DD: when the distribution built it, and when it was installed on this machine. */
export function binaryAge(command: string): { builtOn: string; installedOn: string } {
  const { mtime, ctime } = statSync(command);
  const day = (date: Date) => date.toISOString().slice(0, 10);
  return { builtOn: day(mtime), installedOn: day(ctime) };
}

async function installNewest(
  installDir: string,
  log: ResolveRedisBinaryOptions['log'],
  searchPath: string[],
): Promise<RedisBinary> {
  const installedRoot = join(installDir, 'redis');
  const usabilityProblem = async (root: string): Promise<string | undefined> => {
    const found = await binaryIn(root);
    return 'problem' in found ? found.problem : undefined;
  };
  await installRedis({ installDir, log, searchPath, usabilityProblem, replace: true });
  const installed = await binaryIn(installedRoot);
  if ('problem' in installed) throw new Error(`The Redis that was installed cannot be used: ${installed.problem}`);
  return installed;
}

/** The usable server in a folder of unpacked packages, with the path of its libraries; or the reason why there is none. */
async function binaryIn(root: string): Promise<RedisBinary | { problem: string }> {
  const libraryPath = libraryFolders(root).join(':');
  const env: Record<string, string> = libraryPath === '' ? {} : { LD_LIBRARY_PATH: libraryPath };
  let problem = 'it contains no server';
  for (const name of serverNames) {
    const command = join(root, 'usr/bin', name);
    if (!isExecutable(command)) continue;
    const found = await probe(command, env);
    if ('version' in found) return { command, env, version: found.version, source: 'installed' };
    problem = found.problem;
  }
  return { problem };
}

/** Reads the version of an executable by running it, which also checks that it runs here with all its libraries. */
async function probe(command: string, env: Record<string, string>): Promise<{ version: string } | { problem: string }> {
  let output: string;
  try {
    // A copy, as Node adds variables to the object.
    output = (await run(command, ['--version'], { env: { ...env }, timeout: 10_000 })).stdout;
  } catch (error) {
    const reason = error instanceof Error ? error.message.trim().replaceAll('\n', ' ') : String(error);
    return { problem: `it does not run: ${reason}` };
  }
  const [, version, major, minor] = /\bv=((\d+)\.(\d+)\.\d+)/.exec(output) ?? [];
  if (version === undefined)
    return { problem: `it does not print its version: ${JSON.stringify(output.slice(0, 80))}` };
  const isOld =
    Number(major) < oldestVersion.major ||
    (Number(major) === oldestVersion.major && Number(minor) < oldestVersion.minor);
  return isOld
    ? { problem: `its version ${version} is older than ${oldestVersion.major}.${oldestVersion.minor}` }
    : { version };
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const say = (_fields: object | string, text?: string): void => console.error(text ?? _fields);
  try {
    const update = process.argv.includes('--update');
    const { command, version, source } = await resolveRedisBinary({ log: { info: say, warn: say }, update });
    const { builtOn, installedOn } = binaryAge(command);
    const where = source === 'path' ? 'found on the PATH' : 'installed';
    console.log(`Redis ${version} (${where} on ${installedOn}, built on ${builtOn}): ${command}`);
    const used = update ? await resolveRedisBinary({ log: { info: say, warn: say } }) : undefined;
    if (used?.source === 'path') console.log(`Servers use ${used.command} (${used.version}), as it is on the PATH.`);
    else if (used) console.log('Servers use it from their next start on.');
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}

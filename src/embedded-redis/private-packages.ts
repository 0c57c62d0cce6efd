/**
 * Brings programs of the distribution into a private folder on Debian, Ubuntu and their like: packages are downloaded and
 * unpacked, not installed, so it needs no root, starts no service and changes nothing outside that folder. Which program,
 * and what is done with it, is the business of who calls: redis-install.ts.
 */
import { execFile } from 'node:child_process';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Logger } from 'pino';
import { acquireProcessLock, LockHeldError, type ProcessLock } from './process-lock.ts';

const run = promisify(execFile);

export interface DistributionPackage {
  name: string;
  /** Packages that it depends on and whose names begin so belong to it, and are more than libraries. */
  sisterPrefix?: string;
}

export interface PrivateInstallation {
  /** The folder that takes everything. */
  installDir: string;
  /** Where the unpacked packages stand in it in the end; also what the program is called in messages. */
  name: string;
  /** The package that has it; several, if distributions differ, the preferred one first. */
  packages: readonly DistributionPackage[];
  /** The programs in an unpacked tree whose libraries must be there. */
  programsIn(root: string): string[];
  /** Why a tree holds no program that runs here and is new enough; undefined if it does. */
  usabilityProblem(root: string): Promise<string | undefined>;
  /** Another way to a tree, in the folder `draft`, where no package will do. */
  fallback?(draft: string): Promise<string | undefined>;
  log: Pick<Logger, 'info' | 'warn'>;
  /** Where commands are looked for. */
  searchPath: string[];
  /** Installs what the distribution has now, also where a usable program is there already. */
  replace?: boolean;
}

/**
 * Puts a usable program into `installDir`/`name`, or rejects with the reason. Several processes may call it at once: one
 * works, the others wait and find the work done. A process that is killed meanwhile leaves nothing that is taken for a
 * finished installation.
 */
export async function installPrivately(installation: PrivateInstallation): Promise<void> {
  const { installDir, name, usabilityProblem } = installation;
  mkdirSync(installDir, { recursive: true });
  const lock = await waitForLock(join(installDir, 'install.lock'), installation);
  try {
    const target = join(installDir, name);
    if (!installation.replace && (await usabilityProblem(target)) === undefined) return;
    // The holder of the lock is alone here: other drafts were left by processes that were killed.
    for (const name of readdirSync(installDir).filter((name) => name.startsWith('draft-'))) {
      rmSync(join(installDir, name), { recursive: true, force: true });
    }
    const draft = mkdtempSync(join(installDir, 'draft-'));
    try {
      const root = await buildRoot(draft, installation);
      // The old tree, if any, was found unusable above, or whoever runs from it keeps its open files.
      if (existsSync(target)) renameSync(target, join(draft, 'replaced'));
      renameSync(root, target);
    } finally {
      rmSync(draft, { recursive: true, force: true });
    }
  } finally {
    lock.release();
  }
}

/** Waits for another process that is installing; its work may make this one's needless. */
async function waitForLock(file: string, { name, log }: PrivateInstallation): Promise<ProcessLock<null>> {
  let holderPid: number | undefined;
  for (;;) {
    try {
      return await acquireProcessLock(file, null);
    } catch (error) {
      if (!(error instanceof LockHeldError)) throw error;
      if (holderPid !== error.holderPid)
        log.info(`Waiting for process ${error.holderPid}, which is installing ${name}`);
      holderPid = error.holderPid;
      await sleep(100);
    }
  }
}

/** Unpacks a usable program into a folder of `draft` and gives that folder. */
async function buildRoot(draft: string, installation: PrivateInstallation): Promise<string> {
  const { log, searchPath, usabilityProblem } = installation;
  const find = (name: string): string | undefined => searchPath.map((folder) => join(folder, name)).find(isExecutable);
  const commands = {
    aptGet: find('apt-get'),
    aptCache: find('apt-cache'),
    dpkgDeb: find('dpkg-deb'),
    ldd: find('ldd'),
  };
  const problems: string[] = [];

  if (hasAll(commands)) {
    // The system's package lists save most of the download, if they are there and not so old that the mirrors have
    // dropped what they name. Otherwise lists of one's own are fetched, without a change to the system's.
    const sources = ['system', 'private'] as const;
    // What is newest only fresh lists tell.
    for (const lists of installation.replace ? sources.toReversed() : sources) {
      const apt = new Apt(commands, draft, lists);
      if (lists === 'private') {
        log.info('Fetching the package lists of the distribution');
        await apt.update().catch((error: Error) => problems.push(error.message));
      }
      for (const candidate of installation.packages) {
        const { name } = candidate;
        try {
          log.info(`Fetching the distribution's ${name} into a private folder`);
          const root = await apt.unpackWithLibraries(candidate, installation.programsIn);
          const problem = await usabilityProblem(root);
          if (problem === undefined) return root;
          problems.push(`the ${name} of this distribution was fetched, but ${problem}`);
        } catch (error) {
          problems.push(error instanceof Error ? error.message : String(error));
        }
      }
    }
  } else {
    problems.push('there is no apt here, and no other way to install it is known');
  }

  const root = await installation.fallback?.(draft);
  if (root !== undefined && (await usabilityProblem(root)) === undefined) return root;
  throw new Error([...new Set(problems)].join('; '));
}

interface AptCommands {
  aptGet: string;
  aptCache: string;
  dpkgDeb: string;
  ldd: string;
}

function hasAll(commands: { [Name in keyof AptCommands]: string | undefined }): commands is AptCommands {
  return Object.values(commands).every((command) => command !== undefined);
}

/**
 * Read after the system's own configuration, whose proxies, mirrors and keys are to be used, but not its hooks: they
 * would run commands outside the private folder. Nor are the lists needed that other programs asked for.
 */
function aptConfiguration(state: string, lists: 'system' | 'private'): string {
  return `#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
#clear DPkg::Pre-Install-Pkgs;
#clear Acquire::IndexTargets::deb::DEP-11;
#clear Acquire::IndexTargets::deb::DEP-11-icons-small;
#clear Acquire::IndexTargets::deb::DEP-11-icons;
#clear Acquire::IndexTargets::deb::DEP-11-icons-hidpi;
#clear Acquire::IndexTargets::deb::DEP-11-icons-large;
#clear Acquire::IndexTargets::deb::DEP-11-icons-large-hidpi;
#clear Acquire::IndexTargets::deb::Contents-deb;
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
Debug::NoLocking "true";
Dir::State "${state}/state";
Dir::State::status "/var/lib/dpkg/status";
Dir::State::lists "${lists === 'system' ? '/var/lib/apt/lists' : `${state}/state/lists`}";
Dir::Cache "${state}/cache";
Dir::Cache::archives "${state}/cache/archives";
Dir::Log "${state}/log";
// As root, apt would fetch as a user of its own, who may not write here.
APT::Sandbox::User "root";
`;
}

/** The distribution's apt, with all that it writes redirected into `draft`. */
class Apt {
  readonly #commands: AptCommands;
  readonly #draft: string;
  readonly #options: string[];

  constructor(commands: AptCommands, draft: string, lists: 'system' | 'private') {
    this.#commands = commands;
    this.#draft = draft;
    const state = join(draft, `apt-${lists}`);
    for (const folder of ['state/lists/partial', 'cache/archives/partial', 'log']) {
      mkdirSync(join(state, folder), { recursive: true });
    }
    const configuration = join(state, 'apt.conf');
    writeFileSync(configuration, aptConfiguration(state, lists));
    this.#options = ['-c', configuration];
  }

  /** Fetches the package lists. One failed source is no failure: the packages may be in another. */
  async update(): Promise<void> {
    await this.#run('aptGet', ['update', '-qq']);
  }

  /** Downloads and unpacks a package with its sisters, and as many libraries as this machine lacks. Gives the folder. */
  async unpackWithLibraries(
    { name, sisterPrefix }: DistributionPackage,
    programsIn: (root: string) => string[],
  ): Promise<string> {
    const root = mkdtempSync(join(this.#draft, 'root-'));
    const packages = [name];
    if (sisterPrefix !== undefined) {
      packages.push(...(await this.#dependencies([name])).filter((other) => other.startsWith(sisterPrefix)));
    }
    await this.#unpack(packages, root);
    if ((await this.#missingLibraries(programsIn(root), root)).length === 0) return root;

    // Which package has which library is for the package lists to say: all that the binary's packages need, and what
    // those need in turn (Ubuntu links libraries of Lua, too, packages `lua-…`). The C library stays that of the
    // machine: another one would not fit its loader.
    const libraries = new Set<string>();
    for (let next = packages; next.length > 0; ) {
      next = (await this.#dependencies(next)).filter(
        (name) => /^(lib|lua)/.test(name) && !/^libc(6|-)/.test(name) && !libraries.has(name),
      );
      for (const name of next) libraries.add(name);
    }
    await this.#unpack([...libraries], root);
    const missing = await this.#missingLibraries(programsIn(root), root);
    if (missing.length > 0) throw new Error(`no package that ${name} needs has ${missing.join(', ')}`);
    return root;
  }

  /** What the packages depend on directly, alternatives included, without those that are but a name. */
  async #dependencies(packages: string[]): Promise<string[]> {
    const output = await this.#run('aptCache', ['depends', ...packages]);
    const names = [...output.matchAll(/^ [ |](?:Pre)?Depends: ([a-z0-9][a-z0-9.+-]+)/gm)].map((match) => match[1]!);
    return [...new Set(names)];
  }

  async #unpack(packages: string[], root: string): Promise<void> {
    const archives = mkdtempSync(join(this.#draft, 'archives-'));
    await this.#run('aptGet', ['download', '-qq', ...packages], archives);
    for (const name of readdirSync(archives)) await run(this.#commands.dpkgDeb, ['-x', join(archives, name), root]);
  }

  /** Shared libraries that the programs in `root` ask for and that neither `root` nor the machine has. */
  async #missingLibraries(programs: string[], root: string): Promise<string[]> {
    if (programs.length === 0) throw new Error('the packages do not hold the program');
    const libraryPath = `LD_LIBRARY_PATH=${libraryFolders(root).join(':')}`;
    const missing = new Set<string>();
    for (const program of programs) {
      const { stdout } = await run('env', ['LC_ALL=C', libraryPath, this.#commands.ldd, program]);
      for (const [, library] of stdout.matchAll(/^\s*(\S+) => not found/gm)) missing.add(library!);
    }
    return [...missing];
  }

  async #run(name: 'aptGet' | 'aptCache', args: string[], cwd = this.#draft): Promise<string> {
    try {
      // env(1) adds to the environment of this process, proxies included; the texts that are read must be in English.
      const { stdout } = await run('env', ['LC_ALL=C', this.#commands[name], ...this.#options, ...args], {
        cwd,
        timeout: 300_000,
        maxBuffer: 64 * 1024 * 1024,
      });
      return stdout;
    } catch (error) {
      const stderr = error instanceof Error && 'stderr' in error ? String(error.stderr) : String(error);
      const reasons = stderr.split('\n').filter((line) => line.startsWith('E:'));
      throw new Error(
        `${basename(this.#commands[name])} ${args.join(' ')}: ${reasons[0] || stderr.trim().slice(0, 300)}`,
      );
    }
  }
}

/** Folders of a tree of unpacked packages that hold shared libraries: `usr/lib`, `lib`, and those one level below. */
export function libraryFolders(root: string): string[] {
  return ['usr/lib', 'lib']
    .map((name) => join(root, name))
    .filter((folder) => existsSync(folder))
    .flatMap((folder) => [
      folder,
      ...readdirSync(folder, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map((entry) => join(folder, entry.name)),
    ])
    .filter((folder) => readdirSync(folder).some((name) => /\.so(\.|$)/.test(name)));
}

export function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

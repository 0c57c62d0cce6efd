/**
 * Installs programs of the distribution into a private folder, on systems with apt (Debian, Ubuntu). Packages are downloaded and
 * unpacked only. So this needs no root, starts no service and changes nothing outside the folder. redis-install.ts uses it.
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

interface DistributionPackage {
  name: string;
  /** Dependencies whose names have this prefix are parts of the program, not libraries, and are always unpacked. */
  sisterPrefix?: string;
}

export interface PrivateInstallation {
  /** The private folder; nothing is written outside it. */
  installDir: string;
  /** The name of the subfolder with the unpacked packages, and of the program in log lines. */
  name: string;
  /** The packages that contain the program, the preferred one first, as distributions differ. */
  packages: readonly DistributionPackage[];
  /** The programs in a folder of unpacked packages whose shared libraries are needed. */
  programsIn(root: string): string[];
  /** The reason why a folder of unpacked packages has no usable program (that runs here and is new enough); undefined if it has one. */
  usabilityProblem(root: string): Promise<string | undefined>;
  /** Makes a folder with the program in `draft` by other means if no package is usable. Returns its path, undefined on failure. */
  fallback?(draft: string): Promise<string | undefined>;
  log: Pick<Logger, 'info' | 'warn'>;
  /** The folders in which commands are searched. */
  searchPath: string[];
  /** Installs the current version of the distribution even if a usable program is installed. */
  replace?: boolean;
}

/**
 * Installs a usable program into `installDir`/`name`. Several processes may call it at once: one installs, and the others wait and
 * use its result. A process that is killed leaves no incomplete installation, as the folder is renamed when it is complete.
 * @throws Error with the reasons if no program could be installed
 */
export async function installPrivately(installation: PrivateInstallation): Promise<void> {
  const { installDir, name, usabilityProblem } = installation;
  mkdirSync(installDir, { recursive: true });
  const lock = await waitForLock(join(installDir, 'install.lock'), installation);
  try {
    const target = join(installDir, name);
    if (!installation.replace && (await usabilityProblem(target)) === undefined) return;
    // This process holds the lock, so all existing drafts are from processes that were killed.
    for (const name of readdirSync(installDir).filter((name) => name.startsWith('draft-'))) {
      rmSync(join(installDir, name), { recursive: true, force: true });
    }
    const draft = mkdtempSync(join(installDir, 'draft-'));
    try {
      const root = await buildRoot(draft, installation);
      // The old folder, if any, is unusable or to be replaced. A process that runs from it keeps its open files.
      if (existsSync(target)) renameSync(target, join(draft, 'replaced'));
      renameSync(root, target);
    } finally {
      rmSync(draft, { recursive: true, force: true });
    }
  } finally {
    lock.release();
  }
}

/** Acquires the lock, and waits while another process is installing. */
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

/** Unpacks a usable program into a folder below `draft` and returns the path of that folder. */
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
    // The system's package lists save most of the download. If they are missing, or so old that the mirrors no longer have the
    // listed versions, private lists are fetched; the system's lists do not change.
    const sources = ['system', 'private'] as const;
    // To install the newest version, fresh lists are used first.
    for (const lists of installation.replace ? sources.toReversed() : sources) {
      const apt = new Apt(commands, draft, lists);
      if (lists === 'private') {
        log.info('Downloading the package lists of the distribution');
        await apt.update().catch((error: Error) => problems.push(error.message));
      }
      for (const candidate of installation.packages) {
        const { name } = candidate;
        try {
          log.info(`Downloading the distribution's ${name} into a private folder`);
          const root = await apt.unpackWithLibraries(candidate, installation.programsIn);
          const problem = await usabilityProblem(root);
          if (problem === undefined) return root;
          problems.push(`the ${name} of this distribution was downloaded, but ${problem}`);
        } catch (error) {
          problems.push(error instanceof Error ? error.message : String(error));
        }
      }
    }
  } else {
    problems.push('this machine has no apt, which the installation needs');
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
 * The configuration that apt reads after that of the system. The system's proxies, mirrors and keys stay in use. Its hooks are
 * removed, as they would run commands outside the private folder, and so are lists that only other programs need.
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
// As root, apt would download as the user _apt, which cannot write into this folder.
APT::Sandbox::User "root";
`;
}

/** The distribution's apt, configured to write into `draft` only. */
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

  /** Downloads the package lists. A failed source is not an error, as another one may have the packages. */
  async update(): Promise<void> {
    await this.#run('aptGet', ['update', '-qq']);
  }

  /** Downloads and unpacks a package, its parts (sisterPrefix), and its libraries if any is missing. Returns the folder. */
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

    // Libraries are found by the dependencies in the package lists, including indirect ones. Ubuntu also links libraries from
    // packages named `lua-…`. The C library of the machine is used, as another one would not match its loader.
    const libraries = new Set<string>();
    for (let next = packages; next.length > 0; ) {
      next = (await this.#dependencies(next)).filter(
        (name) => /^(lib|lua)/.test(name) && !/^libc(6|-)/.test(name) && !libraries.has(name),
      );
      for (const name of next) libraries.add(name);
    }
    await this.#unpack([...libraries], root);
    const missing = await this.#missingLibraries(programsIn(root), root);
    if (missing.length > 0) throw new Error(`no dependency of ${name} contains the libraries ${missing.join(', ')}`);
    return root;
  }

  /** The direct dependencies of packages, including alternatives, without virtual packages. */
  async #dependencies(packages: string[]): Promise<string[]> {
    const output = await this.#run('aptCache', ['depends', ...packages]);
    const names = [...output.matchAll(/^ [ |](?:Pre)?Depends: ([a-z0-9][a-z0-9.+-]+)/gm)].map(([, name = '']) => name);
    return [...new Set(names)];
  }

  async #unpack(packages: string[], root: string): Promise<void> {
    const archives = mkdtempSync(join(this.#draft, 'archives-'));
    await this.#run('aptGet', ['download', '-qq', ...packages], archives);
    for (const name of readdirSync(archives)) await run(this.#commands.dpkgDeb, ['-x', join(archives, name), root]);
  }

  /** The shared libraries of the programs that neither `root` nor the machine has. */
  async #missingLibraries(programs: string[], root: string): Promise<string[]> {
    if (programs.length === 0) throw new Error('the packages do not contain the program');
    const libraryPath = `LD_LIBRARY_PATH=${libraryFolders(root).join(':')}`;
    const missing = new Set<string>();
    for (const program of programs) {
      const { stdout } = await run('env', ['LC_ALL=C', libraryPath, this.#commands.ldd, program]);
      for (const [, library = ''] of stdout.matchAll(/^\s*(\S+) => not found/gm)) missing.add(library);
    }
    return [...missing];
  }

  async #run(name: 'aptGet' | 'aptCache', args: string[], cwd = this.#draft): Promise<string> {
    try {
      // env(1) keeps the environment of this process, such as proxies. LC_ALL=C makes the output English, as it is parsed.
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

/** The folders with shared libraries in a folder of unpacked packages: `usr/lib`, `lib`, and folders one level below. */
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

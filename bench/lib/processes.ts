// The processes under load: a server with a private Redis, started as a user would, and the bare server that is the reference.
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { untilServing } from '../../testbed/server-start.ts';
import type { ProbeQuestion, ProbeReply } from './probe.ts';

const stopMsMax = 12_000;
const compiled = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
/** The Node options of `npm start`, used for both processes. */
const nodeFlags = (
  JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as { scripts: { start: string } }
).scripts.start
  .split(' ')
  .filter((word) => word.startsWith('--'));
const running = new Set<ServerProcess>();

// If the run ends, also by Ctrl-C or an error, the processes that it has started end too.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(130));
process.once('exit', () => {
  for (const server of running) server.process.kill('SIGTERM');
});

/** A child that serves HTTP. */
export class ServerProcess {
  readonly process: ChildProcess;
  url = '';

  /** Waits for a process; `ready` finds the address in its first lines of output. */
  static async start<S extends ServerProcess>(
    server: S,
    ready: (line: Record<string, unknown>, server: S) => boolean,
  ): Promise<S> {
    running.add(server);
    try {
      const lines = await untilServing(server.process, (line) => ready(line, server));
      lines.close();
      server.process.stdout!.resume();
      return server;
    } catch (error) {
      await server.stop();
      throw error;
    }
  }

  /** @param probed whether the probe is loaded, which `memory` and `profiled` need; it costs a few MB and some start time */
  constructor(module: string, env: Record<string, string>, probed = true) {
    // Settings in the environment of the user must not reach this server.
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('WEIR_'));
    const probe = probed ? ['--expose-gc', '--import', compiled('bench/lib/probe.js')] : [];
    const args = [...nodeFlags, ...probe, compiled(module)];
    this.process = spawn(process.execPath, args, {
      env: { ...Object.fromEntries(inherited), ...env },
      stdio: ['ignore', 'pipe', 'inherit', ...(probed ? (['ipc'] as const) : [])],
    });
  }

  get pid(): number {
    return this.process.pid!;
  }

  /** CPU time of the process so far, µs; undefined if the system does not report it. */
  get cpuUs(): number | undefined {
    return cpuUsOf(this.pid);
  }

  /** Memory in use after a full garbage collection, in bytes. */
  async memory(): Promise<{ rss: number; heapUsed: number }> {
    return (await this.#ask({ kind: 'memory' })) as { rss: number; heapUsed: number };
  }

  /** Profiles the CPU of the process while `during` runs, and writes the profile to `file`. Profiling slows the process. */
  async profiled<T>(file: string, during: () => Promise<T>): Promise<T> {
    await this.#ask({ kind: 'start-profile' });
    try {
      return await during();
    } finally {
      await this.#ask({ kind: 'stop-profile', file });
    }
  }

  async stop(): Promise<void> {
    running.delete(this);
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const ended = new Promise((resolve) => this.process.once('exit', resolve));
    this.process.kill('SIGTERM');
    const timer = setTimeout(() => this.process.kill('SIGKILL'), stopMsMax);
    await ended;
    clearTimeout(timer);
  }

  #ask(question: ProbeQuestion): Promise<ProbeReply> {
    return new Promise((resolve, reject) => {
      this.process.once('message', (response) => resolve(response as ProbeReply));
      this.process.send(question, (error) => error && reject(error));
    });
  }
}

/** A server with its private Redis, in a temporary folder that is deleted at the end. */
export class WeirServer extends ServerProcess {
  redisPid = 0;
  redisVersion = '';
  socketPath = '';
  readonly #dataDir: string;
  readonly #workerPids: number[] = [];

  /**
   * @param module what starts the server, as compiled
   * @param probed as for ServerProcess; not with several workers, which would get the probe as well
   * @param env further settings
   */
  static async open(
    module = 'programs/server.js',
    probed = true,
    workers = 1,
    env: Record<string, string> = {},
  ): Promise<WeirServer> {
    const dataDir = await mkdtemp(join(tmpdir(), 'weir-bench-'));
    return ServerProcess.start(
      new WeirServer(module, dataDir, probed, { WEIR_WORKERS: String(workers), ...env }),
      (line, server) => {
        if (typeof line.workerPid === 'number') server.#workerPids.push(line.workerPid);
        if (typeof line.redisPid === 'number') {
          server.redisPid = line.redisPid;
          server.redisVersion = String(line.redisVersion);
        }
        if (line.msg !== 'Weirkeeper serves') return false;
        server.url = String(line.url);
        const lock = JSON.parse(readFileSync(join(dataDir, 'weir.lock'), 'utf8'));
        server.socketPath = lock.details.socketPath;
        return true;
      },
    );
  }

  private constructor(module: string, dataDir: string, probed: boolean, settings: Record<string, string>) {
    super(module, { WEIR_PORT: '0', WEIR_DATA_DIR: dataDir, WEIR_LOG_LEVEL: 'info', ...settings }, probed);
    this.#dataDir = dataDir;
  }

  /** CPU time of all processes of the server but Redis, µs. */
  override get cpuUs(): number | undefined {
    return this.#workerPids.reduce<number | undefined>(
      (sum, pid) => (sum === undefined ? undefined : sum + (cpuUsOf(pid) ?? Number.NaN)),
      super.cpuUs,
    );
  }

  get redisCpuUs(): number | undefined {
    return cpuUsOf(this.redisPid);
  }

  override async stop(): Promise<void> {
    await super.stop();
    rmSync(this.#dataDir, { recursive: true, force: true });
  }
}

/** The bare Fastify process (bench/lib/bare-server.ts). */
export function openBareServer(): Promise<ServerProcess> {
  return ServerProcess.start(new ServerProcess('bench/lib/bare-server.js', {}), (line, server) => {
    server.url = String(line.url);
    return true;
  });
}

/** Resident memory of a process, in bytes. Linux reports it; undefined on other systems. */
export function rssOf(pid: number): number | undefined {
  try {
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
  } catch {
    return undefined;
  }
}

/** CPU time of all threads of a process, µs. Linux reports it exactly; undefined on other systems. */
export function cpuUsOf(pid: number): number | undefined {
  try {
    const tasks = `/proc/${pid}/task`;
    let ns = 0;
    for (const task of readdirSync(tasks)) {
      ns += Number(readFileSync(`${tasks}/${task}/schedstat`, 'utf8').split(' ', 1)[0]);
    }
    return ns / 1000;
  } catch {
    return undefined;
  }
}

/** CPU time of the whole machine so far, µs, including time stolen by its host; undefined if the system does not report it. */
export function machineCpuUs(): number | undefined {
  try {
    const [user, nice, system, , , irq, softirq, steal] = readFileSync('/proc/stat', 'utf8')
      .split(/\s+/, 9)
      .slice(1)
      .map(Number);
    const ticks = user! + nice! + system! + irq! + softirq! + steal!;
    // The values are in hundredths of a second on all systems.
    return ticks * 10_000;
  } catch {
    return undefined;
  }
}

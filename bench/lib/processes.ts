// The processes under load: a whole server as a user starts it, on a store of its own, and the bare one that is the limit.
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { ProbeAnswer, ProbeQuestion } from './probe.ts';

const stopMsMax = 12_000;
const compiled = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
/** Those of `npm start`: a server runs as its users run it, and the bare one beside it likewise. */
const nodeFlags = (
  JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as { scripts: { start: string } }
).scripts.start
  .split(' ')
  .filter((word) => word.startsWith('--'));
const running = new Set<ServerProcess>();

// Whatever ends the run, by Ctrl-C or by a fault, ends what it has started.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(130));
process.once('exit', () => {
  for (const server of running) server.process.kill('SIGTERM');
});

/** A child that serves HTTP. */
export class ServerProcess {
  readonly process: ChildProcess;
  url = '';

  /** Starts a module with the probe in it; `ready` picks the address out of its first lines. */
  static async start<S extends ServerProcess>(
    server: S,
    ready: (line: Record<string, unknown>, server: S) => boolean,
  ): Promise<S> {
    running.add(server);
    const lines = createInterface({ input: server.process.stdout! });
    for await (const line of lines) {
      if (!ready(JSON.parse(line) as Record<string, unknown>, server)) continue;
      lines.removeAllListeners();
      server.process.stdout!.resume();
      return server;
    }
    throw new Error(`${server.process.spawnargs.join(' ')} did not start; its log above says why`);
  }

  constructor(module: string, env: Record<string, string>) {
    // What the user has set for a server of their own must not reach this one.
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('WEIR_'));
    const args = [...nodeFlags, '--expose-gc', '--import', compiled('bench/lib/probe.js'), compiled(module)];
    this.process = spawn(process.execPath, args, {
      env: { ...Object.fromEntries(inherited), ...env },
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    });
  }

  get pid(): number {
    return this.process.pid!;
  }

  /** CPU time of the process so far, in microseconds; undefined where the system does not tell. */
  get cpuUs(): number | undefined {
    return cpuUsOf(this.pid);
  }

  /** Memory in use after a full garbage collection, in bytes. */
  async memory(): Promise<{ rss: number; heapUsed: number }> {
    return (await this.#ask({ kind: 'memory' })) as { rss: number; heapUsed: number };
  }

  /** Profiles the CPU of the process while `during` runs, and writes that to `file`. It is slower for that. */
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

  #ask(question: ProbeQuestion): Promise<ProbeAnswer> {
    return new Promise((resolve, reject) => {
      this.process.once('message', (answer) => resolve(answer as ProbeAnswer));
      this.process.send(question, (error) => error && reject(error));
    });
  }
}

/** A whole server with its private Redis, in a folder of its own that goes with it. */
export class WeirServer extends ServerProcess {
  redisPid = 0;
  redisVersion = '';
  socketPath = '';
  readonly #dataDir: string;

  static async open(): Promise<WeirServer> {
    const dataDir = await mkdtemp(join(tmpdir(), 'weir-bench-'));
    return ServerProcess.start(new WeirServer(dataDir), (line, server) => {
      if (typeof line.redisPid === 'number') {
        server.redisPid = line.redisPid;
        server.redisVersion = String(line.redisVersion);
      }
      if (line.msg !== 'Weirkeeper serves') return false;
      server.url = String(line.url);
      const lock = JSON.parse(readFileSync(join(dataDir, 'weir.lock'), 'utf8'));
      server.socketPath = lock.details.socketPath;
      return true;
    });
  }

  private constructor(dataDir: string) {
    super('src/main.js', { WEIR_PORT: '0', WEIR_DATA_DIR: dataDir, WEIR_LOG_LEVEL: 'info' });
    this.#dataDir = dataDir;
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

/** CPU time of all threads of a process, in microseconds: Linux tells it exactly, other systems not at all. */
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

/** CPU time that the whole machine has spent so far, in microseconds, with what its host took; undefined where it is not told. */
export function machineCpuUs(): number | undefined {
  try {
    const [user, nice, system, , , irq, softirq, steal] = readFileSync('/proc/stat', 'utf8')
      .split(/\s+/, 9)
      .slice(1)
      .map(Number);
    const ticks = user! + nice! + system! + irq! + softirq! + steal!;
    // In hundredths of a second, wherever Node runs.
    return ticks * 10_000;
  } catch {
    return undefined;
  }
}

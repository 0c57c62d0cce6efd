// Starts a private server for tests: with a Redis of its own, on a free port, in a temporary folder that is deleted in the end. It needs
// the package weirkeeper.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';

export interface PrivateServerOptions {
  /** The program of the server; default: that of the package weirkeeper. */
  main?: string;
  /** Options of the server, such as `{ WEIR_SESSION_MIN_TTL: '500ms' }`. */
  env?: { readonly [name: string]: string };
  /** How long the start may take; default 60 s. */
  withinMs?: number;
}

export interface PrivateServer extends AsyncDisposable {
  url: string;
  process: ChildProcess;
  /** Stops it, and deletes its data. */
  stop(): Promise<void>;
}

/** Starts a server, and resolves when it serves. @throws Error with what the server has said, if it does not start */
export async function startPrivateServer({
  main,
  env = {},
  withinMs = 60_000,
}: PrivateServerOptions = {}): Promise<PrivateServer> {
  const program = main ?? (await programOfPackage());
  const dataDir = await mkdtemp(join(tmpdir(), 'weir-test-'));
  const child = spawn(process.execPath, [program], {
    env: {
      ...process.env,
      WEIR_PORT: '0',
      WEIR_DATA_DIR: dataDir,
      WEIR_APPENDFSYNC: 'no',
      // The line that says that it serves is read.
      WEIR_LOG_FORMAT: 'json',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM');
      await once(child, 'exit');
    }
    await rm(dataDir, { recursive: true, force: true });
  };
  try {
    const url = await servedUrl(child, withinMs);
    return { url, process: child, stop, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function programOfPackage(): Promise<string> {
  const manifest = createRequire(import.meta.url).resolve('weirkeeper/package.json');
  const { bin } = JSON.parse(await readFile(manifest, 'utf8')) as { bin: { weir: string } };
  return join(dirname(manifest), bin.weir);
}

function servedUrl(child: ChildProcess, withinMs: number): Promise<string> {
  const said: string[] = [];
  return new Promise((resolve, reject) => {
    const failed = (reason: string) => reject(new Error(`The server ${reason}: ${said.join('\n')}`));
    const timer = setTimeout(() => failed(`did not start within ${withinMs} ms`), withinMs);
    const hear = (line: string) => {
      if (said.length < 100) said.push(line);
      const entry = line.startsWith('{') ? (JSON.parse(line) as { msg?: string; url?: string }) : {};
      if (entry.msg !== 'Weirkeeper serves' || entry.url === undefined) return;
      clearTimeout(timer);
      resolve(entry.url);
    };
    for (const stream of [child.stdout, child.stderr]) if (stream) createInterface(stream).on('line', hear);
    child.once('exit', (code) => {
      clearTimeout(timer);
      failed(`ended with code ${code}`);
    });
  });
}

// Scopes: a test or a benchmark run to which started processes and created folders belong, which ends and removes them.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout as setTimeoutPromise } from 'node:timers/promises';
import { isAlive, type ProcessIdentity } from '../src/embedded-redis/process-lock.ts';

/** A test, or a run of a benchmark: everything started for it ends with it. */
export interface Scope {
  /** Runs `end` when the scope is over, in reverse order of the calls. */
  teardown(end: () => unknown): void;
}

/** An empty folder that is deleted with its scope, as are the Redis of servers that were killed in it. */
export function temporaryFolder(scope: Scope): string {
  const folder = mkdtempSync(join(tmpdir(), 'weir-test-'));
  scope.teardown(() => {
    for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
      if (basename(name) === 'weir.lock') endLeftBehind(join(folder, name));
    }
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

function endLeftBehind(lockFile: string): void {
  const { details } = JSON.parse(readFileSync(lockFile, 'utf8')) as {
    details: { socketPath: string; redis: ProcessIdentity | null };
  };
  if (details.redis && isAlive(details.redis)) process.kill(details.redis.pid, 'SIGKILL');
  // It is beside the data, or in a folder of its own.
  const folder = dirname(details.socketPath);
  if (basename(folder).startsWith('weir-') && folder !== dirname(lockFile))
    rmSync(folder, { recursive: true, force: true });
}

// From below the range of ports for outgoing connections: a port of that range could be taken before a process has bound
// it, or while the process is down. Each test process begins at another port, and returns no port twice.
const [firstPort, portCount] = [10_000, 22_000];
let portsTried = process.pid * 64;

/** A free TCP port of the loopback interface, which no other caller gets. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = firstPort + (portsTried++ % portCount);
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!isFree) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
}

/**
 * Polls until `condition` returns something truthy, and returns that; fails after `withinMs`. The limit is only reached by a
 * fault: it is several times what the slowest condition takes on a busy machine.
 */
export async function eventually<T>(
  condition: () => T | Promise<T>,
  what: string,
  withinMs = 60_000,
): Promise<NonNullable<T>> {
  const deadline = Date.now() + withinMs;
  for (;;) {
    const result = await condition();
    if (result) return result as NonNullable<T>;
    if (Date.now() > deadline) throw new Error(`Not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/**
 * What `promise` resolves with; fails after `withinMs` as `eventually` does, with what `evidence` tells then of the reason: a test that
 * waits for ever tells nothing.
 */
export async function within<T>(
  promise: Promise<T>,
  what: string,
  { withinMs = 60_000, evidence = () => '' }: { withinMs?: number; evidence?: () => string } = {},
): Promise<T> {
  const timer = new AbortController();
  const late = setTimeoutPromise(withinMs, undefined, { signal: timer.signal }).then(() => {
    throw new Error(`Not within ${withinMs} ms: ${what}\n${evidence()}`.trimEnd());
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    timer.abort();
  }
}

// A cluster for a demonstration: a private Redis in a temporary folder, and brokers as processes of their own. All of it ends with this
// process, however that ends.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { startEmbeddedRedis } from '../../embedded-redis/embedded-redis.ts';
import { resolveRedisBinary } from '../../embedded-redis/redis-binary.ts';

const program = fileURLToPath(new URL('../../main.js', import.meta.url));

/** Runs a command until the standard input ends, which it does when the demonstration does; then kills it. */
const keeper =
  '"$@" </dev/null & broker=$!; trap "kill $broker" TERM; cat >/dev/null; kill -9 $broker 2>/dev/null; wait $broker';
/** Of the folder with its data; the id of the process follows. */
const folderPrefix = 'weir-demo-';
/** If the demonstration is killed, its Redis ends so soon, ms. */
const orphanTimeoutMs = 2000;

export interface DemoBroker {
  id: number;
  url: string;
  /** As kill -9: it says good-bye to nobody. */
  kill(): Promise<void>;
}

export interface PrivateCluster {
  start(brokerId: number): Promise<DemoBroker>;
  /** Ends everything, and deletes the data. */
  stop(): Promise<void>;
}

/** @param env the environment of this process; options of a server in it are not for the demonstration */
export async function startPrivateCluster(env: Readonly<Record<string, string | undefined>>): Promise<PrivateCluster> {
  await removeAbandoned();
  const dataDir = await mkdtemp(join(tmpdir(), `${folderPrefix}${process.pid}-`));
  const log = pino({ level: 'silent' });
  const keepers: ChildProcess[] = [];
  const own = Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('WEIR_')));
  const remove = () => rm(dataDir, { recursive: true, force: true });
  const redis = await startEmbeddedRedis({
    dataDir,
    appendfsync: 'no',
    maxmemoryBytes: 256 * 1024 * 1024,
    orphanTimeoutMs,
    binary: () => resolveRedisBinary({ log }),
    log,
  }).catch(async (error: unknown) => {
    await remove();
    throw error;
  });
  return {
    start: async (id) => {
      const child = spawn('sh', ['-c', keeper, 'sh', process.execPath, program], {
        // A group of its own: Ctrl-C is for the demonstration, which ends it in order.
        detached: true,
        stdio: ['pipe', 'pipe', 'pipe'],
        env: {
          ...own,
          WEIR_PORT: '0',
          WEIR_BROKER_ID: String(id),
          WEIR_BROKER_SESSION_TTL: '3s',
          WEIR_REDIS_URL: `unix://${redis.socketPath}`,
          WEIR_LOG_FORMAT: 'json',
        },
      });
      keepers.push(child);
      const kill = async () => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const ended = once(child, 'exit');
        child.stdin.end();
        await ended;
      };
      return { id, url: await servedUrl(child), kill };
    },
    stop: async () => {
      for (const { stdin } of keepers) stdin?.end();
      await Promise.all(
        keepers.map((child) =>
          child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined,
        ),
      );
      await redis.stop();
      await remove();
    },
  };
}

/** Removes the folders of demonstrations that were killed: their process is gone, and so is their Redis soon. */
async function removeAbandoned(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const pid = Number(new RegExp(`^${folderPrefix}(\\d+)-`).exec(name)?.[1]);
    if (!(pid > 0) || isAlive(pid)) continue;
    const folder = join(tmpdir(), name);
    // In a folder that all users share, the folders of others are left alone.
    const stats = await stat(folder).catch(() => undefined);
    if (stats?.uid === process.getuid?.()) await rm(folder, { recursive: true, force: true }).catch(() => {});
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

function servedUrl({ stdout, stderr }: ChildProcess): Promise<string> {
  const said: string[] = [];
  return new Promise((resolve, reject) => {
    const hear = (line: string) => {
      const entry = line.startsWith('{') ? (JSON.parse(line) as { msg?: string; url?: string }) : {};
      if (entry.msg === 'Weirkeeper serves' && entry.url !== undefined) resolve(entry.url);
      else if (said.length < 20) said.push(line);
    };
    for (const stream of [stdout, stderr]) if (stream) createInterface({ input: stream }).on('line', hear);
    stdout?.once('end', () => reject(new Error(`A broker did not start: ${said.slice(-5).join('\n')}`)));
  });
}

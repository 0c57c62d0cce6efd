// Folders and files that only this user can access: the data directory, and the folder of the private Redis' socket.
import { createHash, randomUUID } from 'node:crypto';
import { chmodSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, rmSync, type Stats } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Logger } from 'pino';

/** A unix socket's path has at most 107 bytes. */
const socketPathBytesMax = 107;
const socketName = 'redis.sock';

/**
 * Makes the data directory. One that exists is closed to other users, with what Redis keeps in it.
 * @throws Error if the folder cannot be made
 */
export function makeDataDir(dataDir: string, log: Pick<Logger, 'info' | 'warn'>): void {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    throw new Error(`The data directory ${dataDir} cannot be made (--data-dir, WEIR_DATA_DIR): ${problem}`);
  }
  const opened: string[] = [];
  const refused: string[] = [];
  const close = (path: string, wanted: number) => {
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (!found || found.isSymbolicLink() || (found.mode & 0o077) === 0) return;
    try {
      chmodSync(path, wanted);
      opened.push(path);
    } catch {
      refused.push(path);
    }
  };
  close(dataDir, 0o700);
  const appended = join(dataDir, 'appendonlydir');
  close(appended, 0o700);
  if (lstatSync(appended, { throwIfNoEntry: false })?.isDirectory()) {
    for (const name of readdirSync(appended)) close(join(appended, name), 0o600);
  }
  if (opened.length > 0) {
    log.info({ paths: opened }, 'Other users could read the data directory; its modes were changed to 700 (files 600)');
  }
  if (refused.length > 0) {
    log.warn({ paths: refused }, 'Other users can read the data directory, and this user cannot change its modes');
  }
}

/** @throws Error if a file is there that is not a plain file of this user: what it says could be planted */
export function refuseForeignFile(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (!found || (found.isFile() && isOwn(found))) return;
  throw new Error(
    `${path} belongs to another user, or is not a regular file, so its content cannot be trusted. ` +
      'If no server runs on this directory, remove it.',
  );
}

/** Whether only this user can reach what is in a folder. */
export function isPrivateFolder(path: string): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found?.isDirectory() === true && isOwn(found) && (found.mode & 0o077) === 0;
}

/**
 * Where the private Redis listens: in the data directory if its path is short enough and its file system takes sockets; else below
 * the user's runtime folder; else in a temporary folder of its own, whose name nobody can foresee.
 * @param before where an earlier server let it listen
 */
export async function chooseSocketPath(
  dataDir: string,
  runtimeDir: string | undefined,
  before: string | undefined,
): Promise<string> {
  const inDataDir = join(dataDir, socketName);
  if (isShort(inDataDir) && (await takesSockets(dataDir))) return inDataDir;
  const name = `weir-${createHash('sha256').update(dataDir).digest('hex').slice(0, 16)}`;
  if (runtimeDir !== undefined && isPrivateFolder(runtimeDir)) {
    const folder = join(runtimeDir, name);
    if (isShort(join(folder, socketName))) {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      if (isPrivateFolder(folder)) return join(folder, socketName);
    }
  }
  if (before && isShort(before) && isPrivateFolder(dirname(before)) && dirname(before) !== dataDir) return before;
  const place = isShort(join(tmpdir(), 'weir-XXXXXX', socketName)) ? tmpdir() : '/tmp';
  return join(mkdtempSync(join(place, 'weir-')), socketName);
}

function isShort(path: string): boolean {
  return Buffer.byteLength(path) <= socketPathBytesMax;
}

function isOwn(found: Stats): boolean {
  return found.uid === process.getuid?.();
}

/** Folders that a container shares with its host may not. */
async function takesSockets(folder: string): Promise<boolean> {
  // No longer than the name that it is about.
  const path = join(folder, randomUUID().slice(0, socketName.length));
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(path, resolve));
    return true;
  } catch {
    return false;
  } finally {
    server.close();
    rmSync(path, { force: true });
  }
}

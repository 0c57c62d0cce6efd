// Restricts folders and files to this user: the data directory, and the folder with the socket of the private Redis.
import { createHash, randomUUID } from 'node:crypto';
import { chmodSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, rmSync, type Stats, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import type { Logger } from 'pino';

/** The maximum length of the path of a unix socket on Linux, bytes. */
const socketPathBytesMax = 107;
const socketName = 'redis.sock';

/**
 * Makes the data directory. One that exists is closed to other users, with what Redis keeps in it.
 * @throws Error if the folder cannot be made
 */
export function makeDataDir(dataDir: string, log: Pick<Logger, 'info' | 'warn'>): void {
  try {
    makeFolders(dataDir);
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    throw new Error(
      `The data directory ${dataDir} cannot be made: ${problem}. Give a folder that this user may make or write, with --data-dir or ` +
        'WEIR_DATA_DIR.',
    );
  }
  const changed: string[] = [];
  const refused: string[] = [];
  const close = (path: string, mode: number) => {
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (!found || found.isSymbolicLink() || (found.mode & 0o077) === 0) return;
    try {
      chmodSync(path, mode);
      changed.push(path);
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
  if (changed.length > 0) {
    log.info(
      { paths: changed },
      'Other users could read the data directory; its modes were changed to 700 (files 600)',
    );
  }
  if (refused.length > 0) {
    log.warn({ paths: refused }, 'Other users can read the data directory, and this user cannot change its modes');
  }
}

/**
 * Makes a folder with those above it, for this user only. Node's own recursive mkdir never returns if the parent is there but takes
 * no folders, such as /proc.
 * @throws Error of mkdir
 */
function makeFolders(path: string): void {
  const absent: string[] = [];
  let folder = resolve(path);
  for (; !statSync(folder, { throwIfNoEntry: false }); folder = dirname(folder)) absent.unshift(folder);
  for (const each of absent) mkdirSync(each, { mode: 0o700 });
  if (!statSync(path).isDirectory()) throw new Error(`${path} is not a folder`);
}

/** @throws Error if the file exists and is not a regular file of this user, as another user may have placed it there */
export function refuseForeignFile(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (!found || (found.isFile() && isOwn(found))) return;
  throw new Error(
    `${path} belongs to another user, or is not a regular file, so its content cannot be trusted. ` +
      'If no server runs on this directory, remove it.',
  );
}

/** Whether a folder exists and only this user can access it. */
export function isPrivateFolder(path: string): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found?.isDirectory() === true && isOwn(found) && (found.mode & 0o077) === 0;
}

/**
 * Chooses the path of the socket on which the private Redis listens. It is in the data directory if the path is short enough and the
 * file system supports sockets. Otherwise it is below the user's runtime folder, else in a new temporary folder with a random name.
 * @param runtimeDir the user's runtime folder (XDG_RUNTIME_DIR), if any
 * @param before the socket path of an earlier server on this data directory, if any
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
      makeFolders(folder);
      if (isPrivateFolder(folder)) return join(folder, socketName);
    }
  }
  if (before && isShort(before) && isPrivateFolder(dirname(before)) && dirname(before) !== dataDir) return before;
  // TMPDIR may name a folder whose path is too long for a socket; /tmp exists on every system that this program runs on.
  const folder = isShort(join(tmpdir(), 'weir-XXXXXX', socketName)) ? tmpdir() : '/tmp';
  return join(mkdtempSync(join(folder, 'weir-')), socketName);
}

function isShort(path: string): boolean {
  return Buffer.byteLength(path) <= socketPathBytesMax;
}

function isOwn(found: Stats): boolean {
  return found.uid === process.getuid?.();
}

/** Whether sockets can be created in a folder. Some folders that a container shares with its host do not support them. */
async function takesSockets(folder: string): Promise<boolean> {
  // Not longer than the name of the real socket, whose length was checked.
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

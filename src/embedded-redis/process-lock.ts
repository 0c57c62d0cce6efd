/**
 * A lock file held by a living process, such as the lock on a data directory. Node has no access to locks that the kernel releases
 * when a process dies. So the file identifies its holder by pid, start time and machine, and other processes can check whether the
 * holder is still alive.
 */
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  closeSync,
  fsyncSync,
  linkSync,
  openSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

/** Identifies a process, and distinguishes it from a later one with the same pid. */
export interface ProcessIdentity {
  /** The boot id and pid namespace in which the pid is valid. A pid of another machine or container means nothing here. */
  machine: string;
  pid: number;
  /** The start time in the format of the operating system; compared for equality only. */
  startTime: string;
}

/** The content of a lock file. `details` is data of the caller; the next holder gets it as `previousDetails`. */
interface LockContent<Details> {
  id: string;
  holder: ProcessIdentity;
  details: Details;
}

export interface ProcessLock<Details> {
  /** Identifies this hold of the lock; it is in the file as long as the lock is held. */
  readonly id: string;
  /** The details that a dead holder has left; undefined if the lock was free. */
  readonly previousDetails: Details | undefined;
  /** Replaces the details atomically. */
  write(details: Details): void;
  /** Releases the lock. Later calls do nothing. */
  release(): void;
}

/** The lock is held by a living process. */
export class LockHeldError extends Error {
  override readonly name = 'LockHeldError';
  readonly holderPid: number;

  constructor(file: string, holderPid: number) {
    super(`${file} is held by the living process ${holderPid}`);
    this.holderPid = holderPid;
  }
}

/** The identity of the living process `pid`; undefined if there is none, or if it is a zombie. */
export function identifyProcess(pid: number): ProcessIdentity | undefined {
  if (process.platform !== 'linux') {
    try {
      const startTime = execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim();
      return startTime ? { machine: machineId(), pid, startTime } : undefined;
    } catch {
      return undefined; // ps exits with 1 when there is no such process
    }
  }
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // The second field, the name, may contain spaces and brackets. Fields 3 and up follow the last closing bracket.
  const [state, ...rest] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const startTime = rest[18]; // field 22 of proc(5), in clock ticks since boot
  if (state === 'Z' || state === 'X' || startTime === undefined) return undefined;
  return { machine: machineId(), pid, startTime };
}

/** Whether exactly this process, not a later one with the same pid, is alive on this machine. */
export function isAlive(identity: ProcessIdentity): boolean {
  return identity.machine === machineId() && identifyProcess(identity.pid)?.startTime === identity.startTime;
}

/** A holder updates the modification time of its file at this interval, for processes on other machines or in other containers. */
const heartbeatIntervalMs = 1000;
/** A holder is dead if its file is not updated for this time: many intervals, so that a stalled process does not count as dead. */
const heartbeatTimeoutMs = 10_000;

/**
 * Acquires the lock `file` for this process. If several processes try at once, exactly one gets the lock. The lock of a dead holder
 * is taken over. Its details stay in the file until write() replaces them, so they also survive the death of this process.
 * @param onWait called if it takes some seconds to check whether a holder on another machine is alive
 * @throws LockHeldError if a living process holds the lock or is just taking it over
 */
export async function acquireProcessLock<Details>(
  file: string,
  details: Details,
  onWait: () => void = () => {},
): Promise<ProcessLock<Details>> {
  const holder = identifyProcess(process.pid);
  if (!holder) throw new Error('The start time of this process cannot be read; the lock file needs it');
  const mine: LockContent<Details> = { id: randomUUID(), holder, details };
  for (;;) {
    if (createWithContent(file, mine)) return heldLock(file, mine, undefined);
    const found = readLock<Details>(file);
    if (found === undefined) continue; // released in the meantime
    if (found !== 'unreadable' && (await isHeld(file, found, onWait))) throw new LockHeldError(file, found.holder.pid);

    // Checking the dead holder's file and replacing it are two steps, and another process could do the same in between. So a
    // second lock protects them. That lock may have a dead holder, too, and is then taken over in the same way, under a third
    // lock. Each further level requires that one more process was killed within this millisecond.
    const gate = await acquireProcessLock(`${file}.takeover`, null, onWait);
    try {
      const now = readLock<Details>(file);
      const unchanged =
        found === 'unreadable'
          ? now === 'unreadable'
          : now !== undefined && now !== 'unreadable' && now.id === found.id;
      if (!unchanged) continue; // another process was faster; check again
      const previous = found === 'unreadable' ? undefined : found.details;
      const next = { ...mine, details: previous ?? details };
      replaceContent(file, next);
      return heldLock(file, next, previous);
    } finally {
      gate.release();
    }
  }
}

function heldLock<Details>(
  file: string,
  content: LockContent<Details>,
  previousDetails: Details | undefined,
): ProcessLock<Details> {
  const isMine = (): boolean => {
    const now = readLock(file);
    return now !== undefined && now !== 'unreadable' && now.id === content.id;
  };
  const heartbeat = setInterval(() => {
    const now = new Date();
    try {
      utimesSync(file, now, now);
    } catch {
      // The file was deleted by hand, so the lock is given up; the next server can start on the directory.
    }
  }, heartbeatIntervalMs);
  heartbeat.unref();
  return {
    id: content.id,
    previousDetails,
    write: (details) => {
      if (isMine()) replaceContent(file, { ...content, details });
    },
    release: () => {
      clearInterval(heartbeat);
      if (isMine()) unlinkSync(file);
    },
  };
}

async function isHeld(file: string, content: LockContent<unknown>, onWait: () => void): Promise<boolean> {
  if (content.holder.machine === machineId()) return isAlive(content.holder);
  // The holder ran in another container, on another machine that shares the folder, or before a reboot. Its pid is meaningless
  // here, so its heartbeats decide. A restarted container has this wait only if its predecessor was killed (kill -9).
  const seenAt = modifiedMs(file);
  if (Date.now() - seenAt > 3 * heartbeatTimeoutMs) return false;
  onWait();
  for (let waited = 0; waited < heartbeatTimeoutMs; waited += heartbeatIntervalMs) {
    await sleep(heartbeatIntervalMs);
    if (modifiedMs(file) !== seenAt) return true;
  }
  return false;
}

function modifiedMs(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

let knownMachineId: string | undefined;

function machineId(): string {
  knownMachineId ??=
    process.platform === 'linux'
      ? `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${readlinkSync('/proc/self/ns/pid')}`
      : hostname();
  return knownMachineId;
}

function readLock<Details>(file: string): LockContent<Details> | 'unreadable' | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const content = JSON.parse(text) as LockContent<Details>;
    const { id, holder } = content;
    const texts = [id, holder.machine, holder.startTime];
    const isWhole = texts.every((one) => typeof one === 'string') && Number.isInteger(holder.pid);
    return isWhole ? content : 'unreadable';
  } catch {
    return 'unreadable'; // files are created with their whole content, so this one was edited, or damaged by a crash
  }
}

/** Creates `file` with its whole content atomically. Returns false if the file exists. */
function createWithContent(file: string, content: LockContent<unknown>): boolean {
  const draft = writeDraft(file, content);
  try {
    linkSync(draft, file);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

function replaceContent(file: string, content: LockContent<unknown>): void {
  renameSync(writeDraft(file, content), file);
}

function writeDraft(file: string, content: LockContent<unknown>): string {
  const draft = `${file}.${process.pid}.${randomUUID()}`;
  const handle = openSync(draft, 'wx', 0o600);
  writeSync(handle, `${JSON.stringify(content, null, 2)}\n`);
  fsyncSync(handle); // otherwise a power failure could leave the file name without content: an unreadable lock
  closeSync(handle);
  return draft;
}

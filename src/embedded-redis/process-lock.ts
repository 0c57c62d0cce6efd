/**
 * A lock file that a living process holds: who may use a data directory, and who may install into a folder. The kernel
 * offers Node no lock that ends with its process, so the file names the holder so precisely (pid, start time, machine)
 * that anybody can tell whether it is still alive. What is locked, and what holders write beside their name, is the
 * business of the callers.
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

/** A process, never to be mistaken for a later one with the same pid. */
export interface ProcessIdentity {
  /** The world of its pid: boot and pid namespace. A pid of another machine or container means nothing here. */
  machine: string;
  pid: number;
  /** When it started, in whatever form the system tells it; equal only for the same process. */
  startTime: string;
}

/** What stands in a lock file. `details` belongs to the caller; a successor finds it as `previousDetails`. */
interface LockContent<Details> {
  id: string;
  holder: ProcessIdentity;
  details: Details;
}

export interface ProcessLock<Details> {
  /** Stands in the file for as long as this holder has the lock. */
  readonly id: string;
  /** What the dead holder before this one had left behind; undefined if the lock was free. */
  readonly previousDetails: Details | undefined;
  /** Replaces the details atomically. */
  write(details: Details): void;
  /** Gives the lock up. Later calls do nothing. */
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

/** The identity of the living process `pid`; undefined if there is none, or only its zombie is left. */
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
  // The name, second field, may hold blanks and brackets itself: what follows its last bracket are fields 3 and up.
  const [state, ...rest] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const startTime = rest[18]; // field 22 of proc(5), in clock ticks since boot
  if (state === 'Z' || state === 'X' || startTime === undefined) return undefined;
  return { machine: machineId(), pid, startTime };
}

/** Whether that very process (not a later one with its pid) is alive on this machine. */
export function isAlive(identity: ProcessIdentity): boolean {
  return identity.machine === machineId() && identifyProcess(identity.pid)?.startTime === identity.startTime;
}

/** A holder of another machine or container shows that it lives by touching its file this often. */
const heartbeatIntervalMs = 1000;
/** A file untouched for so long has no holder: many heartbeats, so that a stalled process is not taken for dead. */
const heartbeatTimeoutMs = 10_000;

/**
 * Takes the lock `file` for this process. Rejects with LockHeldError if a living process has it, or is taking it over
 * this moment: of several that try at once, exactly one gets it. A dead holder's lock is taken over, and what it had
 * written is carried along until `write` replaces it, so that it survives the death of this process, too.
 * `onWait` is told if it takes some seconds to see whether the holder, on another machine, is alive.
 */
export async function acquireProcessLock<Details>(
  file: string,
  details: Details,
  onWait: () => void = () => {},
): Promise<ProcessLock<Details>> {
  const holder = identifyProcess(process.pid);
  if (!holder) throw new Error('this process cannot tell its own start time');
  const mine: LockContent<Details> = { id: randomUUID(), holder, details };
  for (;;) {
    if (createWithContent(file, mine)) return heldLock(file, mine, undefined);
    const found = readLock<Details>(file);
    if (found === undefined) continue; // given up this moment
    if (found !== 'unreadable' && (await isHeld(file, found, onWait))) throw new LockHeldError(file, found.holder.pid);

    // Removing a dead holder's file and making one's own are two steps, between which another could do the same: so
    // they are made under a lock of their own. That lock may have a dead holder in turn; then the same applies one
    // level up, and each level needs one more process to have been killed within this millisecond.
    const gate = await acquireProcessLock(`${file}.takeover`, null, onWait);
    try {
      const now = readLock<Details>(file);
      const unchanged =
        found === 'unreadable'
          ? now === 'unreadable'
          : now !== undefined && now !== 'unreadable' && now.id === found.id;
      if (!unchanged) continue; // another was faster; judge anew
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
      // Somebody deleted the file by hand. Whoever does that means to; the next start finds the directory unlocked.
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
  // The holder ran in another container, on another machine that shares the folder, or before a reboot. Its pid says
  // nothing; its heartbeat does. The usual case, a container started again, costs this wait only after a kill -9.
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
    const isWhole = typeof content.id === 'string' && Number.isInteger(content.holder.pid);
    return isWhole ? content : 'unreadable';
  } catch {
    return 'unreadable'; // files appear with their whole content, so this one was edited, or lost its bytes in a crash
  }
}

/** Makes `file` with its whole content in one step; false if it is there already. */
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
  fsyncSync(handle); // a name that outlives a power failure without its content would be an unreadable lock
  closeSync(handle);
  return draft;
}

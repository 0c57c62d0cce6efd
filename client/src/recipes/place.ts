// A place in a queue: an ephemeral sequential node, whose number says who came first. Locks, elections and semaphores stand on it. The
// nodes are those of the shell recipes (docs/recipes.md), so that scripts and programs can share them.
import { isWeirError, WeirError } from '../errors.ts';
import type { DataInput } from '../node-data.ts';
import { Session } from '../session.ts';
import { linkedController } from '../time.ts';
import type { TreeClient } from '../tree-client.ts';

/** What a recipe stands on: a client, whose own session is used, or a session. */
export type On = TreeClient | Session;

export function sessionOf(on: On, signal?: AbortSignal): Promise<Session> {
  return on instanceof Session ? Promise.resolve(on) : on.ownSession(signal);
}

export interface Place {
  session: Session;
  path: string;
  name: string;
  /** The czxid of the node: it grows from holder to holder, so it is their fencing token. */
  token: number;
}

async function takePlace(session: Session, parent: string, prefix: string, data?: DataInput): Promise<Place> {
  const { path, name, stat } = await session.tree.createSequential(`${parent}/${prefix}`, data, {
    mode: 'ephemeral',
    parents: true,
  });
  return { session, path, name, token: stat.czxid };
}

/** What is not free ends an attempt that does not wait. */
export class NotFree extends Error {}

/** The result of an attempt that does not wait; undefined if it is not free. */
export async function ifFree<T>(attempt: Promise<T>): Promise<T | undefined> {
  try {
    return await attempt;
  } catch (error) {
    if (error instanceof NotFree) return undefined;
    throw error;
  }
}

/** How somebody waits for a turn. */
export interface Waiting {
  signal?: AbortSignal | undefined;
  /** false: not at all; `NotFree` if it is somebody else's. */
  waits?: boolean;
}

/** Waits until no node is before this one, or none whose name begins with `prefix`. @throws WeirError SESSION_EXPIRED; NotFree */
async function waitForTurn(
  { session, path, name }: Place,
  prefix: string,
  { signal, waits = true }: Waiting,
): Promise<void> {
  const parent = path.slice(0, path.lastIndexOf('/'));
  for (;;) {
    const names = (await allChildren(session, parent)).sort((a, b) => numberOf(a) - numberOf(b));
    const own = names.indexOf(name);
    if (own < 0) throw placeLost(path);
    const before = names.slice(0, own).findLast((each) => each.startsWith(prefix));
    if (before === undefined) return;
    if (!waits) throw new NotFree();
    await session.tree.waitFor(`${parent}/${before}`, { until: 'gone', ...(signal && { signal }) });
  }
}

/** Gives a place up. It may be gone already. */
export async function leavePlace({ session, path, token }: Place): Promise<void> {
  // The node is never set, so its mzxid is its czxid: a later node of this name is not touched.
  await session.tree.remove(path, { mzxid: token }).catch((error: unknown) => {
    if (!isWeirError(error, 'NO_NODE', 'BAD_VERSION', 'SESSION_EXPIRED', 'CLOSED')) throw error;
  });
}

export async function allChildren(session: Session, parent: string): Promise<string[]> {
  const names: string[] = [];
  let after: string | undefined;
  do {
    const page = await session.tree.children(parent, { after });
    names.push(...page.names);
    after = page.next;
  } while (after !== undefined);
  return names;
}

function numberOf(name: string): number {
  return Number(name.slice(-10));
}

export function placeLost(path: string): WeirError {
  return new WeirError({
    code: 'SESSION_EXPIRED',
    status: 410,
    detail: `The node ${path} is gone: its session has ended, or somebody has deleted it.`,
  });
}

/** What somebody holds until it is released or lost. */
export interface Hold {
  /** Send it as fence with what only the holder may write: `fence: \`name=${token}\``. */
  readonly token: number;
  /** The node of the holder; a multi may check that it exists with `token` as czxid. */
  readonly node: string;
  /** Aborted before the session can have ended, and at the release. What only the holder may do must stop then. */
  readonly signal: AbortSignal;
  release(): Promise<void>;
}

/** Waits for a place to be the first, again and again if a session of the client itself is lost meanwhile. */
export async function hold(
  on: On,
  signal: AbortSignal | undefined,
  take: (session: Session) => Promise<Place>,
): Promise<Hold> {
  for (;;) {
    signal?.throwIfAborted();
    const session = await sessionOf(on, signal);
    // Before the node is known to be the first: a signal that is aborted until then is seen.
    const alive = session.signal;
    let place: Place | undefined;
    try {
      place = await take(session);
      signal?.throwIfAborted();
      if (!alive.aborted) return heldPlace(place, alive);
      await leavePlace(place);
      if (session.state === 'lost' && on instanceof Session) throw alive.reason;
    } catch (error) {
      if (place) await leavePlace(place);
      signal?.throwIfAborted();
      if (on instanceof Session || !isWeirError(error, 'SESSION_EXPIRED')) throw error;
    }
  }
}

function heldPlace(place: Place, alive: AbortSignal): Hold {
  const { controller, unlink } = linkedController(alive);
  return {
    token: place.token,
    node: place.path,
    signal: controller.signal,
    release: async () => {
      unlink();
      controller.abort(new WeirError({ code: 'CLOSED', detail: `${place.path} was released.` }));
      await leavePlace(place);
    },
  };
}

/** Takes a place and waits for its turn; whoever gives up leaves no node behind. */
export async function placeInTurn(
  session: Session,
  parent: string,
  prefix: string,
  data: DataInput | undefined,
  waitsFor: string,
  waiting: Waiting,
): Promise<Place> {
  const place = await takePlace(session, parent, prefix, data);
  try {
    await waitForTurn(place, waitsFor, waiting);
    return place;
  } catch (error) {
    await leavePlace(place);
    throw error;
  }
}

/** Holds something while `work` runs. @throws what `work` throws; WeirError SESSION_EXPIRED if the hold was lost meanwhile */
export async function during<T>(acquired: Promise<Hold>, work: (held: Hold) => Promise<T> | T): Promise<T> {
  const held = await acquired;
  try {
    const result = await work(held);
    held.signal.throwIfAborted();
    return result;
  } finally {
    await held.release();
  }
}

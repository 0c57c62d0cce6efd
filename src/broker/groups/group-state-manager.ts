// How a broker decides over groups: it remembers their documents, decides over what it remembers, and commits by
// compare-and-set; where the store has another version by then, it decides anew over that. So any broker may serve any
// member at any moment, and a heartbeat that changes nothing is one round trip. What is decided is not known here.
import type { Logger } from 'pino';
import {
  emptyGroup,
  encodeGroup,
  type GroupDocument,
  getOwn,
  heartbeatIntervalMs,
} from '../../core/groups/group-document.ts';
import { changesBetween, pollTimerName } from '../../core/groups/group-nodes.ts';
import { expire } from '../../core/groups/group-state.ts';
import { groupStateName } from '../../core/groups/member-reconciliation.ts';
import { hasCode, ServiceError } from '../../core/service-error.ts';
import type {
  CommitOutcome,
  GroupCommit,
  GroupSnapshot,
  Groups,
  PartitionPosition,
  Refusal,
} from '../../store/groups/groups.ts';
import type { GroupMetrics } from './group-metrics.ts';

export interface GroupUpdate<T> {
  /** The next document, 'delete', or undefined if it stays as it is. */
  document?: GroupDocument | 'delete' | undefined;
  /** What goes with it. */
  commit?: Omit<GroupCommit, 'document' | 'changes' | 'liveMemberCount'>;
  /** There is nothing to commit: the store need not be asked. */
  isNoop?: boolean;
  result: T;
}

export interface CommittedUpdate<T> {
  result: T;
  document: GroupDocument | undefined;
  /** 0 if the store was not asked. */
  zxid: number;
  /** The number of the consume call, if there was one. */
  callEpoch: number;
  /** The number of what the member of `commit.consume` was given last. */
  lastSeq: number;
  /** Those of `commit.calls`. */
  raisedCallEpochs: number[];
  positions: PartitionPosition[];
  /** Nothing was committed, as callers are superseded, or requests were answered before. */
  refused: Refusal | undefined;
  /** Nothing was committed, as this is what the member was given last, and before that; not what `consume.after` says. */
  elsewhere: { lastSeq: number; prevSeq: number } | undefined;
}

/**
 * Decides over a document; it may be called again, and must do nothing but decide. What it throws is final if `isNewest`,
 * which says that the document is not older than the call; else it is asked again over one that is.
 */
export type ComputeUpdate<T> = (
  document: GroupDocument | undefined,
  isNewest: boolean,
) => GroupUpdate<T> | Promise<GroupUpdate<T>>;

/** How many groups' documents are remembered, those used last. */
const cachedMax = 1000;
/** Brokers that decide over one group at once hinder each other; each round one of them gets through. */
const attemptsMax = 100;
const backOffMsMax = 20;
/** How many comings or goings of one step are logged one by one; their number is in any case. */
const loggedMax = 20;

export class GroupStateManager {
  readonly #groups: Groups;
  readonly #log: Logger;
  readonly #cached = new Map<string, GroupSnapshot>();
  /** The last of the decisions under way that change a group: on one broker they wait for each other. */
  readonly #queues = new Map<string, Promise<unknown>>();
  readonly #watchers = new Map<string, Set<() => void>>();
  /** Reads that have not begun yet. */
  readonly #refreshes = new Map<string, Promise<GroupSnapshot>>();
  readonly #metrics: GroupMetrics;

  constructor(groups: Groups, metrics: GroupMetrics, log: Logger) {
    this.#groups = groups;
    this.#metrics = metrics;
    this.#log = log;
  }

  /**
   * Decides over a group and commits that.
   * @param isChange it is sure to change the group: to try it outside the turn would be in vain
   * @throws ServiceError what `decide` throws over a document that is surely the newest; what the store throws
   */
  async update<T>(group: string, decide: ComputeUpdate<T>, isChange = false): Promise<CommittedUpdate<T>> {
    const quick = isChange ? undefined : await this.tryUnchanged(group, decide);
    return quick ?? this.#serialize(group, () => this.#updateUntilCommitted(group, decide));
  }

  /**
   * Decides over what this broker remembers, without waiting for others: the most frequent case, in which the document
   * stays as it is. @returns undefined if that was in vain, and nothing was done: decide() then does it
   */
  async tryUnchanged<T>(group: string, decide: ComputeUpdate<T>): Promise<CommittedUpdate<T> | undefined> {
    const snapshot = this.#cached.get(group);
    if (!snapshot) return undefined;
    // While members are on the move most decisions change something, and each is long work in a large group: tried all at
    // once, they would hold up this broker until it takes its store for dead.
    if (this.#queues.has(group) && snapshot.document && groupStateName(snapshot.document) !== 'stable')
      return undefined;
    let decision: GroupUpdate<T>;
    try {
      decision = await decide(snapshot.document, false);
    } catch {
      // It may fail only because what is remembered is old; what counts is decided over the newest document.
      return undefined;
    }
    // A copy that says the same is found out in turn: to compare large documents here would hold up everybody else.
    if (decision.isNoop || (decision.document !== undefined && decision.document !== snapshot.document))
      return undefined;
    const outcome = await this.#commit(group, snapshot, { ...decision, document: undefined });
    return outcome.outcome === 'conflict' || outcome.outcome === 'gone'
      ? undefined
      : committed(decision.result, snapshot.document, outcome);
  }

  /** The group's document at a version or newer; what is remembered is not read again. */
  async readAtVersion(group: string, version: number): Promise<GroupDocument | undefined> {
    const remembered = this.#cached.get(group);
    if (remembered && remembered.version >= version) return remembered.document;
    return (await this.#read(group)).document;
  }

  /** What this broker remembers of the group; it may be old. */
  cached(group: string): GroupSnapshot | undefined {
    return this.#cached.get(group);
  }

  /** The group as it is now in the store, without members whose session has ended. */
  async read(group: string): Promise<GroupSnapshot & { zxid: number }> {
    for (let attempt = 1; ; attempt += 1) {
      const { living, ...snapshot } = await this.#read(group);
      const isSwept = living.size === Object.keys(snapshot.document?.members ?? {}).length;
      if (isSwept || attempt > 2) return snapshot;
      await this.sweep(group);
    }
  }

  /** The group as it is in the store now; all who ask in one turn share one read. */
  refresh(group: string): Promise<GroupSnapshot> {
    const shared = this.#refreshes.get(group);
    if (shared) return shared;
    const look = new Promise((resolve) => setImmediate(resolve)).then(async () => {
      this.#refreshes.delete(group);
      return this.#read(group);
    });
    this.#refreshes.set(group, look);
    return look;
  }

  /** Reads the group; a document that is remembered is not sent again. */
  async #read(group: string) {
    const { version, document, text, zxid, living } = await this.#groups.get(group, this.#cached.get(group));
    this.#cache(group, { version, document, text });
    return { version, document, text, zxid, living };
  }

  /** Says that the group has changed: whoever waits on its behalf looks again. */
  notifyChanged(group: string): void {
    for (const wake of [...(this.#watchers.get(group) ?? [])]) wake();
  }

  /** Calls `wake` after each change of the group that this broker hears of. @returns how to stop that */
  watch(group: string, wake: () => void): () => void {
    const watchers = this.#watchers.get(group);
    if (watchers) watchers.add(wake);
    else this.#watchers.set(group, new Set([wake]));
    return () => {
      const those = this.#watchers.get(group);
      those?.delete(wake);
      if (those?.size === 0) this.#watchers.delete(group);
    };
  }

  /** Takes the expired members out of a group, if there are any. */
  async sweep(group: string): Promise<void> {
    await this.update(group, (document) => ({
      isNoop: document === undefined,
      commit: { allowOom: true },
      result: undefined,
    }));
  }

  async #updateUntilCommitted<T>(group: string, decide: ComputeUpdate<T>): Promise<CommittedUpdate<T>> {
    let snapshot = this.#cached.get(group);
    let isNewest = false;
    for (let attempt = 1; attempt <= attemptsMax; attempt += 1) {
      if (!snapshot) {
        snapshot = await this.#groups.get(group, this.#cached.get(group));
        isNewest = true;
      }
      let decision: GroupUpdate<T>;
      try {
        decision = await decide(snapshot.document, isNewest);
      } catch (error) {
        if (isNewest) throw error;
        snapshot = undefined;
        continue;
      }
      if (decision.isNoop) {
        // To do nothing must be right for the newest document, too.
        if (isNewest) return { ...unasked, result: decision.result, document: snapshot.document };
        snapshot = undefined;
        continue;
      }
      const outcome = await this.#commit(group, snapshot, decision);
      switch (outcome.outcome) {
        case 'applied':
        case 'refused':
        case 'elsewhere':
          return committed(decision.result, nextOf(snapshot, decision), outcome);
        case 'gone':
          snapshot = await this.#expire(group, outcome, outcome.living);
          break;
        case 'conflict':
          this.#metrics.countConflict();
          snapshot = { version: outcome.version, document: outcome.document, text: outcome.text };
          this.#cache(group, snapshot);
          if (attempt > 2) await new Promise((resolve) => setTimeout(resolve, Math.random() * backOffMsMax));
      }
      // A conflict has brought the newest document; after an expiry it is asked for.
      isNewest = snapshot !== undefined;
    }
    throw new ServiceError(
      'TOO_MANY_REQUESTS',
      `Group '${group}' changes faster than this request could be decided; nothing was done. Try again.`,
      { group },
    );
  }

  /** Commits that members are gone. @returns the new snapshot, or undefined if others were faster */
  async #expire(group: string, { version, document, text }: GroupSnapshot, living: Set<string>) {
    if (!document) return undefined;
    const decision = { document: expire(document, living), result: undefined };
    const outcome = await this.#commit(group, { version, document, text }, decision, living);
    return outcome.outcome === 'applied' ? this.#cached.get(group) : undefined;
  }

  async #commit(
    group: string,
    snapshot: GroupSnapshot,
    decision: GroupUpdate<unknown>,
    living?: ReadonlySet<string>,
  ): Promise<CommitOutcome> {
    const before = snapshot.document ?? emptyGroup();
    const { next, text } = changeOf(snapshot, decision);
    const memberIds = Object.keys(before.members);
    const expired = new Set(living ? memberIds.filter((memberId) => !living.has(memberId)) : []);
    const changes =
      next === undefined || next === 'delete' ? undefined : changesBetween(group, before, next, expired, Date.now());
    const outcome = await this.#groups.commit(group, snapshot.version, {
      ...withPollTimer(group, decision, before),
      document: text,
      ...(changes && { changes }),
      liveMemberCount: memberIds.length - expired.size,
      ...(expired.size > 0 && { allowOom: true }),
    });
    if (outcome.outcome === 'applied') {
      const { version } = outcome;
      if (next === undefined) this.#cache(group, { ...snapshot, version });
      else if (next === 'delete') this.#cache(group, { version, document: undefined, text: '' });
      else this.#cache(group, { version, document: next, text: text! });
      if (next !== undefined) {
        this.#report(group, before, next === 'delete' ? undefined : next, expired, outcome.movedMs);
        this.notifyChanged(group);
      }
    }
    return outcome;
  }

  /** Members' comings and goings, new assignments, and when they are through, for the operator. */
  #report(
    group: string,
    before: GroupDocument,
    next: GroupDocument = emptyGroup(),
    expired: ReadonlySet<string>,
    movedMs: number | undefined,
  ): void {
    this.#metrics.recordChange(before, next, movedMs);
    const joined = Object.keys(next.members).filter((member) => !getOwn(before.members, member));
    for (const member of joined.slice(0, loggedMax)) {
      const { instanceId } = next.members[member]!;
      this.#log.info({ group, member, ...(instanceId !== undefined && { instanceId }) }, 'A member joined');
    }
    const left = Object.keys(before.members).filter((member) => !getOwn(next.members, member));
    for (const member of left.slice(0, loggedMax)) {
      const what = expired.has(member) ? 'The session of a member expired' : 'A member left or was replaced';
      this.#log.info({ group, member }, what);
    }
    if (next.leftOut !== undefined && next.leftOut !== before.leftOut) {
      const leftOut = next.leftOut;
      this.#log.warn(
        { group, leftOut },
        'A group has no room for some partitions under its subscriptions: nobody reads them',
      );
    }
    const { groupEpoch, assignor } = next;
    const members = Object.keys(next.members).length;
    if (next.targetEpoch > before.targetEpoch) {
      const state = groupStateName(next);
      const [more, fewer] = [joined.length, left.length];
      this.#log.info({ group, groupEpoch, assignor, members, more, fewer, state }, 'A group was assigned anew');
    }
    if (movedMs !== undefined) this.#log.info({ group, groupEpoch, members, tookMs: movedMs }, 'A group is stable');
  }

  #cache(group: string, snapshot: GroupSnapshot): void {
    const known = this.#cached.get(group);
    // An answer that was under way for long must not take back what is known by now.
    if (known && known.version > snapshot.version && snapshot.version > 0) return;
    this.#cached.delete(group);
    this.#cached.set(group, snapshot);
    if (this.#cached.size > cachedMax) this.#cached.delete(this.#cached.keys().next().value!);
  }

  /**
   * Runs one change of a group after the other: at once they would only make each other's work void. When the store is
   * away, those that wait for their turn are not kept waiting one by one (guarantee E3).
   */
  async #serialize<T>(group: string, work: () => Promise<T>): Promise<T> {
    const before = this.#queues.get(group);
    const afterFailure = (error: unknown) => {
      if (!hasCode(error, 'STORE_UNAVAILABLE')) return work();
      throw new ServiceError('STORE_UNAVAILABLE', 'The store cannot be reached; nothing was done. Try again soon.');
    };
    const mine = before ? before.then(work, afterFailure) : work();
    this.#queues.set(group, mine);
    try {
      return await mine;
    } finally {
      if (this.#queues.get(group) === mine) this.#queues.delete(group);
    }
  }
}

const unasked = {
  zxid: 0,
  callEpoch: 0,
  lastSeq: 0,
  raisedCallEpochs: [],
  positions: [],
  refused: undefined,
  elsewhere: undefined,
};

/** The next document and its JSON, both undefined if that says the same as before. */
function changeOf(before: GroupSnapshot, decision: GroupUpdate<unknown>) {
  const { document: next } = decision;
  if (next === 'delete') return { next, text: next };
  if (next === undefined || next === before.document) return { next: undefined, text: undefined };
  const text = encodeGroup(next);
  return text === before.text ? { next: undefined, text: undefined } : { next, text };
}

/**
 * A member that reads by consume calls and does not make one for so long is stuck, though something may go on sending its
 * heartbeats. Who is silent altogether is out by its session before that.
 */
function withPollTimer(group: string, { commit = {} }: GroupUpdate<unknown>, document: GroupDocument): typeof commit {
  const member = commit.consume && getOwn(document.members, commit.consume.memberId);
  if (!member) return commit;
  const { memberId, rebalanceTimeoutMs, sessionTimeoutMs } = member;
  const delayMs = Math.max(rebalanceTimeoutMs, sessionTimeoutMs) + heartbeatIntervalMs(sessionTimeoutMs);
  return { ...commit, timers: [{ name: pollTimerName(group, memberId), delayMs }] };
}

function nextOf(before: GroupSnapshot, { document }: GroupUpdate<unknown>): GroupDocument | undefined {
  return document === 'delete' ? undefined : (document ?? before.document);
}

function committed<T>(
  result: T,
  document: GroupDocument | undefined,
  outcome: Exclude<CommitOutcome, { outcome: 'conflict' | 'gone' }>,
): CommittedUpdate<T> {
  if (outcome.outcome === 'refused') return { ...unasked, result, document, refused: outcome };
  if (outcome.outcome === 'elsewhere') return { ...unasked, result, document, elsewhere: outcome };
  const { zxid, callEpoch, lastSeq, raisedCallEpochs, positions } = outcome;
  return {
    ...unasked,
    result,
    document,
    zxid,
    callEpoch,
    lastSeq,
    raisedCallEpochs,
    positions,
  };
}

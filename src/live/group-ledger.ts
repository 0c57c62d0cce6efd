// How a broker decides over groups: it remembers their documents, decides over what it remembers, and commits by
// compare-and-set; where the store has another version by then, it decides anew over that. So any broker may serve any
// member at any moment, and a heartbeat that changes nothing is one round trip. What is decided is not known here.
import type { Logger } from 'pino';
import { emptyGroup, type GroupDocument } from '../core/group-document.ts';
import { changesBetween } from '../core/group-nodes.ts';
import { expire } from '../core/group-state.ts';
import { groupStateName } from '../core/reconcile.ts';
import { hasCode, ServiceError } from '../core/service-error.ts';
import type { CommitOutcome, GroupCommit, GroupSnapshot, Groups, PartitionPosition } from '../store/groups.ts';
import type { Metrics } from './metrics.ts';

export interface Decision<T> {
  /** The next document, 'delete', or undefined if it stays as it is. */
  document?: GroupDocument | 'delete' | undefined;
  /** What goes with it. */
  commit?: Omit<GroupCommit, 'document' | 'changes' | 'living'>;
  /** There is nothing to commit: the store need not be asked. */
  idle?: boolean;
  result: T;
}

export interface Committed<T> {
  result: T;
  document: GroupDocument | undefined;
  /** 0 if the store was not asked. */
  zxid: number;
  /** The number of the consume call, if there was one. */
  call: number;
  positions: PartitionPosition[];
  /** The kept answer of an earlier request with the same Idempotency-Key. */
  replayed: string | undefined;
  /** Nothing was committed, as the member has begun a newer consume call. */
  isSuperseded: boolean;
}

/** Decides over a document that is not older than the call; it may be called again, and must do nothing but decide. */
export type Decide<T> = (document: GroupDocument | undefined) => Decision<T> | Promise<Decision<T>>;

/** How many groups' documents are remembered, those used last. */
const rememberedMax = 1000;
/** Brokers that decide over one group at once hinder each other; each round one of them gets through. */
const attemptsMax = 100;
const backOffMsMax = 20;

export class GroupLedger {
  readonly #groups: Groups;
  readonly #log: Logger;
  readonly #remembered = new Map<string, GroupSnapshot>();
  /** The last of the decisions under way that change a group: on one broker they wait for each other. */
  readonly #queues = new Map<string, Promise<unknown>>();
  readonly #watchers = new Map<string, Set<() => void>>();
  /** Reads that have not begun yet. */
  readonly #looks = new Map<string, Promise<GroupSnapshot>>();
  readonly #rebalances;
  readonly #conflicts;

  constructor(groups: Groups, metrics: Metrics, log: Logger) {
    this.#groups = groups;
    this.#log = log;
    this.#rebalances = metrics.counter('group_rebalances_total', 'Assignments of groups that this broker computed.');
    this.#conflicts = metrics.counter(
      'group_conflicts_total',
      'Decisions over groups that had to be made again, as the group had changed meanwhile.',
    );
    metrics.gauge('groups', 'Consumer groups that this broker knows of.', () => this.#remembered.size);
    metrics.gauge('group_members', 'Members of the groups that this broker knows of.', () => {
      let count = 0;
      for (const { document } of this.#remembered.values()) count += Object.keys(document?.members ?? {}).length;
      return count;
    });
  }

  /**
   * Decides over a group and commits that.
   * @param isChange it is sure to change the group: to try it outside the turn would be in vain
   * @throws ServiceError what `decide` throws over a document that is surely the newest; what the store throws
   */
  async decide<T>(group: string, decide: Decide<T>, isChange = false): Promise<Committed<T>> {
    const remembered = this.#remembered.get(group);
    // While members are on the move most decisions change something, and each is long work in a large group: tried all at
    // once, they would hold up this broker until it takes its store for dead.
    const isBusy = this.#queues.has(group) && remembered?.document && groupStateName(remembered.document) !== 'stable';
    if (remembered && !isChange && !isBusy) {
      const quick = await this.#tryUnchanged(group, remembered, decide);
      if (quick) return quick;
    }
    return this.#inTurn(group, () => this.#decideUntilDone(group, decide));
  }

  /** What this broker remembers of the group; it may be old. */
  remembered(group: string): GroupSnapshot | undefined {
    return this.#remembered.get(group);
  }

  /** The group as it is now in the store, without members whose session has ended. */
  async read(group: string): Promise<GroupSnapshot & { zxid: number }> {
    for (let attempt = 1; ; attempt += 1) {
      const { zxid, version, document, living } = await this.#groups.get(group);
      this.#remember(group, { version, document });
      const isSwept = living.size === Object.keys(document?.members ?? {}).length;
      if (isSwept || attempt > 2) return { zxid, version, document };
      await this.sweep(group);
    }
  }

  /** The group as it is in the store now; all who ask in one turn share one read. */
  look(group: string): Promise<GroupSnapshot> {
    const shared = this.#looks.get(group);
    if (shared) return shared;
    const look = new Promise((resolve) => setImmediate(resolve)).then(async () => {
      this.#looks.delete(group);
      const { version, document } = await this.#groups.get(group);
      this.#remember(group, { version, document });
      return { version, document };
    });
    this.#looks.set(group, look);
    return look;
  }

  /** Says that the group has changed: whoever waits on its behalf looks again. */
  changed(group: string): void {
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
    await this.decide(group, (document) => ({
      idle: document === undefined,
      commit: { keeps: true },
      result: undefined,
    }));
  }

  /** The most frequent case, without waiting for others: the document stays as this broker remembers it. */
  async #tryUnchanged<T>(group: string, snapshot: GroupSnapshot, decide: Decide<T>): Promise<Committed<T> | undefined> {
    let decision: Decision<T>;
    try {
      decision = await decide(snapshot.document);
    } catch {
      // It may fail only because what is remembered is old; what counts is decided over the newest document.
      return undefined;
    }
    // A copy that says the same is found out in turn: to compare large documents here would hold up everybody else.
    if (decision.idle || (decision.document !== undefined && decision.document !== snapshot.document)) return undefined;
    const outcome = await this.#commit(group, snapshot, { ...decision, document: undefined });
    return outcome.outcome === 'applied' || outcome.outcome === 'superseded'
      ? committed(decision.result, snapshot.document, outcome)
      : undefined;
  }

  async #decideUntilDone<T>(group: string, decide: Decide<T>): Promise<Committed<T>> {
    let snapshot = this.#remembered.get(group);
    let isNewest = false;
    for (let attempt = 1; attempt <= attemptsMax; attempt += 1) {
      if (!snapshot) {
        snapshot = await this.#groups.get(group);
        isNewest = true;
      }
      let decision: Decision<T>;
      try {
        decision = await decide(snapshot.document);
      } catch (error) {
        if (isNewest) throw error;
        snapshot = undefined;
        continue;
      }
      if (decision.idle) {
        // To do nothing must be right for the newest document, too.
        if (isNewest) return { ...unasked, result: decision.result, document: snapshot.document };
        snapshot = undefined;
        continue;
      }
      const changes = isChange(snapshot.document, decision.document);
      const outcome = await this.#commit(group, snapshot, changes ? decision : { ...decision, document: undefined });
      switch (outcome.outcome) {
        case 'applied':
        case 'superseded':
          return committed(decision.result, after(snapshot.document, decision), outcome);
        case 'gone':
          snapshot = await this.#expire(group, outcome, outcome.living);
          break;
        case 'conflict':
          this.#conflicts.inc();
          snapshot = { version: outcome.version, document: outcome.document };
          this.#remember(group, snapshot);
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
  async #expire(group: string, { version, document }: GroupSnapshot, living: Set<string>) {
    if (!document) return undefined;
    const next = expire(document, living);
    const outcome = await this.#commit(group, { version, document }, { document: next, result: undefined }, living);
    return outcome.outcome === 'applied' ? this.#remembered.get(group) : undefined;
  }

  async #commit(
    group: string,
    snapshot: GroupSnapshot,
    decision: Decision<unknown>,
    living?: ReadonlySet<string>,
  ): Promise<CommitOutcome> {
    const before = snapshot.document ?? emptyGroup();
    const { document: next } = decision;
    const memberIds = Object.keys(before.members);
    const expired = new Set(living ? memberIds.filter((memberId) => !living.has(memberId)) : []);
    const changes =
      next === undefined || next === 'delete' ? undefined : changesBetween(group, before, next, expired, Date.now());
    const outcome = await this.#groups.commit(group, snapshot.version, {
      ...decision.commit,
      document: next,
      ...(changes && { changes }),
      living: memberIds.length - expired.size,
      ...(expired.size > 0 && { keeps: true }),
    });
    if (outcome.outcome === 'applied' && outcome.replayed === undefined) {
      this.#remember(group, { version: outcome.version, document: after(snapshot.document, decision) });
      if (next !== undefined) {
        this.#report(group, before, next === 'delete' ? emptyGroup() : next, expired);
        this.changed(group);
      }
    }
    return outcome;
  }

  /** Members' comings and goings, and new assignments, for the operator. */
  #report(group: string, before: GroupDocument, next: GroupDocument, expired: ReadonlySet<string>): void {
    for (const { memberId, instanceId } of Object.values(next.members)) {
      if (Object.hasOwn(before.members, memberId)) continue;
      this.#log.info({ group, member: memberId, ...(instanceId !== undefined && { instanceId }) }, 'A member joined');
    }
    for (const member of Object.keys(before.members)) {
      if (Object.hasOwn(next.members, member)) continue;
      const what = expired.has(member) ? 'The session of a member expired' : 'A member left or was replaced';
      this.#log.info({ group, member }, what);
    }
    if (next.targetEpoch === before.targetEpoch || next.targetEpoch === 0) return;
    this.#rebalances.inc();
    const { groupEpoch, assignor } = next;
    this.#log.info(
      { group, groupEpoch, assignor, members: Object.keys(next.members).length },
      'A group was assigned anew',
    );
  }

  #remember(group: string, snapshot: GroupSnapshot): void {
    const known = this.#remembered.get(group);
    // An answer that was under way for long must not take back what is known by now.
    if (known && known.version > snapshot.version && snapshot.version > 0) return;
    this.#remembered.delete(group);
    this.#remembered.set(group, snapshot);
    if (this.#remembered.size > rememberedMax) this.#remembered.delete(this.#remembered.keys().next().value!);
  }

  /**
   * Runs one change of a group after the other: at once they would only make each other's work void. When the store is
   * away, those that wait for their turn are not kept waiting one by one (guarantee E3).
   */
  async #inTurn<T>(group: string, work: () => Promise<T>): Promise<T> {
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

const unasked = { zxid: 0, call: 0, positions: [], replayed: undefined, isSuperseded: false };

function isChange(before: GroupDocument | undefined, next: GroupDocument | 'delete' | undefined): boolean {
  if (next === undefined || next === before) return false;
  if (next === 'delete' || next.groupEpoch !== before?.groupEpoch) return true;
  return JSON.stringify(next) !== JSON.stringify(before);
}

function after(before: GroupDocument | undefined, decision: Decision<unknown>): GroupDocument | undefined {
  if (decision.document === 'delete') return undefined;
  return decision.document ?? before;
}

function committed<T>(
  result: T,
  document: GroupDocument | undefined,
  outcome: CommitOutcome & { outcome: 'applied' | 'superseded' },
): Committed<T> {
  if (outcome.outcome === 'superseded') return { ...unasked, result, document, isSuperseded: true };
  const { zxid, call, positions, replayed } = outcome;
  return { result, document, zxid, call, positions, replayed, isSuperseded: false };
}

// Updates group documents: load, apply, commit by compare-and-set, and again if the document has changed meanwhile. Each broker
// caches documents and applies an update to the cached one first, so any broker may serve any member at any moment, and an
// update that changes nothing is one round trip to Redis.
import { setTimeout as pause } from 'node:timers/promises';
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
import { recentlyUsed } from '../../core/recently-used.ts';
import { hasCode, ServiceError } from '../../core/service-error.ts';
import type { CommitOutcome, GroupSnapshot, Groups } from '../../store/groups/groups.ts';
import { ClientEventsLog } from '../client-events-log.ts';
import type { GroupMetrics } from './group-metrics.ts';
import type { CommittedUpdate, ComputeUpdate, GroupUpdate } from './group-update.ts';
import {
  type AppliedRequests,
  applyRequests,
  type MembershipRequest,
  type MembershipResult,
  refusedResult,
  resultsOf,
} from './membership-update.ts';
import type { TopicSources } from './topics-view.ts';

/** Documents in the cache of a broker, those used last. */
const cachedDocumentsMax = 1000;
/** Of brokers that update one group at the same time, one succeeds in each round. */
const attemptsMax = 100;
const backOffMsMax = 20;
/** Members that join or leave in one update and get a log line each; the number of all is in one more line. */
const loggedMembersMax = 20;

export class GroupStateManager {
  readonly #groups: Groups;
  readonly #log: ClientEventsLog;
  readonly #cache = recentlyUsed<GroupSnapshot>(cachedDocumentsMax);
  /** By group, the last update in flight: updates of a group through this broker run one after the other. */
  readonly #queues = new Map<string, Promise<unknown>>();
  readonly #watchers = new Map<string, Set<() => void>>();
  /** Reads that have not begun yet. */
  readonly #refreshes = new Map<string, Promise<GroupSnapshot>>();
  readonly #metrics: GroupMetrics;

  constructor(groups: Groups, metrics: GroupMetrics, log: Logger) {
    this.#groups = groups;
    this.#metrics = metrics;
    this.#log = new ClientEventsLog(log);
  }

  /**
   * Loads a group, applies an update and commits it; on a conflict it does so again.
   * @throws ServiceError what `compute` throws for the newest document; TOO_MANY_REQUESTS after too many conflicts; what the store throws
   */
  async update<T>(group: string, compute: ComputeUpdate<T>): Promise<CommittedUpdate<T>> {
    const unchanged = await this.tryUnchanged(group, compute);
    return unchanged ?? this.#serialize(group, () => this.#updateUntilCommitted(group, compute));
  }

  /**
   * Applies membership requests together and commits them. If the store refuses some (they are superseded, or have a stored
   * response), the others are applied again without them.
   * @param take called once, when earlier updates of the group are done: returns the requests that are pending by then
   * @returns by request, its result or why it failed
   * @throws ServiceError STORE_UNAVAILABLE if `take` was not called
   */
  updateMembers(
    group: string,
    sources: TopicSources,
    take: () => readonly MembershipRequest[],
  ): Promise<ReadonlyMap<MembershipRequest, MembershipResult | Error>> {
    return this.#serialize(group, async () => {
      const results = new Map<MembershipRequest, MembershipResult | Error>();
      let open: readonly MembershipRequest[] | undefined;
      const compute: ComputeUpdate<AppliedRequests> = (document, isNewest) => {
        open ??= take();
        return applyRequests(sources, group, open, document, isNewest);
      };
      try {
        do {
          const committed = await this.#updateUntilCommitted(group, compute);
          const requests = open ?? [];
          const { refused } = committed;
          const found = refused ? requests.map((request) => refusedResult(request, refused)) : resultsOf(committed);
          for (const [index, request] of requests.entries()) {
            const result = found[index];
            if (result) results.set(request, result);
            if (hasCode(result, 'TOO_LARGE')) this.#metrics.refused.inc();
          }
          open = requests.filter((request) => !results.has(request));
        } while (open.length > 0);
      } catch (error) {
        if (!open) throw error;
        const failure = error instanceof Error ? error : new Error(String(error));
        for (const request of open) results.set(request, failure);
      }
      return results;
    });
  }

  /**
   * Commits an update that leaves the cached document as it is, without waiting for other updates: the most frequent case.
   * @returns undefined if the update changes the document or the cached one is old: nothing was done, and the caller must
   *   use update()
   */
  async tryUnchanged<T>(group: string, compute: ComputeUpdate<T>): Promise<CommittedUpdate<T> | undefined> {
    const snapshot = this.#cache.get(group);
    if (!snapshot) return undefined;
    // During a rebalance most updates change the document, and each is long work in a large group. Tried all at once they
    // would block the event loop until the connection to Redis seems dead.
    if (this.#queues.has(group) && snapshot.document && groupStateName(snapshot.document) !== 'stable')
      return undefined;
    let update: GroupUpdate<T>;
    try {
      update = await compute(snapshot.document, false);
    } catch {
      // The error may be due to the cached document; update() decides over the newest one.
      return undefined;
    }
    // An equal copy is found later, in update(): comparing large documents here would block the event loop.
    if (update.isNoop || (update.document !== undefined && update.document !== snapshot.document)) return undefined;
    const outcome = await this.#commit(group, snapshot, { ...update, document: undefined });
    return outcome.outcome === 'conflict' || outcome.outcome === 'sessions_ended'
      ? undefined
      : committed(update.result, snapshot.document, outcome);
  }

  /** The group's document at a version or newer; read only if the cached one is older. */
  async readAtVersion(group: string, version: number): Promise<GroupDocument | undefined> {
    const cached = this.#cache.get(group);
    if (cached && cached.version >= version) return cached.document;
    return (await this.#read(group)).document;
  }

  /** What this broker has cached of the group; it may be old. */
  cached(group: string): GroupSnapshot | undefined {
    return this.#cache.get(group);
  }

  /** Reads the group from the store, and removes members whose session has ended. */
  async read(group: string): Promise<GroupSnapshot & { zxid: number }> {
    for (let attempt = 1; ; attempt += 1) {
      const { living, ...snapshot } = await this.#read(group);
      const isSwept = living.size === Object.keys(snapshot.document?.members ?? {}).length;
      if (isSwept || attempt > 2) return snapshot;
      await this.sweep(group);
    }
  }

  /** Reads the group from the store; calls in one turn of the event loop share one read. */
  refresh(group: string): Promise<GroupSnapshot> {
    const shared = this.#refreshes.get(group);
    if (shared) return shared;
    const refresh = new Promise((resolve) => setImmediate(resolve)).then(async () => {
      this.#refreshes.delete(group);
      return this.#read(group);
    });
    this.#refreshes.set(group, refresh);
    return refresh;
  }

  /** The store does not send a document again that is cached at its version. */
  async #read(group: string) {
    const { version, document, text, zxid, living } = await this.#groups.get(group, this.#cache.get(group));
    this.#remember(group, { version, document, text });
    return { version, document, text, zxid, living };
  }

  /** Wakes the watchers of the group: it has changed. */
  notifyChanged(group: string): void {
    for (const wake of [...(this.#watchers.get(group) ?? [])]) wake();
  }

  /** Calls `wake` after each change of the group that this broker makes or sees. @returns stops that */
  watch(group: string, wake: () => void): () => void {
    const watchers = this.#watchers.get(group);
    if (watchers) watchers.add(wake);
    else this.#watchers.set(group, new Set([wake]));
    return () => {
      const current = this.#watchers.get(group);
      current?.delete(wake);
      if (current?.size === 0) this.#watchers.delete(group);
    };
  }

  /** Removes the members whose session has ended. */
  async sweep(group: string): Promise<void> {
    await this.update(group, (document) => ({
      isNoop: document === undefined,
      commit: { allowOom: true },
      result: undefined,
    }));
  }

  async #updateUntilCommitted<T>(group: string, compute: ComputeUpdate<T>): Promise<CommittedUpdate<T>> {
    let snapshot = this.#cache.get(group);
    let isNewest = false;
    for (let attempt = 1; attempt <= attemptsMax; attempt += 1) {
      if (!snapshot) {
        snapshot = await this.#groups.get(group, this.#cache.get(group));
        isNewest = true;
      }
      let update: GroupUpdate<T>;
      try {
        update = await compute(snapshot.document, isNewest);
      } catch (error) {
        if (isNewest) throw error;
        snapshot = undefined;
        continue;
      }
      if (update.isNoop) {
        // An update that does nothing must do nothing for the newest document, too.
        if (isNewest) return { ...nothingCommitted, result: update.result, document: snapshot.document };
        snapshot = undefined;
        continue;
      }
      const outcome = await this.#commit(group, snapshot, update);
      switch (outcome.outcome) {
        case 'applied':
        case 'refused':
        case 'stale_sequence':
          return committed(update.result, nextOf(snapshot, update), outcome);
        case 'sessions_ended':
          snapshot = await this.#expire(group, outcome, outcome.living);
          break;
        case 'conflict':
          this.#metrics.countConflict();
          snapshot = { version: outcome.version, document: outcome.document, text: outcome.text };
          this.#remember(group, snapshot);
          if (attempt > 2) await pause(Math.random() * backOffMsMax);
      }
      // A conflict returns the newest document; after an expiry it is read.
      isNewest = snapshot !== undefined;
    }
    throw new ServiceError(
      'TOO_MANY_REQUESTS',
      `Group '${group}' changed during each of ${attemptsMax} attempts to apply this request; nothing was done. Try again.`,
      { group },
    );
  }

  /** Commits that members have expired. @returns the new snapshot, or undefined if the group has changed meanwhile */
  async #expire(group: string, { version, document, text }: GroupSnapshot, living: Set<string>) {
    if (!document) return undefined;
    const update = { document: expire(document, living), result: undefined };
    const outcome = await this.#commit(group, { version, document, text }, update, living);
    return outcome.outcome === 'applied' ? this.#cache.get(group) : undefined;
  }

  async #commit(
    group: string,
    snapshot: GroupSnapshot,
    update: GroupUpdate<unknown>,
    living?: ReadonlySet<string>,
  ): Promise<CommitOutcome> {
    const before = snapshot.document ?? emptyGroup();
    const next = nextDocument(snapshot, update);
    const memberIds = Object.keys(before.members);
    const expired = new Set(living ? memberIds.filter((memberId) => !living.has(memberId)) : []);
    const changes = next?.document && changesBetween(group, before, next.document, expired, Date.now());
    const outcome = await this.#groups.commit(group, snapshot.version, {
      ...withPollTimer(group, update, before),
      document: next?.text,
      ...(changes && { changes }),
      liveMemberCount: memberIds.length - expired.size,
      ...(expired.size > 0 && { allowOom: true }),
    });
    if (outcome.outcome !== 'applied') return outcome;
    const { version, movedMs } = outcome;
    if (!next) {
      this.#remember(group, { ...snapshot, version });
      return outcome;
    }
    this.#remember(group, { version, document: next.document, text: next.document ? next.text : '' });
    this.#report(group, before, next.document, expired, movedMs);
    this.notifyChanged(group);
    return outcome;
  }

  /** Logs and counts what an update has changed. */
  #report(
    group: string,
    before: GroupDocument,
    next: GroupDocument = emptyGroup(),
    expired: ReadonlySet<string>,
    movedMs: number | undefined,
  ): void {
    this.#metrics.recordChange(before, next, movedMs);
    const joined = Object.values(next.members).filter(({ memberId }) => !getOwn(before.members, memberId));
    for (const { memberId: member, instanceId } of joined.slice(0, loggedMembersMax)) {
      this.#log.info({ group, member, ...(instanceId !== undefined && { instanceId }) }, 'A member joined the group');
    }
    const left = Object.keys(before.members).filter((member) => !getOwn(next.members, member));
    for (const member of left.slice(0, loggedMembersMax)) {
      const what = expired.has(member)
        ? 'The session of a group member expired'
        : 'A member left the group or was replaced';
      this.#log.info({ group, member }, what);
    }
    if (next.leftOut !== undefined && next.leftOut !== before.leftOut) {
      this.#log.warn(
        { group, leftOut: next.leftOut },
        'The group is subscribed to more partitions than it may have: no member reads the partitions left out',
      );
    }
    const { groupEpoch, assignor } = next;
    const members = Object.keys(next.members).length;
    if (next.targetEpoch > before.targetEpoch) {
      const state = groupStateName(next);
      const [more, fewer] = [joined.length, left.length];
      this.#log.info({ group, groupEpoch, assignor, members, more, fewer, state }, 'The group has a new assignment');
    }
    if (movedMs !== undefined)
      this.#log.info({ group, groupEpoch, members, tookMs: movedMs }, 'The rebalance of the group is complete');
  }

  #remember(group: string, snapshot: GroupSnapshot): void {
    const cached = this.#cache.get(group);
    // A reply that was long in flight must not replace a newer snapshot.
    if (cached && cached.version > snapshot.version && snapshot.version > 0) return;
    this.#cache.set(group, snapshot);
  }

  /**
   * Runs the updates of a group one after the other: at once they would only conflict with each other. If the store is
   * unavailable, the queued ones fail at once instead of each waiting for its own timeout (guarantee E3).
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

const nothingCommitted = {
  zxid: 0,
  callEpoch: 0,
  lastSeq: 0,
  raisedCallEpochs: [],
  positions: [],
  refused: undefined,
  staleSeq: undefined,
};

/** The next document, undefined for 'delete', with its text; undefined if the document stays as it is. */
function nextDocument(
  before: GroupSnapshot,
  { document: next }: GroupUpdate<unknown>,
): { document: GroupDocument | undefined; text: string } | undefined {
  if (next === 'delete') return { document: undefined, text: next };
  if (next === undefined || next === before.document) return undefined;
  const text = encodeGroup(next);
  return text === before.text ? undefined : { document: next, text };
}

/**
 * Adds the timer that fences a member which reads by consume calls and has stopped making them, though another thread may
 * still send its heartbeats. A member that sends nothing at all loses its session before that.
 */
function withPollTimer(group: string, { commit = {} }: GroupUpdate<unknown>, document: GroupDocument): typeof commit {
  const member = commit.consume && getOwn(document.members, commit.consume.memberId);
  if (!member) return commit;
  const { memberId, rebalanceTimeoutMs, sessionTimeoutMs } = member;
  const delayMs = Math.max(rebalanceTimeoutMs, sessionTimeoutMs) + heartbeatIntervalMs(sessionTimeoutMs);
  return { ...commit, timersToSet: [{ name: pollTimerName(group, memberId), delayMs }] };
}

function nextOf(before: GroupSnapshot, { document }: GroupUpdate<unknown>): GroupDocument | undefined {
  return document === 'delete' ? undefined : (document ?? before.document);
}

function committed<T>(
  result: T,
  document: GroupDocument | undefined,
  outcome: Exclude<CommitOutcome, { outcome: 'conflict' | 'sessions_ended' }>,
): CommittedUpdate<T> {
  if (outcome.outcome === 'refused') return { ...nothingCommitted, result, document, refused: outcome };
  if (outcome.outcome === 'stale_sequence') return { ...nothingCommitted, result, document, staleSeq: outcome };
  const { zxid, callEpoch, lastSeq, raisedCallEpochs, positions } = outcome;
  return { ...nothingCommitted, result, document, zxid, callEpoch, lastSeq, raisedCallEpochs, positions };
}

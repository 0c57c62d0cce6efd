// What members ask for while others do: joins, heartbeats and leaves of one group that come in while one commit is under
// way are decided together and are the next one. So a thousand members that join at once are a few rebalances, not a
// thousand, and the document, however large, is written a few times.
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  emptyGroup,
  type GroupDocument,
  type GroupMember,
  heldBy,
  memberOf,
  own,
  type TopicPartition,
  unknownGroup,
} from '../core/group-document.ts';
import { changeMembers, type MemberChange } from '../core/group-state.ts';
import { hasCode, ServiceError } from '../core/service-error.ts';
import type { Renewal } from '../store/groups.ts';
import type { Namespace } from '../store/namespace.ts';
import type { Decide, Decision, GroupLedger } from './group-ledger.ts';
import { checkRoom } from './group-limits.ts';
import { viewOf } from './group-topics.ts';
import type { Topics } from './topics.ts';

interface Asked {
  change: MemberChange;
  resolve(outcome: Outcome): void;
  reject(error: unknown): void;
}

/** The member as it is after what it asked for; undefined if it left for good. */
export interface Outcome {
  zxid: number;
  member: GroupMember | undefined;
  /** If it joined: its newest consume call is the one of this number. */
  call: number;
}

type Result = GroupMember | ServiceError | undefined;

/** What one commit takes at most, so that it does not hold up the store. */
const changesAtOnce = 1000;

export class GroupRequests {
  readonly #ledger: GroupLedger;
  readonly #sources: { namespace: Namespace; topics: Topics };
  readonly #waiting = new Map<string, Asked[]>();

  constructor(ledger: GroupLedger, sources: { namespace: Namespace; topics: Topics }) {
    this.#ledger = ledger;
    this.#sources = sources;
  }

  /**
   * Does it with whatever else is asked of the group.
   * @throws ServiceError UNKNOWN_GROUP, UNKNOWN_MEMBER, FENCED_INSTANCE_ID, UNRELEASED_INSTANCE_ID, FENCED_MEMBER_EPOCH,
   *   UNSUPPORTED_ASSIGNOR, BAD_REQUEST, TOO_LARGE
   */
  ask(group: string, change: MemberChange): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      const waiting = this.#waiting.get(group);
      const asked = { change, resolve, reject };
      if (waiting) {
        waiting.push(asked);
        return;
      }
      this.#waiting.set(group, [asked]);
      void this.#decideSoon(group);
    });
  }

  /** A decision over what several members ask for; `results` has the member or the error at the place of each. */
  decide(group: string, changes: readonly MemberChange[]): Decide<Result[]> {
    return async (document, isNewest) => {
      const joins = changes.flatMap((change) => (change.kind === 'join' ? [change.request] : []));
      const before = document ?? emptyGroup();
      const full = checkRoom(group, before, joins);
      const refused = changes.map((change) =>
        change.kind === 'join' ? full.get(change.request) : document ? undefined : unknownGroup(group),
      );
      const open = changes.filter((_, index) => !refused[index]);
      const subscriptions = joins.map(({ subscription }) => subscription);
      const view = joins.length > 0 ? await viewOf(this.#sources, before, subscriptions) : undefined;
      const { group: next, errors } = changeMembers(before, open, view);
      const judged = errors.values();
      const results = changes.map(
        (change, index): Result => refused[index] ?? judged.next().value ?? memberAfter(next, change),
      );
      const failed = results.find((result) => result instanceof ServiceError);
      if (failed && !isNewest) throw failed;
      return this.#commitOf(before, next, changes, results);
    };
  }

  #commitOf(
    before: GroupDocument,
    next: GroupDocument,
    changes: readonly MemberChange[],
    results: Result[],
  ): Decision<Result[]> {
    const renew: Renewal[] = [];
    const forget: TopicPartition[] = [];
    const calls: string[] = [];
    let isIdle = true;
    for (const [index, change] of changes.entries()) {
      const result = results[index];
      if (result instanceof ServiceError) continue;
      isIdle = false;
      if (!result) continue;
      const known = own(before.members, result.memberId);
      // A session that begins with this has its time from it.
      if (known?.sessionId === result.sessionId) {
        renew.push({ sessionId: result.sessionId, ttlMs: result.sessionTimeoutMs });
      }
      if (change.kind !== 'join') continue;
      // Whoever has spoken for it until now, in a consume call or on a socket, does so no more.
      calls.push(result.memberId);
      // What a member that begins anew was given before may be lost: it goes on from what is committed.
      if (known) forget.push(...heldBy(known));
    }
    const keeps = changes.every(({ kind }) => kind !== 'join');
    return { document: next, idle: isIdle, commit: { keeps, renew, forget, calls }, result: results };
  }

  async #decideSoon(group: string): Promise<void> {
    let taken: Asked[] = [];
    // Immediates run once all requests that have come in were looked at.
    await nextTurn();
    const decide: Decide<Result[]> = (document, isNewest) => {
      if (taken.length === 0) taken = this.#take(group);
      return this.decide(
        group,
        taken.map(({ change }) => change),
      )(document, isNewest);
    };
    try {
      const { zxid, result, calls } = await this.#ledger.decide(group, decide, true);
      const numbers = calls.values();
      for (const [index, { change, resolve, reject }] of taken.entries()) {
        const outcome = result[index];
        if (outcome instanceof ServiceError) reject(outcome);
        else resolve({ zxid, member: outcome, call: change.kind === 'join' && outcome ? numbers.next().value! : 0 });
      }
    } catch (error) {
      this.#fail(group, taken.length > 0 ? taken : this.#take(group), error);
    }
  }

  /** The next of those that wait; the rest are decided after them. */
  #take(group: string): Asked[] {
    const waiting = this.#waiting.get(group) ?? [];
    this.#waiting.delete(group);
    if (waiting.length <= changesAtOnce) return waiting;
    this.#waiting.set(group, waiting.slice(changesAtOnce));
    void this.#decideSoon(group);
    return waiting.slice(0, changesAtOnce);
  }

  #fail(group: string, taken: Asked[], error: unknown): void {
    const joins = taken.filter(({ change }) => change.kind === 'join');
    // Only for those who join there is no room; the others keep the group going.
    const isTheirs = hasCode(error, 'STORE_FULL') && joins.length < taken.length;
    for (const { reject } of isTheirs ? joins : taken) reject(error);
    if (!isTheirs) return;
    for (const { change, resolve, reject } of taken) {
      if (change.kind !== 'join') this.ask(group, change).then(resolve, reject);
    }
  }
}

/** The member as it is then; undefined or away if it left; the error if another took its place in the same step. */
function memberAfter(group: GroupDocument, change: MemberChange): Result {
  const memberId = change.kind === 'join' ? change.request.memberId : change.memberId;
  const member = own(group.members, memberId);
  if (member || change.kind === 'leave') return member;
  try {
    return memberOf(group, memberId);
  } catch (error) {
    if (error instanceof ServiceError) return error;
    throw error;
  }
}

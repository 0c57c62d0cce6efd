// Batches membership requests: joins, heartbeats, releases and leaves of one group that arrive while a commit of the group is
// in flight are applied together in the next commit. So a thousand members that join at once cause a few rebalances, and the
// group document, however large, is written a few times.
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { GroupMember } from '../../core/groups/group-document.ts';
import { hasCode, ServiceError } from '../../core/service-error.ts';
import type { GroupStateManager } from './group-state-manager.ts';
import { applyRequests, type MembershipRequest, type MembershipResult } from './membership-update.ts';
import type { TopicSources } from './topics-view.ts';

interface PendingRequest {
  request: MembershipRequest;
  resolve(result: MembershipResult): void;
  reject(error: unknown): void;
}

/** Requests in one commit; a larger batch would hold up the store. */
const batchRequestsMax = 1000;

export class MembershipBatcher {
  readonly #states: GroupStateManager;
  readonly #sources: TopicSources;
  /** By group, the requests that are in no batch yet. */
  readonly #pending = new Map<string, PendingRequest[]>();

  constructor(states: GroupStateManager, sources: TopicSources) {
    this.#states = states;
    this.#sources = sources;
  }

  /**
   * Applies a request together with the other pending requests of the group.
   * @throws ServiceError UNKNOWN_GROUP, UNKNOWN_MEMBER, FENCED_INSTANCE_ID, UNRELEASED_INSTANCE_ID, FENCED_MEMBER_EPOCH,
   *   UNSUPPORTED_ASSIGNOR, BAD_REQUEST, TOO_LARGE, IDEMPOTENCY_KEY_REUSED; MEMBER_SUPERSEDED if the member has a newer call
   *   epoch than the request; STORE_FULL for a join
   */
  submit(group: string, request: MembershipRequest): Promise<MembershipResult> {
    return new Promise((resolve, reject) => {
      const added = { request, resolve, reject };
      const pending = this.#pending.get(group);
      if (pending) {
        pending.push(added);
        return;
      }
      this.#pending.set(group, [added]);
      void this.#flush(group);
    });
  }

  /**
   * Commits a heartbeat that changes nothing in the document this broker has cached, at once and by itself.
   * @returns undefined if it would change something: nothing was done, and the caller must submit() it
   */
  async tryUnchanged(
    group: string,
    request: MembershipRequest,
  ): Promise<{ zxid: number; member: GroupMember } | undefined> {
    const committed = await this.#states.tryUnchanged(group, (document, isNewest) =>
      applyRequests(this.#sources, group, [request], document, isNewest),
    );
    const applied = committed?.result[0];
    if (!committed || !applied || applied instanceof ServiceError || !applied.member) return undefined;
    return { zxid: committed.zxid, member: applied.member };
  }

  async #flush(group: string): Promise<void> {
    // Immediates run after the requests that have arrived by now were read from their sockets.
    await nextTurn();
    let batch: PendingRequest[] | undefined;
    const take = () => {
      batch = this.#take(group);
      return batch.map(({ request }) => request);
    };
    try {
      const results = await this.#states.updateMembers(group, this.#sources, take);
      this.#settle(group, batch ?? [], results);
    } catch (error) {
      for (const { reject } of batch ?? this.#take(group)) reject(error);
    }
  }

  /** Takes the next batch from the pending requests, and flushes the rest after it. */
  #take(group: string): PendingRequest[] {
    const pending = this.#pending.get(group) ?? [];
    this.#pending.delete(group);
    const keys = new Set<string>();
    const later: PendingRequest[] = [];
    const batch = pending.filter((one, index) => {
      const { key } = one.request.stored ?? {};
      // A repeat of a request in this batch waits until the response to it is stored.
      const isIncluded = index < batchRequestsMax && (key === undefined || !keys.has(key));
      if (key !== undefined) keys.add(key);
      if (!isIncluded) later.push(one);
      return isIncluded;
    });
    if (later.length > 0) {
      this.#pending.set(group, later);
      void this.#flush(group);
    }
    return batch;
  }

  #settle(
    group: string,
    batch: readonly PendingRequest[],
    results: ReadonlyMap<MembershipRequest, MembershipResult | Error>,
  ): void {
    const isJoin = ({ change }: MembershipRequest) => change().kind === 'join';
    const hasJoins = batch.some(({ request }) => isJoin(request));
    for (const { request, resolve, reject } of batch) {
      const result = results.get(request) ?? new Error('The batch has no result for this request.');
      // At the memory limit only joins are refused: the other requests are submitted again without them.
      const isDueToJoins = hasJoins && hasCode(result, 'STORE_FULL') && !isJoin(request);
      if (isDueToJoins) this.submit(group, request).then(resolve, reject);
      else if (result instanceof Error) reject(result);
      else resolve(result);
    }
  }
}

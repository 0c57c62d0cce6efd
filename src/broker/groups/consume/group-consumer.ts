// Serves consume calls of members (consume-call.ts).
//
// The positions of a member are in the store, so its next call may reach any broker. The state that a broker caches after a call
// only makes the next call faster.

import { requireGroup } from '../../../core/groups/group-document.ts';
import { callingMember, type MemberCredential } from '../../../core/groups/member-secret.ts';
import type { Counter } from '../../instruments.ts';
import { renewalOf } from '../group-update.ts';
import { ConsumeCall } from './consume-call.ts';
import type { ConsumeDependencies, ConsumeRequest, ConsumeResult } from './consume-request.ts';
import { PrefetchCache } from './prefetch-cache.ts';

export class GroupConsumer {
  readonly #parts: ConsumeDependencies;
  readonly #recordsSent: Counter<'via'>;
  readonly #prefetches: PrefetchCache;

  /**
   * @param connectionLosses how often a connection to the store was lost. Records prefetched before such a loss are dropped:
   *   a failover of the store may have lost them
   * @param recordsSent counts the returned records, here with `via` http
   */
  constructor(parts: ConsumeDependencies, connectionLosses: () => number, recordsSent: Counter<'via'>) {
    this.#parts = parts;
    this.#recordsSent = recordsSent;
    this.#prefetches = new PrefetchCache(parts.reader, connectionLosses);
  }

  /** Bytes of records that are prefetched for the next calls of members. */
  get prefetchedBytes(): number {
    return this.#prefetches.prefetchedBytes;
  }

  /**
   * Renews a member's session and does nothing else. For consume calls that wait for admission.
   * @throws ServiceError UNKNOWN_GROUP, UNKNOWN_MEMBER, FORBIDDEN, MEMBER_SUPERSEDED
   */
  async keepAlive(group: string, memberId: string, credential: MemberCredential): Promise<void> {
    await this.#parts.states.update(group, (stored) => {
      const member = callingMember(requireGroup(group, stored), memberId, credential);
      return { commit: { allowOom: true, sessionsToRenew: renewalOf(member) }, result: undefined };
    });
  }

  /**
   * Returns records of all partitions that the member has, from its positions on. Waits until there are records, the assignment
   * changes, `waitMs` is over, or `signal` is aborted. A newer call of the member ends this one without records.
   * @throws ServiceError UNKNOWN_GROUP, UNKNOWN_MEMBER, FENCED_INSTANCE_ID, FORBIDDEN, MEMBER_SUPERSEDED; NO_COMMITTED_OFFSET
   *   and OFFSET_OUT_OF_RANGE for the reset policy `none`; STALE_POSITION if `expectedSeq` is neither the sequence of the last
   *   response nor of the one before
   */
  async consume(group: string, memberId: string, request: ConsumeRequest, signal: AbortSignal): Promise<ConsumeResult> {
    const key = `${group}/${memberId}`;
    const call = new ConsumeCall(group, memberId, request, this.#parts);
    const stop = this.#parts.states.watch(group, () => call.wake(true));
    const onAbort = () => call.wake(false);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      const last = await this.#prefetches.take(key, request);
      const consumed =
        (last && (await call.resume(last.state, last.hasFreshBounds, signal))) ?? (await call.run(signal));
      for (const { records } of consumed.records) this.#recordsSent.inc({ via: 'http' }, records.count);
      if (consumed.records.length > 0 && call.state)
        this.#prefetches.put(key, call.state, request, last?.isPrompt ?? false);
      return consumed;
    } finally {
      stop();
      signal.removeEventListener('abort', onAbort);
    }
  }
}

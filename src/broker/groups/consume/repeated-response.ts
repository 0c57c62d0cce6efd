// Returns the last response of a member again, for a caller that has received only the one before it.

import { comparePartitions, heldBy, requireGroup, type TopicPartition } from '../../../core/groups/group-document.ts';
import { assignmentOf } from '../../../core/groups/member-reconciliation.ts';
import { callingMember } from '../../../core/groups/member-secret.ts';
import { required } from '../../../core/required.ts';
import { ServiceError } from '../../../core/service-error.ts';
import { renewalOf } from '../group-update.ts';
import { knownPartition } from '../member-cursors.ts';
import type { ConsumeDependencies, ConsumeRequest, ConsumeResult } from './consume-request.ts';

/**
 * The response has the same records as the last one, except for partitions that the member has lost and records that their log has
 * deleted. Nothing is committed, released or moved. `lastSeq` and `prevSeq` are the sequences of the member's last two responses.
 * @throws ServiceError STALE_POSITION if the caller has not received the response before the last one either
 */
export async function repeatResponse(
  group: string,
  memberId: string,
  {
    expectedSeq,
    credential,
    form,
    mayRead = () => true,
  }: Pick<ConsumeRequest, 'expectedSeq' | 'credential' | 'form' | 'mayRead'>,
  { states, reader }: ConsumeDependencies,
  { lastSeq, prevSeq }: { lastSeq: number; prevSeq: number },
): Promise<ConsumeResult> {
  if (expectedSeq !== prevSeq) throw stalePosition(memberId, expectedSeq, lastSeq);
  const outcome = await states.update(group, (stored) => {
    const document = requireGroup(group, stored);
    const member = callingMember(document, memberId, credential);
    const positionsToRead = heldBy(member).map((at) => knownPartition(document, at));
    const consume = { memberId, expectedSeq, isRepeat: true };
    return {
      commit: { allowOom: true, sessionsToRenew: renewalOf(member), positionsToRead, consume },
      result: { member, positionsToRead },
    };
  });
  if (outcome.staleSeq) throw stalePosition(memberId, expectedSeq, outcome.staleSeq.lastSeq);
  const { member, positionsToRead } = outcome.result;
  const reads = outcome.positions.map(async ({ topic, start, position }, i) =>
    start === undefined || !mayRead(topic)
      ? undefined
      : reader.range(
          required(positionsToRead[i], 'partition of a position'),
          start,
          required(position, 'end of a started read'),
          form,
        ),
  );
  const records = inOrder((await Promise.all(reads)).filter((read) => read !== undefined));
  const partitions = outcome.positions.flatMap(({ topic, partition, start, position }) =>
    start === undefined ? [] : [{ topic, partition, nextOffset: required(position, 'end of a started read') }],
  );
  return {
    zxid: outcome.zxid,
    lastSeq: outcome.lastSeq,
    memberEpoch: member.memberEpoch,
    assignment: assignmentOf(member),
    partitions: inOrder(partitions),
    records,
  };
}

/** Sorts by topic and partition, so that a repeated call gets the same response. */
export function inOrder<T extends TopicPartition>(list: readonly T[]): T[] {
  return list.toSorted(comparePartitions);
}

function stalePosition(memberId: string, expectedSeq: number | undefined, lastSeq: number): ServiceError {
  return new ServiceError(
    'STALE_POSITION',
    `The call has after=${expectedSeq}, but the last response to member '${memberId}' was ${lastSeq}: the call is out of date, ` +
      'or another client uses the same member. Nothing was changed. Send from=committed to continue from the committed offsets.',
    { memberId, after: expectedSeq, given: lastSeq },
  );
}

// How a partition reads to a user: what the tree says of it, and the figures of its log.
import type { PartitionDescription } from '../../../schemas/topics.ts';
import { decodePartitionState } from '../../core/cluster/cluster-nodes.ts';
import type { LogSummary } from '../../store/log/logs.ts';

/**
 * @param state the data of its node
 * @param log `away`: the machine of the store that has it cannot be reached. What is not of the log is answered all the same.
 */
export function describePartition(
  partition: number,
  replicas: readonly number[],
  state: Buffer,
  log: LogSummary | 'away',
): PartitionDescription {
  const { leader, leaderEpoch, isr } = decodePartitionState(state, replicas);
  const known = { partition, leader, leaderEpoch, replicas: [...replicas], isr: [...isr] };
  if (log !== 'away') {
    const { logStartOffset, endOffset, bytes } = log;
    return { ...known, logStartOffset, endOffset, bytes };
  }
  return { ...known, logStartOffset: null, endOffset: null, bytes: null, error: 'STORE_UNAVAILABLE' };
}

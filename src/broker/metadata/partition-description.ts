// Describes a partition for responses: its state from the tree, and the figures of its log.
import type { PartitionDescription } from '../../../schemas/topics.ts';
import { decodePartitionState } from '../../core/cluster/cluster-nodes.ts';
import type { LogSummary } from '../../store/log/logs.ts';

/**
 * @param state the data of the partition's state node
 * @param log its figures; `away` if its Redis server cannot be reached: then the log's fields are null
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

// How a decision on a partition is written: conditional on the state that it was made on, and on the controller's epoch.
import { controllerEpochPath, encodePartitionState, partitionStatePath } from '../../core/cluster/cluster-nodes.ts';
import type { PartitionState } from '../../core/cluster/leader-election.ts';
import type { Op } from '../../store/tree/namespace.ts';
import { jsonContentType } from './broker-registration.ts';
import type { ControllerEpoch } from './cluster.ts';

/** How many partition states one transaction changes: a few ms of the store's time. */
export const statesPerTransactionMax = 200;

/** Refuses the transaction with BAD_VERSION once a later controller was elected. */
export function controllerEpochCheck({ version }: ControllerEpoch): Op {
  return { op: 'check', path: controllerEpochPath, version };
}

/** @param from the partition, with the version of the state that `next` follows from */
export function stateChange(
  from: { topic: string; partition: number; version: number },
  next: PartitionState,
  controllerEpoch: number,
): Op {
  return {
    op: 'set',
    path: partitionStatePath(from.topic, from.partition),
    data: encodePartitionState(next, controllerEpoch),
    contentType: jsonContentType,
    version: from.version,
  };
}

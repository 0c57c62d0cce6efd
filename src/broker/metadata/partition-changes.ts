// The operations that write a partition's new state, conditional on the state it was decided on and on the controller epoch.
import { controllerEpochPath, encodePartitionState, partitionStatePath } from '../../core/cluster/cluster-nodes.ts';
import type { PartitionState } from '../../core/cluster/leader-election.ts';
import type { Op } from '../../store/tree/namespace.ts';
import { jsonContentType } from './broker-registration.ts';
import type { ControllerEpoch } from './cluster.ts';

/** The number of partition states that one transaction changes at most: a few ms of Redis' time. */
export const statesPerTransactionMax = 200;

/** An operation that fails with BAD_VERSION once a later controller was elected. */
export function controllerEpochCheck({ version }: ControllerEpoch): Op {
  return { op: 'check', path: controllerEpochPath, version };
}

/** The operation that sets a partition's state. @param from the partition, with the version of the state that `next` replaces */
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

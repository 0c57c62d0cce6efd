// Chooses the brokers of new partitions among those that are alive.
import { randomInt } from 'node:crypto';
import { brokerPath } from '../../core/cluster/cluster-nodes.ts';
import { placeReplicas, startForAddedPartitions } from '../../core/cluster/replica-placement.ts';
import { ServiceError } from '../../core/service-error.ts';
import type { Store } from '../../store/store.ts';
import type { Op } from '../../store/tree/namespace.ts';
import { liveBrokers, newestControllerEpoch } from './cluster.ts';
import { controllerEpochCheck } from './partition-changes.ts';

/** Where new partitions are placed. */
export interface Placement {
  /** The brokers of each partition, the preferred leader first. */
  replicas: number[][];
  /** Operations that fail if the live brokers or the controller have changed. */
  checks: Op[];
  controllerEpoch: number;
}

/**
 * Places new partitions on the live brokers.
 * @throws ServiceError STORE_UNAVAILABLE while no broker is registered, so that clients retry
 */
export async function placePartitions(
  store: Store,
  partitions: number,
  replicationFactor: number,
  existing?: { count: number; firstReplica: number },
): Promise<Placement> {
  const brokers = (await liveBrokers(store)).map(({ id, rack }) => ({ id, ...(rack !== null && { rack }) }));
  if (brokers.length === 0) {
    throw new ServiceError(
      'STORE_UNAVAILABLE',
      'No broker is registered in the cluster now, as after a start or an outage; nothing was done. Try again in a few seconds.',
    );
  }
  const drawn = () => randomInt(brokers.length);
  const start = existing ? startForAddedPartitions(brokers, existing.firstReplica) : drawn();
  const replicas = placeReplicas({
    brokers,
    partitions,
    replicationFactor,
    startIndex: start,
    shift: existing ? start : drawn(),
    firstPartition: existing?.count ?? 0,
  });
  const controller = await newestControllerEpoch(store.namespace);
  const checks: Op[] = [...new Set(replicas.flat())].map((id) => ({ op: 'check', path: brokerPath(id) }));
  if (controller) checks.push(controllerEpochCheck(controller));
  return { replicas, checks, controllerEpoch: controller?.epoch ?? 0 };
}

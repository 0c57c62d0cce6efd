// Describes the cluster: live brokers and controller from the tree, and the store's figures.
import {
  brokerIdsPath,
  brokerPath,
  controllerEpochPath,
  controllerPath,
  decodeBroker,
  decodeController,
} from '../../core/cluster/cluster-nodes.ts';
import { hasCode } from '../../core/service-error.ts';
import type { Store } from '../../store/store.ts';
import type { Namespace } from '../../store/tree/namespace.ts';

/** One live broker. @throws ServiceError NO_NODE if it is not registered */
export async function describeBroker(store: Store, id: number) {
  const { data, stat } = await store.namespace.get(brokerPath(id));
  const { rack = null, worker = null, policyHash = null, ...broker } = decodeBroker(data);
  return { id, ...broker, rack, worker, policyHash, epoch: stat.czxid };
}

/** The live brokers by id. A broker that deregisters during the read is left out. */
export async function liveBrokers(store: Store) {
  const ids = (await store.namespace.allChildren(brokerIdsPath)).map(Number).sort((a, b) => a - b);
  const found = await Promise.all(ids.map((id) => ifExists(describeBroker(store, id))));
  return found.filter((broker) => broker !== undefined);
}

export async function describeCluster(store: Store) {
  const [brokers, controller, epoch, figures] = await Promise.all([
    liveBrokers(store),
    ifExists(store.namespace.get(controllerPath)),
    newestControllerEpoch(store.namespace),
    store.stats(),
  ]);
  return {
    clusterId: store.clusterId,
    controller:
      controller && epoch ? { brokerId: decodeController(controller.data).brokerId, epoch: epoch.epoch } : null,
    brokers,
    store: figures,
  };
}

/** A term of a controller: a transaction that checks `version` is refused once a later controller was elected. */
export interface ControllerEpoch {
  epoch: number;
  /** Of /controller_epoch. */
  version: number;
  /** The transaction of the election. */
  mzxid: number;
}

/** The epoch of the newest controller; undefined before the first election. */
export async function newestControllerEpoch(namespace: Namespace): Promise<ControllerEpoch | undefined> {
  const node = await ifExists(namespace.get(controllerEpochPath));
  return node && { epoch: Number(node.data.toString()), version: node.stat.version, mzxid: node.stat.mzxid };
}

/** The result of a read, or undefined if the node does not exist. */
export async function ifExists<T>(read: Promise<T>): Promise<T | undefined> {
  try {
    return await read;
  } catch (error) {
    if (hasCode(error, 'NO_NODE')) return undefined;
    throw error;
  }
}

// What the cluster looks like, read from the tree and the store's own figures.
import {
  brokerIdsPath,
  brokerPath,
  controllerEpochPath,
  controllerPath,
  decodeBroker,
  decodeController,
} from '../core/cluster-nodes.ts';
import { hasCode } from '../core/service-error.ts';
import type { Store } from '../store/store.ts';

/** One live broker. @throws ServiceError NO_NODE if it is not registered */
export async function describeBroker(store: Store, id: number) {
  const { data, stat } = await store.namespace.get(brokerPath(id));
  const { rack = null, ...broker } = decodeBroker(data);
  return { id, ...broker, rack, epoch: stat.czxid };
}

/** The live brokers by id. A broker that goes meanwhile is left out. */
export async function liveBrokers(store: Store) {
  const ids = (await store.namespace.allChildren(brokerIdsPath)).map(Number).sort((a, b) => a - b);
  const found = await Promise.all(ids.map((id) => absentAs(undefined, describeBroker(store, id))));
  return found.filter((broker) => broker !== undefined);
}

export async function describeCluster(store: Store) {
  const [brokers, controller, epoch, figures] = await Promise.all([
    liveBrokers(store),
    absentAs(undefined, store.namespace.get(controllerPath)),
    absentAs(undefined, store.namespace.get(controllerEpochPath)),
    store.figures(),
  ]);
  return {
    clusterId: store.clusterId,
    controller:
      controller && epoch
        ? { brokerId: decodeController(controller.data).brokerId, epoch: Number(epoch.data.toString()) }
        : null,
    brokers,
    store: figures,
  };
}

async function absentAs<T, A>(absent: A, reading: Promise<T>): Promise<T | A> {
  try {
    return await reading;
  } catch (error) {
    if (hasCode(error, 'NO_NODE')) return absent;
    throw error;
  }
}

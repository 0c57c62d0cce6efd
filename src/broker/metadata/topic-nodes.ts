// The nodes of a topic in the tree, as the operations that create and delete them.
import { encodePartitionState, encodeTopic, partitionStatePath, topicPath } from '../../core/cluster/cluster-nodes.ts';
import { required } from '../../core/required.ts';
import type { Op } from '../../store/tree/namespace.ts';
import { jsonContentType } from './broker-registration.ts';
import { topicConfigPath } from './topic-cache.ts';
import type { Placement } from './topic-placement.ts';

/** Creates a node with JSON, or without data. */
export function createNode(path: string, data?: string): Op {
  return data === undefined ? { op: 'create', path } : { op: 'create', path, data, contentType: jsonContentType };
}

/** The replica that leads a new partition. */
export function preferredLeader(replicas: readonly number[]): number {
  return required(replicas[0], 'replica of a partition');
}

/** Creates all nodes of a topic. @param topic `config` = its settings, as they are stored; `creator` = against whom it counts */
export function topicCreations(
  name: string,
  { topicId, config, creator }: { topicId: string; config: string; creator: string | undefined },
  placed: Placement,
): Op[] {
  const { replicas } = placed;
  return [
    createNode(topicConfigPath(name), config),
    createNode(topicPath(name), encodeTopic({ topicId, replicas, homePartitions: replicas.length, creator })),
    createNode(`${topicPath(name)}/partitions`),
    ...partitionCreations(name, placed, 0),
  ];
}

/** Creates the nodes of partitions from number `first` on. As in Kafka, the first replica leads and all are in sync. */
export function partitionCreations(name: string, { replicas, controllerEpoch }: Placement, first: number): Op[] {
  return replicas.flatMap((assigned, index) => {
    const path = partitionStatePath(name, first + index);
    const state = { replicas: assigned, isr: assigned, leader: preferredLeader(assigned), leaderEpoch: 0 };
    return [
      createNode(path.slice(0, path.lastIndexOf('/'))),
      createNode(path, encodePartitionState(state, controllerEpoch)),
    ];
  });
}

/** Deletes all nodes of a topic, children first. */
export function topicDeletions(name: string, partitions: number): Op[] {
  const paths = Array.from({ length: partitions }).flatMap((_, partition) => {
    const path = partitionStatePath(name, partition);
    return [path, path.slice(0, path.lastIndexOf('/'))];
  });
  return [
    ...[...paths, `${topicPath(name)}/partitions`].map((path): Op => ({ op: 'delete', path })),
    { op: 'delete', path: topicPath(name) },
    { op: 'delete', path: topicConfigPath(name) },
  ];
}

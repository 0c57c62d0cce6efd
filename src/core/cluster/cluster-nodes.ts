/**
 * Paths and data of the nodes that brokers write. Both have Kafka's formats, down to numbers as JSON strings, so that tools for
 * Kafka on ZooKeeper can read them.
 */
import { z } from 'zod';
import { decodeDocument } from '../stored-document.ts';
import type { PartitionState } from './leader-election.ts';

export const brokerIdsPath = '/brokers/ids';
export const topicsPath = '/brokers/topics';
export const sequenceIdPath = '/brokers/seqid';
export const controllerPath = '/controller';
export const controllerEpochPath = '/controller_epoch';

export const brokerPath = (id: number): string => `${brokerIdsPath}/${id}`;
export const topicPath = (topic: string): string => `${topicsPath}/${topic}`;
export const partitionStatePath = (topic: string, partition: number): string =>
  `${topicsPath}/${topic}/partitions/${partition}/state`;

/** Kafka's `reserved.broker.max.id`: generated broker ids are above it. */
export const reservedBrokerIdMax = 1000;

/** The id of the first or only broker of a private store, unless one is configured: the first id that Kafka's rule generates. */
export const soleBrokerId = reservedBrokerIdMax + 1;

interface BrokerNode {
  host: string;
  port: number;
  /** URLs at which clients reach the broker, such as `http://10.0.0.1:7070`. */
  endpoints: string[];
  rack?: string;
  policyHash?: string;
  /** Its number among the workers of its server, from 1; absent if it is the whole server. */
  worker?: number;
  /** Start time, ms since the epoch by the broker's own clock; only for display. */
  startedAt: number;
}

const brokerDocument = z.object({
  host: z.string(),
  port: z.int(),
  endpoints: z.array(z.string()),
  rack: z.string().optional(),
  policy_hash: z.string().optional(),
  worker: z.int().optional(),
  timestamp: z.string(),
});

/** The data of `/brokers/ids/N`, version 5, plus `worker`. */
export function encodeBroker(broker: BrokerNode): string {
  const protocols = broker.endpoints.map((endpoint) => new URL(endpoint).protocol.slice(0, -1).toUpperCase());
  return JSON.stringify({
    version: 5,
    host: broker.host,
    port: broker.port,
    jmx_port: -1,
    timestamp: String(broker.startedAt),
    endpoints: broker.endpoints,
    ...(broker.rack !== undefined && { rack: broker.rack }),
    ...(broker.policyHash !== undefined && { policy_hash: broker.policyHash }),
    ...(broker.worker !== undefined && { worker: broker.worker }),
    listener_security_protocol_map: Object.fromEntries(
      protocols.map((protocol) => [protocol, protocol === 'HTTPS' ? 'SSL' : 'PLAINTEXT']),
    ),
    features: {},
  });
}

export function decodeBroker(data: Buffer): BrokerNode {
  const document = decodeDocument('The node of a broker', data, brokerDocument);
  const { host, port, endpoints, rack, worker, policy_hash: policyHash, timestamp } = document;
  return {
    host,
    port,
    endpoints,
    ...(rack !== undefined && { rack }),
    ...(policyHash !== undefined && { policyHash }),
    ...(worker !== undefined && { worker }),
    startedAt: Number(timestamp),
  };
}

const controllerDocument = z.object({ brokerid: z.int() });

/** The data of `/controller`, version 1. @param electedAt ms since the epoch */
export function encodeController(brokerId: number, electedAt: number): string {
  return JSON.stringify({ version: 1, brokerid: brokerId, timestamp: String(electedAt) });
}

export function decodeController(data: Buffer): { brokerId: number } {
  return { brokerId: decodeDocument('The node of the controller', data, controllerDocument).brokerid };
}

const partitionStateDocument = z.object({
  leader: z.int(),
  leader_epoch: z.int(),
  controller_epoch: z.int(),
  isr: z.array(z.int()),
});

/** The data of `/brokers/topics/T/partitions/P/state`, version 1. */
export function encodePartitionState(state: PartitionState, controllerEpoch: number): string {
  return JSON.stringify({
    version: 1,
    leader: state.leader,
    leader_epoch: state.leaderEpoch,
    controller_epoch: controllerEpoch,
    isr: state.isr,
  });
}

/** @param replicas from the topic's node, as the state does not contain them */
export function decodePartitionState(
  data: Buffer,
  replicas: readonly number[],
): PartitionState & { controllerEpoch: number } {
  const document = decodeDocument('The state of a partition', data, partitionStateDocument);
  const { leader, leader_epoch, isr, controller_epoch } = document;
  return { replicas, isr, leader, leaderEpoch: leader_epoch, controllerEpoch: controller_epoch };
}

export interface TopicNode {
  topicId: string;
  /** Replica lists by partition, in order; the first of each is the preferred leader. */
  replicas: number[][];
  /** Number of partitions at creation; it decides the home partition of idempotent requests (docs/adr/007). */
  homePartitions: number;
  /** The identity against which it counts; absent if that is not limited. */
  creator?: string | undefined;
}

const topicDocument = z.object({
  topic_id: z.string(),
  partitions: z.record(z.string(), z.array(z.int())),
  home_partitions: z.int().optional(),
  creator: z.string().optional(),
});

/** The data of `/brokers/topics/T`, version 3, plus `home_partitions` and `creator`. Partitions are keyed by strings. */
export function encodeTopic(topic: TopicNode): string {
  return JSON.stringify({
    version: 3,
    topic_id: topic.topicId,
    partitions: Object.fromEntries(topic.replicas.map((replicas, partition) => [String(partition), replicas])),
    adding_replicas: {},
    removing_replicas: {},
    home_partitions: topic.homePartitions,
    ...(topic.creator !== undefined && { creator: topic.creator }),
  });
}

export function decodeTopic(data: Buffer): TopicNode {
  const { topic_id, partitions, home_partitions, creator } = decodeDocument('The node of a topic', data, topicDocument);
  return {
    topicId: topic_id,
    ...(creator !== undefined && { creator }),
    homePartitions: home_partitions ?? Object.keys(partitions).length,
    replicas: Array.from({ length: Object.keys(partitions).length }, (_, p) => partitions[String(p)] ?? []),
  };
}

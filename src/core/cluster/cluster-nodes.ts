/**
 * The data of the nodes that brokers write: Kafka's paths and JSON (docs/concepts.md, Map of the tree), among them its odd types,
 * numbers inside strings. Whoever reads the tree with Kafka's habits finds what he expects.
 */
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

/** Kafka's `reserved.broker.max.id`: generated ids lie above it. */
export const reservedBrokerIdMax = 1000;

export interface BrokerNode {
  host: string;
  port: number;
  /** Where clients reach it, such as `http://10.0.0.1:7070`. */
  endpoints: string[];
  rack?: string;
  /** When it started, ms since the epoch, by its own clock: for people to read. */
  startedAt: number;
}

/** `/brokers/ids/N`, version 5. */
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
    listener_security_protocol_map: Object.fromEntries(
      protocols.map((protocol) => [protocol, protocol === 'HTTPS' ? 'SSL' : 'PLAINTEXT']),
    ),
    features: {},
  });
}

export function decodeBroker(data: Buffer): BrokerNode {
  const { host, port, endpoints, rack, timestamp } = JSON.parse(data.toString());
  return { host, port, endpoints, ...(rack !== undefined && { rack }), startedAt: Number(timestamp) };
}

/** `/controller`, version 1. @param electedAt ms since the epoch */
export function encodeController(brokerId: number, electedAt: number): string {
  return JSON.stringify({ version: 1, brokerid: brokerId, timestamp: String(electedAt) });
}

export function decodeController(data: Buffer): { brokerId: number } {
  return { brokerId: JSON.parse(data.toString()).brokerid };
}

/** `/brokers/topics/T/partitions/P/state`, version 1. */
export function encodePartitionState(state: PartitionState, controllerEpoch: number): string {
  return JSON.stringify({
    version: 1,
    leader: state.leader,
    leader_epoch: state.leaderEpoch,
    controller_epoch: controllerEpoch,
    isr: state.isr,
  });
}

/** @param replicas from the topic's own node, as the state does not repeat them */
export function decodePartitionState(
  data: Buffer,
  replicas: readonly number[],
): PartitionState & { controllerEpoch: number } {
  const { leader, leader_epoch, isr, controller_epoch } = JSON.parse(data.toString());
  return { replicas, isr, leader, leaderEpoch: leader_epoch, controllerEpoch: controller_epoch };
}

export interface TopicNode {
  topicId: string;
  /** Replica lists by partition, in order; the first of each is the preferred leader. */
  replicas: number[][];
  /** How many partitions it was created with: where requests have their home (docs/adr/007). */
  homePartitions: number;
}

/** `/brokers/topics/T`, version 3, and one member of our own; partitions are keyed by strings. */
export function encodeTopic(topic: TopicNode): string {
  return JSON.stringify({
    version: 3,
    topic_id: topic.topicId,
    partitions: Object.fromEntries(topic.replicas.map((replicas, partition) => [String(partition), replicas])),
    adding_replicas: {},
    removing_replicas: {},
    home_partitions: topic.homePartitions,
  });
}

export function decodeTopic(data: Buffer): TopicNode {
  const { topic_id, partitions, home_partitions } = JSON.parse(data.toString()) as {
    topic_id: string;
    partitions: Record<string, number[]>;
    home_partitions?: number;
  };
  return {
    topicId: topic_id,
    homePartitions: home_partitions ?? Object.keys(partitions).length,
    replicas: Array.from({ length: Object.keys(partitions).length }, (_, p) => partitions[String(p)]!),
  };
}

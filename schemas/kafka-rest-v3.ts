// Bodies, parameters and queries of version 3 of the Kafka REST dialect (docs/kafka-rest.md). Fields are those of Confluent's REST API.
import { z } from 'zod';
import { queryFlag } from './common.ts';
import { acks, partitionParams } from './records.ts';
import { topicParams } from './topics.ts';

export const v3ClusterParams = z.strictObject({ cluster: z.string() });
const brokerParam = z.coerce.number<string>().int().min(0);
export const v3BrokerParams = v3ClusterParams.extend({ broker: brokerParam });
export const v3TopicParams = v3ClusterParams.extend(topicParams.shape);
export const v3ConfigParams = v3TopicParams.extend({ name: z.string() });
export const v3PartitionParams = v3ClusterParams.extend(partitionParams.shape);
export const v3ReplicaParams = v3PartitionParams.extend({ broker: brokerParam });
export const v3GroupParams = v3ClusterParams.extend({ group: z.string() });
export const v3GroupPartitionParams = v3GroupParams.extend(partitionParams.shape);
export const v3ConsumerParams = v3GroupParams.extend({ consumer: z.string() });
export const v3AssignmentParams = v3ConsumerParams.extend(partitionParams.shape);

/** Confluent names the parameter of the list in another way than that of one topic. */
export const v3TopicsQuery = z.strictObject({ includeAuthorizedOperations: queryFlag.optional() });
export const v3TopicQuery = z.strictObject({ include_authorized_operations: queryFlag.optional() });
export const v3OffsetQuery = z.strictObject({ offset_type: z.literal('earliest_and_latest').optional() });

/** Confluent's API has no such parameter; it means the same as for /v1. */
export const v3ProduceQuery = z.strictObject({ acks });

const configValue = z.union([z.string(), z.number(), z.null()]).optional();
const config = z.strictObject({ name: z.string(), value: configValue });
const configsMax = 1000;

export const v3CreateTopicBody = z.strictObject({
  topic_name: z.string(),
  partitions_count: z.int().nullish(),
  replication_factor: z.int().nullish(),
  replicas_assignments: z.record(z.string(), z.unknown()).nullish(),
  configs: z.array(config).max(configsMax).nullish(),
  validate_only: z.boolean().nullish(),
});

export const v3PartitionsCountBody = z.strictObject({ partitions_count: z.int() });

export const v3ConfigBody = z.strictObject({ value: configValue });

export const v3AlterConfigsBody = z.strictObject({
  data: z.array(config.extend({ operation: z.enum(['SET', 'DELETE']).nullish() })).max(configsMax),
  validate_only: z.boolean().nullish(),
});

// Version 3: partitions, their offsets and replicas. A reassignment takes effect at once, so none is ever in progress.
import type { FastifyPluginAsyncZodOpenApi } from 'fastify-zod-openapi';
import { noQuery } from '../../../../schemas/common.ts';
import {
  v3ClusterParams,
  v3OffsetQuery,
  v3PartitionParams,
  v3ReplicaParams,
  v3TopicParams,
} from '../../../../schemas/kafka-rest-v3.ts';
import type { PartitionDescription } from '../../../../schemas/topics.ts';
import { unknownPartition } from '../../../broker/metadata/topic-cache.ts';
import { partitionsOf } from '../../known-items.ts';
import { KafkaRestError } from '../errors.ts';
import { boundsOf } from '../metadata.ts';
import { type Links, list } from './links.ts';
import type { V3Options } from './options.ts';

/** A partition with the brokers that have a part in it. */
interface Assigned {
  topic: string;
  partition: number;
  leader: number;
  replicas: readonly number[];
  isr: readonly number[];
}

export const v3PartitionRoutes: FastifyPluginAsyncZodOpenApi<V3Options> = async (app, { broker, linksOf }) => {
  const { topicAdmin } = broker;
  const config = {
    access: { verb: 'read', kind: 'topics', in: 'topic' },
    admission: 'work',
    timeLimit: 'read',
    itemsOf: partitionsOf(broker.topics),
  } as const;
  const ofTopic = { config, schema: { hide: true, params: v3TopicParams, querystring: noQuery } } as const;
  const ofPartition = { config, schema: { hide: true, params: v3PartitionParams, querystring: noQuery } } as const;
  const base = '/clusters/:cluster/topics/:topic/partitions';

  app.get(base, ofTopic, async (request) => {
    const { topic } = request.params;
    const links = linksOf(request);
    const { partitions } = await topicAdmin.describe(topic);
    return list(
      'KafkaPartition',
      links.url('topics', topic, 'partitions'),
      partitions.map((one) => partitionOf(links, { topic, ...one })),
    );
  });

  app.get(`${base}/:partition`, ofPartition, async (request) => {
    const found = await find(request.params);
    return partitionOf(linksOf(request), found);
  });

  app.get(
    `${base}/:partition/offset`,
    { config, schema: { hide: true, params: v3PartitionParams, querystring: v3OffsetQuery } },
    async (request) => {
      const { topic, partition, ...found } = await find(request.params);
      const { logStartOffset, endOffset } = boundsOf(found);
      const path = ['topics', topic, 'partitions', partition, 'offset'];
      const names = [['topic', topic], ['partition', partition], 'offset'] as const;
      return {
        ...linksOf(request).resource('KafkaPartitionWithOffsets', path, names),
        cluster_id: broker.store.clusterId,
        topic_name: topic,
        partition_id: partition,
        earliest_offset: logStartOffset,
        latest_offset: endOffset,
      };
    },
  );

  app.get(`${base}/:partition/replicas`, ofPartition, async (request) => {
    const found = await find(request.params);
    const links = linksOf(request);
    return list(
      'KafkaReplica',
      links.url('topics', found.topic, 'partitions', found.partition, 'replicas'),
      found.replicas.map((id) => replicaOf(links, found, id)),
    );
  });

  app.get(
    `${base}/:partition/replicas/:broker`,
    { config, schema: { hide: true, params: v3ReplicaParams, querystring: noQuery } },
    async (request) => {
      const { broker: id } = request.params;
      const found = await find(request.params);
      if (found.replicas.includes(id)) return replicaOf(linksOf(request), found, id);
      const { topic, partition } = found;
      throw new KafkaRestError(404, `Broker ${id} has no replica of partition ${partition} of topic ${topic}.`);
    },
  );

  app.get(
    '/clusters/:cluster/topics/-/partitions/-/reassignment',
    {
      config: { access: 'identity', admission: 'work', timeLimit: 'read' },
      schema: { hide: true, params: v3ClusterParams, querystring: noQuery },
    },
    async (request) =>
      list('KafkaReassignment', linksOf(request).url('topics', '-', 'partitions', '-', 'reassignment'), []),
  );

  app.get(`${base}/-/reassignment`, ofTopic, async (request) => {
    const { topic } = request.params;
    await broker.topics.get(topic);
    return list('KafkaReassignment', linksOf(request).url('topics', topic, 'partitions', '-', 'reassignment'), []);
  });

  app.get(`${base}/:partition/reassignment`, ofPartition, async (request) => {
    const { topic, partition } = await find(request.params);
    throw new KafkaRestError(404, `Partition ${partition} of topic ${topic} is not being reassigned.`);
  });

  /** @throws ServiceError UNKNOWN_TOPIC, UNKNOWN_PARTITION */
  async function find({ topic, partition }: { topic: string; partition: number }) {
    const { partitions } = await topicAdmin.describe(topic);
    const found: PartitionDescription | undefined = partitions[partition];
    if (!found) throw unknownPartition(topic, partition, partitions.length);
    return { topic, ...found };
  }
};

function partitionOf(links: Links, { topic, partition, leader }: Assigned) {
  const path = ['topics', topic, 'partitions', partition];
  return {
    ...links.resource('KafkaPartition', path, [
      ['topic', topic],
      ['partition', partition],
    ]),
    cluster_id: links.cluster,
    topic_name: topic,
    partition_id: partition,
    ...(leader >= 0 && { leader: links.to(...path, 'replicas', leader) }),
    replicas: links.to(...path, 'replicas'),
    reassignment: links.to(...path, 'reassignment'),
  };
}

/** A replica of a partition, that of one broker. */
export function replicaOf(links: Links, { topic, partition, leader, isr }: Assigned, id: number) {
  const path = ['topics', topic, 'partitions', partition, 'replicas', id];
  return {
    ...links.resource('KafkaReplica', path, [
      ['topic', topic],
      ['partition', partition],
      ['replica', id],
    ]),
    cluster_id: links.cluster,
    topic_name: topic,
    partition_id: partition,
    broker_id: id,
    is_leader: id === leader,
    is_in_sync: isr.includes(id),
    broker: links.to('brokers', id),
  };
}

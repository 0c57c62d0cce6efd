// GET /topics, /topics/{topic}, its partitions and their offsets, and /brokers.
import type { FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZodOpenApi } from 'fastify-zod-openapi';
import { noQuery } from '../../../schemas/common.ts';
import { partitionParams } from '../../../schemas/records.ts';
import { type TopicDescription, topicParams } from '../../../schemas/topics.ts';
import type { Broker } from '../../broker/broker.ts';
import { liveBrokers } from '../../broker/metadata/cluster.ts';
import { unknownPartition } from '../../broker/metadata/topic-cache.ts';
import { ServiceError } from '../../core/service-error.ts';
import { partitionsOf } from '../known-items.ts';
import { responseType } from './media-types.ts';
import { readableTopics } from './readable-topics.ts';

type Partition = TopicDescription['partitions'][number];

interface Options {
  broker: Pick<Broker, 'store' | 'topicAdmin' | 'topics'>;
}

export const kafkaRestMetadataRoutes: FastifyPluginAsyncZodOpenApi<Options> = async (app, { broker }) => {
  const { store, topicAdmin } = broker;
  const ofAll = { access: 'identity', admission: 'work', timeLimit: 'read' } as const;
  const ofTopic = {
    access: { verb: 'read', kind: 'topics', in: 'topic' },
    admission: 'work',
    timeLimit: 'read',
    itemsOf: partitionsOf(broker.topics),
  } as const;
  const topicSchema = { hide: true, params: topicParams, querystring: noQuery };
  const partitionSchema = { hide: true, params: partitionParams, querystring: noQuery };
  app.addHook('preHandler', (request, reply, done) => {
    reply.type(responseType(request));
    done();
  });

  app.get('/brokers', { config: ofAll, schema: { hide: true, querystring: noQuery } }, async () => {
    return { brokers: (await liveBrokers(store)).map(({ id }) => id) };
  });

  app.get('/topics', { config: ofAll, schema: { hide: true, querystring: noQuery } }, async (request) =>
    readableTopics(request, store),
  );

  app.get('/topics/:topic', { config: ofTopic, schema: topicSchema }, async (request) => {
    const { name, config, partitions } = await topicAdmin.describe(request.params.topic);
    const configs = Object.entries(config).map(([key, value]) => [key, String(value)]);
    return { name, configs: Object.fromEntries(configs), partitions: partitions.map(partitionOf) };
  });

  app.get('/topics/:topic/partitions', { config: ofTopic, schema: topicSchema }, async (request) => {
    return (await topicAdmin.describe(request.params.topic)).partitions.map(partitionOf);
  });

  app.get('/topics/:topic/partitions/:partition', { config: ofTopic, schema: partitionSchema }, async (request) =>
    partitionOf(await describe(request)),
  );

  app.get(
    '/topics/:topic/partitions/:partition/offsets',
    { config: ofTopic, schema: partitionSchema },
    async (request) => {
      const { logStartOffset, endOffset } = boundsOf(await describe(request));
      return { beginning_offset: logStartOffset, end_offset: endOffset };
    },
  );

  async function describe({ params }: FastifyRequest): Promise<Partition> {
    const { topic, partition } = params as { topic: string; partition: number };
    const { partitions } = await topicAdmin.describe(topic);
    const found = partitions[partition];
    if (!found) throw unknownPartition(topic, partition, partitions.length);
    return found;
  }
};

/** The bounds of the log of a partition. @throws ServiceError STORE_UNAVAILABLE if its shard is away */
export function boundsOf({ logStartOffset, endOffset }: Pick<Partition, 'logStartOffset' | 'endOffset'>) {
  if (logStartOffset !== null && endOffset !== null) return { logStartOffset, endOffset };
  throw new ServiceError('STORE_UNAVAILABLE', 'The Redis server that holds this log cannot be reached.');
}

function partitionOf({ partition, leader, replicas, isr }: Partition) {
  return {
    partition,
    leader,
    replicas: replicas.map((broker) => ({ broker, leader: broker === leader, in_sync: isr.includes(broker) })),
  };
}

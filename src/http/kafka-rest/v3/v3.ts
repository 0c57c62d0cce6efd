// Version 3 of Confluent's REST API: what belongs to all its routes. Its objects, and the errors beside them, are plain JSON.
import type { FastifyPluginAsync, FastifyRequest } from 'fastify';
import { jsonType } from '../../media-types.ts';
import { kafkaRestErrors } from '../error-handler.ts';
import { KafkaRestError } from '../errors.ts';
import { requireAccepted } from '../media-types.ts';
import { v3ClusterRoutes } from './clusters.ts';
import { v3ConsumerGroupRoutes } from './consumer-groups.ts';
import { Links } from './links.ts';
import type { V3Options } from './options.ts';
import { v3PartitionRoutes } from './partitions.ts';
import { v3ProduceRoutes } from './produce.ts';
import { v3TopicConfigRoutes } from './topic-configs.ts';
import { v3TopicRoutes } from './topics.ts';

export const v3Routes: FastifyPluginAsync<Pick<V3Options, 'broker' | 'held'>> = async (app, { broker, held }) => {
  const { store } = broker;
  app.setErrorHandler(kafkaRestErrors(jsonType));
  app.addHook('preHandler', (request, _reply, done) => {
    // It is known once the store can be used.
    const { clusterId } = store;
    const { cluster = clusterId } = request.params as { cluster?: string };
    if (cluster !== clusterId) {
      const shown = cluster.slice(0, 100);
      done(new KafkaRestError(404, `Cluster ${shown} could not be found; this one is ${clusterId}.`));
      return;
    }
    requireAccepted(request, jsonType);
    done();
  });
  const linksOf = (request: FastifyRequest) => new Links(request, store.clusterId, broker.config.advertisedUrl);
  const options = { broker, held, linksOf };
  await app.register(v3ClusterRoutes, options);
  await app.register(v3TopicRoutes, options);
  await app.register(v3TopicConfigRoutes, options);
  await app.register(v3PartitionRoutes, options);
  await app.register(v3ConsumerGroupRoutes, options);
  await app.register(v3ProduceRoutes, options);
};

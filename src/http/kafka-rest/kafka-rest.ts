// The Kafka REST dialect (v2) at the root: /topics, /consumers and /brokers, as the REST proxies of Kafka serve them (docs/kafka-rest.md).
// Its routes are not in the OpenAPI document of the service, whose errors are all problems.
import type { FastifyPluginAsync } from 'fastify';
import type { Broker } from '../../broker/broker.ts';
import { kafkaRestConsumerRoutes } from './consumers.ts';
import { sendKafkaRestError } from './error-handler.ts';
import { kafkaRestMetadataRoutes } from './metadata.ts';
import { kafkaRestProduceRoutes } from './produce.ts';

export const kafkaRestRoutes: FastifyPluginAsync<{ broker: Broker }> = async (app, { broker }) => {
  app.setErrorHandler(sendKafkaRestError);
  // Fastify adds the charset to every JSON type; the proxies of Kafka send none, and clients may compare.
  app.addHook('onSend', (_request, reply, payload, done) => {
    const type = String(reply.getHeader('content-type'));
    if (type.startsWith('application/vnd.kafka.')) reply.header('content-type', type.replace(/;.*/, ''));
    done(null, payload);
  });
  await app.register(kafkaRestMetadataRoutes, { broker });
  await app.register(kafkaRestProduceRoutes, { broker });
  await app.register(kafkaRestConsumerRoutes, { broker });
};

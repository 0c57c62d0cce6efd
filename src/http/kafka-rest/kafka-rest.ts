// The Kafka REST dialect: version 2 at the root (/topics, /consumers and /brokers), as the REST proxies of Kafka serve it, and version 3 of
// Confluent's REST API below /v3, or /kafka/v3 as Confluent Server has it (docs/kafka-rest.md).
// Its routes are not in the OpenAPI document of the service, whose errors are all problems.
import type { FastifyPluginAsync } from 'fastify';
import type { Broker } from '../../broker/broker.ts';
import type { HeldResults } from '../held-results.ts';
import { kafkaRestConsumerRoutes } from './consumers.ts';
import { kafkaRestErrors } from './error-handler.ts';
import { kafkaType } from './media-types.ts';
import { kafkaRestMetadataRoutes } from './metadata.ts';
import { kafkaRestProduceRoutes } from './produce.ts';
import { v3Routes } from './v3/v3.ts';

export const kafkaRestRoutes: FastifyPluginAsync<{ broker: Broker; held: HeldResults }> = async (
  app,
  { broker, held },
) => {
  await app.register(v2Routes, { broker });
  for (const prefix of ['/v3', '/kafka/v3']) await app.register(v3Routes, { prefix, broker, held });
};

const v2Routes: FastifyPluginAsync<{ broker: Broker }> = async (app, { broker }) => {
  app.setErrorHandler(kafkaRestErrors(kafkaType));
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

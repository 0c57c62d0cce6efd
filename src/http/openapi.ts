// The OpenAPI 3.1 document, made from the zod schemas of the routes: /openapi.json, /docs, and the file openapi.yaml.
import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger';
import { fastifyZodOpenApiTransformers } from 'fastify-zod-openapi';

export const apiVersion = '1.0.0';

type Transform = NonNullable<FastifyDynamicSwaggerOptions['transform']>;

/** A node's path is the rest of the URL; OpenAPI has no word for that, so it stands as a parameter, and its text says so. */
const transform: Transform = (given) => {
  const { schema, url } = fastifyZodOpenApiTransformers.transform(given);
  if (!url.endsWith('/*')) return { schema, url };
  return { schema, url: url.replace(/\*$/, ':path') };
};

export const openApiOptions: FastifyDynamicSwaggerOptions = {
  openapi: {
    openapi: '3.1.0',
    info: {
      title: 'Weirkeeper',
      version: apiVersion,
      description:
        "ZooKeeper's coordination and Kafka's logs over HTTP and WebSocket. Errors are application/problem+json with a stable `code`.",
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } as { name: string },
    },
    tags: [
      { name: 'nodes', description: 'A tree of nodes as ZooKeeper has it.' },
      { name: 'sessions', description: 'What ephemeral nodes live with.' },
      { name: 'watches', description: 'Changes of the tree, as they happen and from the past.' },
      { name: 'topics', description: 'Logs of records in partitions, as Kafka has them.' },
      { name: 'groups', description: 'Consumers that share the partitions of topics.' },
      { name: 'cluster', description: 'Brokers, controller and leaders.' },
      { name: 'operation', description: 'Health and metrics.' },
    ],
  },
  ...fastifyZodOpenApiTransformers,
  transform,
};

// Version 3: lists, describes, creates, grows and deletes topics.
import type { FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZodOpenApi } from 'fastify-zod-openapi';
import { z } from 'zod';
import { noQuery } from '../../../../schemas/common.ts';
import {
  v3ClusterParams,
  v3CreateTopicBody,
  v3PartitionsCountBody,
  v3TopicParams,
  v3TopicQuery,
  v3TopicsQuery,
} from '../../../../schemas/kafka-rest-v3.ts';
import { findServiceError, hasCode, ServiceError } from '../../../core/service-error.ts';
import { partitionsOf } from '../../known-items.ts';
import { bodyBytes } from '../../limits.ts';
import { setOutcomeHeaders } from '../../outcome-headers.ts';
import { idempotencyOf } from '../../plugins/idempotency.ts';
import { takesBytes } from '../bodies.ts';
import { KafkaRestError } from '../errors.ts';
import { readableTopics } from '../readable-topics.ts';
import { requiredJson } from './json-bodies.ts';
import { type Links, list } from './links.ts';
import type { V3Options } from './options.ts';

/** The counts of a topic. */
interface Topic {
  name: string;
  partitionCount: number;
  replicationFactor: number;
}

const topicsPerStep = 100;

export const v3TopicRoutes: FastifyPluginAsyncZodOpenApi<V3Options> = async (app, { broker, linksOf }) => {
  const { store, topicAdmin, partitions } = broker;
  const changes = {
    access: { verb: 'manage', kind: 'topics', in: 'topic' },
    admission: 'work',
    timeLimit: 'none',
  } as const;
  takesBytes(app);

  app.get(
    '/clusters/:cluster/topics',
    {
      config: { access: 'identity', admission: 'work', timeLimit: 'none' },
      schema: { hide: true, params: v3ClusterParams, querystring: v3TopicsQuery },
    },
    async (request) => {
      const links = linksOf(request);
      const found = await Promise.all((await readableTopics(request, store)).map(countsOf));
      const withRights = request.query.includeAuthorizedOperations ?? false;
      const data = await request.inSteps(
        (function* () {
          const all = [];
          for (const topic of found) {
            if (topic) all.push(topicOf(request, links, topic, withRights));
            if (all.length % topicsPerStep === 0) yield;
          }
          return all;
        })(),
      );
      return list('KafkaTopic', links.url('topics'), data);
    },
  );

  app.post(
    '/clusters/:cluster/topics',
    {
      bodyLimit: bodyBytes.list,
      config: { access: 'operation', admission: 'work', timeLimit: 'none' },
      schema: { hide: true, params: v3ClusterParams, querystring: noQuery, body: z.unknown() },
    },
    async (request, reply) => {
      const body = requiredJson(request, v3CreateTopicBody);
      const { topic_name: name, partitions_count, replication_factor, configs, validate_only } = body;
      request.require('manage', 'topics', name);
      if (body.replicas_assignments != null && Object.keys(body.replicas_assignments).length > 0) {
        throw new KafkaRestError(
          40002,
          'replicas_assignments is not supported: the server places replicas. PATCH /v1/topics/{topic}/partitions/{partition} moves them.',
        );
      }
      const creation = {
        name,
        partitions: partitions_count ?? 1,
        replicationFactor: replication_factor ?? 1,
        config: Object.fromEntries((configs ?? []).map((config) => [config.name, config.value ?? null])),
      };
      const creator = request.account?.creator;
      const links = linksOf(request);
      if (validate_only) {
        await asTopicExists(topicAdmin.check(creation, creator), name);
        const { partitions: partitionCount, replicationFactor } = creation;
        return topicOf(request, links, { name, partitionCount, replicationFactor }, false);
      }
      const made = topicAdmin.create(creation, { idempotency: idempotencyOf(request), creator });
      setOutcomeHeaders(reply, await asTopicExists(made, name));
      reply.code(201).header('location', links.url('topics', name));
      return describe(request, name);
    },
  );

  app.get(
    '/clusters/:cluster/topics/:topic',
    {
      config: {
        access: { verb: 'read', kind: 'topics', in: 'topic' },
        admission: 'work',
        timeLimit: 'read',
        itemsOf: partitionsOf(broker.topics),
      },
      schema: { hide: true, params: v3TopicParams, querystring: v3TopicQuery },
    },
    async (request) => describe(request, request.params.topic, request.query.include_authorized_operations ?? false),
  );

  app.patch(
    '/clusters/:cluster/topics/:topic',
    {
      bodyLimit: bodyBytes.list,
      config: changes,
      schema: { hide: true, params: v3TopicParams, querystring: noQuery, body: z.unknown() },
    },
    async (request, reply) => {
      const { topic } = request.params;
      const { partitions_count: count } = requiredJson(request, v3PartitionsCountBody);
      const idempotency = idempotencyOf(request);
      const now = (await topicAdmin.describe(topic)).partitions.length;
      if (!idempotency && count === now) {
        throw new ServiceError('INVALID_PARTITIONS', `Topic ${topic} has ${now} partitions already.`);
      }
      setOutcomeHeaders(reply, await topicAdmin.alter(topic, { partitions: count }, idempotency));
      return describe(request, topic);
    },
  );

  app.delete(
    '/clusters/:cluster/topics/:topic',
    { config: changes, schema: { hide: true, params: v3TopicParams, querystring: noQuery, body: z.unknown() } },
    async (request, reply) => {
      await topicAdmin.delete(request.params.topic);
      return reply.code(204).send();
    },
  );

  async function countsOf(name: string): Promise<Topic | undefined> {
    const known = partitions.replicasOf(name);
    if (known) return { name, partitionCount: known.length, replicationFactor: known[0]?.length ?? 0 };
    try {
      const { partitions: found } = await topicAdmin.describe(name);
      return { name, partitionCount: found.length, replicationFactor: found[0]?.replicas.length ?? 0 };
    } catch (error) {
      // It was deleted meanwhile.
      if (hasCode(error, 'UNKNOWN_TOPIC')) return undefined;
      throw error;
    }
  }

  async function describe(request: FastifyRequest, name: string, withRights = false) {
    const { partitions: found } = await topicAdmin.describe(name);
    const counts = { name, partitionCount: found.length, replicationFactor: found[0]?.replicas.length ?? 0 };
    return topicOf(request, linksOf(request), counts, withRights);
  }

  /** @param withRights whether to say what the caller may do */
  function topicOf(request: FastifyRequest, links: Links, topic: Topic, withRights: boolean) {
    const { name, partitionCount, replicationFactor } = topic;
    const path = ['topics', name];
    return {
      ...links.resource('KafkaTopic', path, [['topic', name]]),
      cluster_id: store.clusterId,
      topic_name: name,
      is_internal: false,
      replication_factor: replicationFactor,
      partitions_count: partitionCount,
      partitions: links.to(...path, 'partitions'),
      configs: links.to(...path, 'configs'),
      partition_reassignments: links.to(...path, 'partitions', '-', 'reassignment'),
      ...(withRights && { authorized_operations: operationsOf(request, name) }),
    };
  }
};

/** What the caller may do with a topic, in Kafka's words. */
function operationsOf(request: FastifyRequest, topic: string): string[] {
  const operations = ['DESCRIBE', 'DESCRIBE_CONFIGS', 'READ'];
  if (request.may('write', 'topics', topic)) operations.push('WRITE');
  if (request.may('manage', 'topics', topic)) operations.push('ALTER', 'ALTER_CONFIGS', 'DELETE');
  return operations;
}

/** The command line of Confluent compares the text: with `--if-not-exists` it is no error. */
async function asTopicExists<T>(made: Promise<T>, name: string): Promise<T> {
  try {
    return await made;
  } catch (error) {
    const failure = findServiceError(error);
    const isSame = failure?.code === 'TOPIC_EXISTS' && failure.fields.topic === name;
    throw isSame ? new KafkaRestError(40002, `Topic '${name}' already exists.`) : error;
  }
}

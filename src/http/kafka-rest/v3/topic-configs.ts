// Version 3: the settings of topics.
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZodOpenApi } from 'fastify-zod-openapi';
import { z } from 'zod';
import { noQuery } from '../../../../schemas/common.ts';
import {
  v3AlterConfigsBody,
  v3ClusterParams,
  v3ConfigBody,
  v3ConfigParams,
  v3TopicParams,
} from '../../../../schemas/kafka-rest-v3.ts';
import type { TopicConfig } from '../../../../schemas/topics.ts';
import { type ConfigInput, changeOverrides, effectiveConfig } from '../../../core/records/topic-config.ts';
import { hasCode } from '../../../core/service-error.ts';
import { bodyBytes } from '../../limits.ts';
import { setOutcomeHeaders } from '../../outcome-headers.ts';
import { idempotencyOf } from '../../plugins/idempotency.ts';
import { takesBytes } from '../bodies.ts';
import { KafkaRestError } from '../errors.ts';
import { readableTopics } from '../readable-topics.ts';
import { requiredJson } from './json-bodies.ts';
import { type Links, list } from './links.ts';
import type { V3Options } from './options.ts';

const defaults = effectiveConfig({});

export const v3TopicConfigRoutes: FastifyPluginAsyncZodOpenApi<V3Options> = async (app, { broker, linksOf }) => {
  const { store, topics, topicAdmin } = broker;
  const reads = {
    access: { verb: 'read', kind: 'topics', in: 'topic' },
    admission: 'work',
    timeLimit: 'read',
  } as const;
  const changes = {
    access: { verb: 'manage', kind: 'topics', in: 'topic' },
    admission: 'work',
    timeLimit: 'none',
  } as const;
  const ofTopic = { hide: true, params: v3TopicParams, querystring: noQuery } as const;
  const ofConfig = { hide: true, params: v3ConfigParams, querystring: noQuery } as const;
  const base = '/clusters/:cluster/topics/:topic/configs';
  takesBytes(app);

  app.get(
    '/clusters/:cluster/topics/-/configs',
    {
      config: { access: 'identity', admission: 'work', timeLimit: 'none' },
      schema: { hide: true, params: v3ClusterParams, querystring: noQuery },
    },
    async (request) => {
      const links = linksOf(request);
      const names = await readableTopics(request, store);
      const all = await Promise.all(names.map((name) => topics.get(name).catch(ignoreIfDeleted)));
      const data = all.flatMap((topic) => (topic ? configsOf(links, topic.name, topic.config) : []));
      return list('KafkaTopicConfig', links.url('topics', '-', 'configs'), data);
    },
  );

  app.get(base, { config: reads, schema: ofTopic }, async (request) => {
    const { name, config } = await topics.get(request.params.topic);
    const links = linksOf(request);
    return list('KafkaTopicConfig', links.url('topics', name, 'configs'), configsOf(links, name, config));
  });

  app.get(`${base}/:name`, { config: reads, schema: ofConfig }, async (request) => {
    const { topic, name } = request.params;
    const { config } = await topics.get(topic);
    checkKey(name);
    return configOf(linksOf(request), topic, name, config[name]);
  });

  app.put(`${base}/:name`, { config: changes, schema: { ...ofConfig, body: z.unknown() } }, async (request, reply) => {
    const { topic, name } = request.params;
    const { value } = requiredJson(request, v3ConfigBody);
    return change(request, reply, topic, { [name]: value ?? null });
  });

  const ignoresBody = { ...ofConfig, body: z.unknown() };
  app.delete(`${base}/:name`, { config: changes, schema: ignoresBody }, async (request, reply) => {
    const { topic, name } = request.params;
    return change(request, reply, topic, { [name]: null });
  });

  app.post(
    '/clusters/:cluster/topics/:topic/configs::alter',
    { bodyLimit: bodyBytes.list, config: changes, schema: { ...ofTopic, body: z.unknown() } },
    alter,
  );

  async function alter(request: FastifyRequest, reply: FastifyReply) {
    const { topic } = request.params as { topic: string };
    const { data, validate_only } = requiredJson(request, v3AlterConfigsBody);
    const input = Object.fromEntries(
      data.map(({ name, value, operation }) => [name, operation === 'DELETE' ? null : (value ?? null)]),
    );
    if (!validate_only) return change(request, reply, topic, input);
    await topics.get(topic);
    changeOverrides({}, input);
    return reply.code(204).send();
  }

  async function change(request: FastifyRequest, reply: FastifyReply, topic: string, config: ConfigInput) {
    setOutcomeHeaders(reply, await topicAdmin.alter(topic, { config }, idempotencyOf(request)));
    return reply.code(204).send();
  }
};

/** It was deleted meanwhile. */
function ignoreIfDeleted(error: unknown): undefined {
  if (!hasCode(error, 'UNKNOWN_TOPIC')) throw error;
}

/** @throws KafkaRestError 404 */
function checkKey(name: string): asserts name is keyof TopicConfig {
  if (Object.hasOwn(defaults, name)) return;
  throw new KafkaRestError(
    404,
    `There is no setting '${name.slice(0, 100)}'; a topic has ${Object.keys(defaults).join(', ')}.`,
  );
}

function configsOf(links: Links, topic: string, config: TopicConfig) {
  return Object.entries(config).map(([name, value]) => configOf(links, topic, name as keyof TopicConfig, value));
}

function configOf(links: Links, topic: string, name: keyof TopicConfig, value: string | number) {
  const isDefault = value === defaults[name];
  const source = isDefault ? 'DEFAULT_CONFIG' : 'DYNAMIC_TOPIC_CONFIG';
  const standard = { name, value: String(defaults[name]), source: 'DEFAULT_CONFIG' };
  return {
    ...links.resource(
      'KafkaTopicConfig',
      ['topics', topic, 'configs', name],
      [
        ['topic', topic],
        ['config', name],
      ],
    ),
    cluster_id: links.cluster,
    topic_name: topic,
    name,
    value: String(value),
    is_default: isDefault,
    is_read_only: false,
    is_sensitive: false,
    source,
    synonyms: isDefault ? [standard] : [{ name, value: String(value), source }, standard],
  };
}

// /consumers/{group}: consumer instances. Their state is in the store, so any broker serves any of these calls (docs/adr/013).
import { randomUUID } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZodOpenApi } from 'fastify-zod-openapi';
import { z } from 'zod';
import { noQuery } from '../../../schemas/common.ts';
import {
  commitQuery,
  createInstanceBody,
  offsetsBody,
  partitionsBody,
  pollQuery,
  positionsBody,
  subscriptionBody,
} from '../../../schemas/kafka-rest.ts';
import { fetchRecordsMax } from '../../../schemas/records.ts';
import { requireTopics } from '../../access/topic-rights.ts';
import type { Broker } from '../../broker/broker.ts';
import type { Instance } from '../../broker/groups/instances/consumer-instances.ts';
import type { Seek } from '../../broker/groups/instances/instance-reader.ts';
import { alternativesProblem } from '../../core/alternatives.ts';
import { FetchedRecords } from '../../core/records/fetched-records.ts';
import { hasCode, ServiceError } from '../../core/service-error.ts';
import { bodyBytes } from '../limits.ts';
import { RequestSignals } from '../request-signal.ts';
import { bodyOf, bodyOfGet, takesBytes } from './bodies.ts';
import { recordsJson } from './consumed-records.ts';
import { KafkaRestError } from './errors.ts';
import { needsSchemas, recordsType, responseType } from './media-types.ts';

interface Options {
  broker: Pick<Broker, 'config' | 'consumerInstances' | 'instanceReader' | 'stopping'>;
}

const groupParams = z.strictObject({ group: z.string() });
const instanceParams = groupParams.extend({ instance: z.string() });

export const kafkaRestConsumerRoutes: FastifyPluginAsyncZodOpenApi<Options> = async (app, { broker }) => {
  const { consumerInstances: instances, instanceReader: reader } = broker;
  const signals = new RequestSignals(broker.stopping);
  const access = { verb: 'use', kind: 'groups', in: 'group' } as const;
  const write = { access, admission: 'work', timeLimit: 'write' } as const;
  const read = { access, admission: 'work', timeLimit: 'read' } as const;
  const schema = { hide: true, params: instanceParams, querystring: noQuery };
  const takesBody = { ...schema, body: z.unknown() };
  const routeOptions = { bodyLimit: bodyBytes.list, config: write, schema: takesBody };
  const base = '/consumers/:group/instances/:instance';
  takesBytes(app);

  const find = (request: Pick<FastifyRequest, 'identity' | 'actsAs' | 'ip'> & { params: unknown }) => {
    const { group, instance } = request.params as z.infer<typeof instanceParams>;
    return instances.get(group, instance, actorOf(request));
  };
  const done = (reply: FastifyReply) => reply.code(204).send();

  app.post(
    '/consumers/:group',
    { ...routeOptions, schema: { ...takesBody, params: groupParams } },
    async (request, reply) => {
      const body = bodyOf(request, createInstanceBody) ?? createInstanceBody.parse({});
      const { group } = request.params;
      const name = body.name ?? body.id ?? `rest-consumer-${randomUUID()}`;
      const format = formatOf(body.format);
      const minBytes = body['fetch.min.bytes'];
      if (minBytes === 0) throw new KafkaRestError(40001, 'fetch.min.bytes is 0; it must be -1 or from 1 on.');
      const autoCommit = body['auto.commit.enable'] ?? body['enable.auto.commit'] ?? true;
      const settings = {
        format,
        reset: body['auto.offset.reset'],
        autoCommit,
        minBytes: Math.max(1, minBytes),
        timeoutMs: body['consumer.request.timeout.ms'],
      };
      try {
        await instances.create(group, name, settings, actorOf(request));
      } catch (error) {
        if (!hasCode(error, 'NODE_EXISTS')) throw error;
        throw new KafkaRestError(40902, `Consumer instance '${name}' of group '${group}' exists already.`);
      }
      const url = broker.config.advertisedUrl ?? `${request.protocol}://${request.host}`;
      const path = `/consumers/${encodeURIComponent(group)}/instances/${encodeURIComponent(name)}`;
      return reply.type(responseType(request)).send({ instance_id: name, base_uri: `${url}${path}` });
    },
  );

  // Clients send {} with every call.
  const ignoresBody = { config: write, schema: takesBody };
  app.delete(base, ignoresBody, async (request, reply) => {
    await reader.close(await find(request));
    return done(reply);
  });

  app.post(`${base}/subscription`, routeOptions, async (request, reply) => {
    const { topics, topic_pattern: pattern } = requiredBody(request, subscriptionBody);
    const problem = alternativesProblem({ topics, topic_pattern: pattern });
    if (problem !== undefined) throw new KafkaRestError(422, problem);
    requireTopics(request, { topics, pattern });
    const subscription = topics ? { topics: [...new Set(topics)] } : { pattern: pattern ?? '' };
    await instances.subscribe(await find(request), subscription, actorOf(request));
    return done(reply);
  });

  app.get(`${base}/subscription`, { config: read, schema }, async (request, reply) => {
    const { subscription } = (await find(request)).document;
    const topics = subscription && 'topics' in subscription ? subscription.topics : [];
    const pattern = subscription && 'pattern' in subscription ? { topic_pattern: subscription.pattern } : {};
    return reply.type(responseType(request)).send({ topics, ...pattern });
  });

  app.delete(`${base}/subscription`, ignoresBody, async (request, reply) => {
    await instances.unsubscribe(await find(request));
    return done(reply);
  });

  app.post(`${base}/assignments`, routeOptions, async (request, reply) => {
    const { partitions } = requiredBody(request, partitionsBody);
    requireTopics(request, { topics: [...new Set(partitions.map(({ topic }) => topic))] });
    await reader.assign(await find(request), partitions);
    return done(reply);
  });

  app.get(`${base}/assignments`, { config: read, schema }, async (request, reply) => {
    const partitions = await reader.assignment((await find(request)).document);
    return reply.type(responseType(request)).send({ partitions });
  });

  app.post(`${base}/positions`, routeOptions, async (request, reply) => {
    const { offsets = [], timestamps = [] } = requiredBody(request, positionsBody);
    const seeks = [
      ...offsets.map(({ topic, partition, offset: to }) => ({ topic, partition, to })),
      ...timestamps.map(({ topic, partition, timestamp }) => {
        return { topic, partition, to: { timestamp: Date.parse(timestamp) } };
      }),
    ];
    return seek(request, reply, await find(request), seeks);
  });

  for (const [name, to] of [
    ['beginning', 'earliest'],
    ['end', 'latest'],
  ] as const) {
    app.post(`${base}/positions/${name}`, routeOptions, async (request, reply) => {
      const { partitions } = requiredBody(request, partitionsBody);
      const seeks = partitions.map((at) => ({ ...at, to }));
      return seek(request, reply, await find(request), seeks);
    });
  }

  async function seek(request: FastifyRequest, reply: FastifyReply, instance: Instance, seeks: readonly Seek[]) {
    requireTopics(request, { topics: [...new Set(seeks.map(({ topic }) => topic))] });
    await reader.seek(instance, seeks);
    return done(reply);
  }

  app.post(
    `${base}/offsets`,
    { ...routeOptions, schema: { ...takesBody, querystring: commitQuery } },
    async (request, reply) => {
      const body = bodyOf(request, offsetsBody);
      // A client names the record that it has processed; what is stored is the next one to read.
      const offsets = body?.offsets.map(({ topic, partition, offset, metadata }) => {
        return { topic, partition, offset: offset + 1, ...(metadata != null && { metadata }) };
      });
      requireTopics(request, { topics: [...new Set(offsets?.map(({ topic }) => topic))] });
      await reader.commit((await find(request)).document, offsets);
      return reply.type(responseType(request)).send([]);
    },
  );

  app.get(`${base}/offsets`, { config: read, schema }, async (request, reply) => {
    const wanted = await bodyOfGet(request, partitionsBody);
    const { document } = await find(request);
    const keys = wanted && new Set(wanted.partitions.map(({ topic, partition }) => `${topic}:${partition}`));
    const committed = (await reader.committed(document)).filter(
      ({ topic, partition }) => (!keys || keys.has(`${topic}:${partition}`)) && request.may('read', 'topics', topic),
    );
    const offsets = committed.map(({ topic, partition, offset, metadata = '' }) => ({
      topic,
      partition,
      offset,
      metadata,
    }));
    return reply.type(responseType(request)).send({ offsets });
  });

  app.get(
    `${base}/records`,
    {
      exposeHeadRoute: false,
      config: {
        access,
        admission: 'work',
        timeLimit: 'consume',
        isLongPoll: true,
        hasEffect: true,
        readsRecords: true,
      },
      schema: { ...schema, querystring: pollQuery },
    },
    async (request, reply) => {
      const instance = await find(request);
      const { document } = instance;
      const type = recordsType(request, document.format);
      const { timeout: waitMs = document.timeoutMs, max_bytes: maxBytes } = request.query;
      const poll = {
        waitMs,
        maxBytes,
        maxRecords: fetchRecordsMax,
        mayRead: (topic: string) => request.may('read', 'topics', topic),
        rejoin: () => instances.join(document, actorOf(request)),
        onWait: () => request.permit?.release(),
      };
      const polled = await signals.run(reply.raw, (signal) => reader.poll(instance, poll, signal));
      await request.recheckAccess();
      const records = polled.flatMap(({ topic, partition, records: some }) => {
        request.require('read', 'topics', topic);
        return some instanceof FetchedRecords ? [{ topic, partition, records: some }] : [];
      });
      return reply.type(type).send(await request.inSteps(recordsJson(records, document.format)));
    },
  );
};

function actorOf({ identity, actsAs, ip }: Pick<FastifyRequest, 'identity' | 'actsAs' | 'ip'>) {
  return { identity, actsAs, ip };
}

/** @throws KafkaRestError 422 */
function formatOf(format: string): 'json' | 'binary' {
  if (format === 'json' || format === 'binary') return format;
  const why = needsSchemas(format) ? `${format} needs a schema registry, and this server has none` : 'it is not known';
  throw new KafkaRestError(422, `Invalid format '${format.slice(0, 60)}': ${why}; give json or binary.`);
}

function requiredBody<T>(request: FastifyRequest, schema: z.ZodType<T>): T {
  const body = bodyOf(request, schema);
  if (body === undefined) throw new ServiceError('BAD_REQUEST', 'The body is empty; this call needs JSON.');
  return body;
}

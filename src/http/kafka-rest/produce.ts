// POST /topics/{topic} and /topics/{topic}/partitions/{partition}: appends records. Each record has a result of its own.
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZodOpenApi } from 'fastify-zod-openapi';
import { z } from 'zod';
import { errorCatalogue } from '../../../schemas/errors.ts';
import { acks, partitionParams } from '../../../schemas/records.ts';
import { topicParams } from '../../../schemas/topics.ts';
import type { Broker } from '../../broker/broker.ts';
import { appendedBefore, offsetsOf, type ProduceRequest } from '../../broker/log/log-writer.ts';
import { checkPartition } from '../../broker/metadata/topic-cache.ts';
import type { RequestRecords } from '../../core/records/record-input.ts';
import { findServiceError, ServiceError } from '../../core/service-error.ts';
import { setOutcomeHeaders } from '../outcome-headers.ts';
import { idempotencyOf } from '../plugins/idempotency.ts';
import { takesBytes } from './bodies.ts';
import { nonRetriable, retriable } from './errors.ts';
import { producedFormat, responseType } from './media-types.ts';
import { parseProduceBody } from './produce-body.ts';

/** What became of one record. */
interface RecordResult {
  partition: number | null;
  offset: number | null;
  error_code: number | null;
  error: string | null;
}

/**
 * Failures that are results of the records, in a response with 200, as Confluent has them. Of others the request fails as a whole, if
 * none of its records was appended: a client that looks at the status alone must not lose records because a store is away.
 */
const resultsOfRecords = new Set<unknown>(['UNKNOWN_TOPIC', 'UNKNOWN_PARTITION', 'BAD_REQUEST', 'TOO_LARGE']);

interface Options {
  broker: Pick<Broker, 'config' | 'topicAdmin' | 'topics' | 'logWriter'>;
}

export const kafkaRestProduceRoutes: FastifyPluginAsyncZodOpenApi<Options> = async (app, { broker }) => {
  const { topicAdmin, topics, logWriter } = broker;
  const routeOptions = {
    bodyLimit: broker.config.maxBodyBytes,
    config: {
      access: { verb: 'write', kind: 'topics', in: 'topic' },
      admission: 'work',
      timeLimit: 'none',
      takesBytes: true,
      tooLargeRemedy: 'Send fewer records in one request.',
    },
  } as const;
  const shared = { hide: true, querystring: z.strictObject({ acks }), body: z.unknown() };
  // The bytes of the records are stored as they were sent.
  takesBytes(app);

  app.post('/topics/:topic', { ...routeOptions, schema: { ...shared, params: topicParams } }, async (request, reply) =>
    produce(request, reply, { topic: request.params.topic, acks: request.query.acks }),
  );

  app.post(
    '/topics/:topic/partitions/:partition',
    { ...routeOptions, schema: { ...shared, params: partitionParams } },
    async (request, reply) => {
      const { topic, partition } = request.params;
      const known = await topics.get(topic).catch(() => undefined);
      if (known) checkPartition(known, partition);
      return produce(request, reply, { topic, partition, acks: request.query.acks });
    },
  );

  async function produce(
    request: FastifyRequest,
    reply: FastifyReply,
    to: Pick<ProduceRequest, 'topic' | 'partition' | 'acks'>,
  ) {
    const format = producedFormat(request);
    const type = responseType(request);
    const idempotency = idempotencyOf(request);
    const deduplicationKey = idempotency && { kind: 'key' as const, ...idempotency };
    const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    if (body.length === 0) throw new ServiceError('BAD_REQUEST', 'The body is empty; send {"records":[{"value":…}]}.');
    const records = await request.inSteps(parseProduceBody(body, format));
    const { topic: name, partition, acks } = to;
    const what = { topic: name, acks, deduplicationKey, ...inPartition(records, partition) };
    return reply
      .type(type)
      .send({ offsets: await appendEach(reply, what), key_schema_id: null, value_schema_id: null });
  }

  /** Appends the records. @returns the result of each, in their order */
  async function appendEach(reply: FastifyReply, what: ProduceRequest): Promise<RecordResult[]> {
    try {
      const produced = await logWriter.produce(what, await topicAdmin.getOrCreate(what.topic));
      setOutcomeHeaders(reply, { replayed: produced.replayed });
      // With acks=0 nobody knows the offsets.
      if (what.acks === '0') return produced.partitions.map((partition) => appended(partition, null));
      return offsetsOf(produced).map(([partition, offset]) => appended(partition, offset));
    } catch (error) {
      return failedResults(error, what.records);
    }
  }
};

/** The records, each for the partition in the path, unless it names one itself. */
function inPartition(
  records: RequestRecords,
  partition: number | undefined,
): Pick<ProduceRequest, 'records' | 'partition'> {
  if (records.kind !== 'separate' || partition === undefined) return { records, partition };
  const placed = records.records.map((record) => ({ ...record, partition: record.partition ?? partition }));
  return { records: { ...records, records: placed } };
}

/** @throws `error` if it is one of the whole request */
function failedResults(error: unknown, records: RequestRecords): RecordResult[] {
  const failure = findServiceError(error);
  const before = appendedBefore(error);
  if (!failure || !(before || resultsOfRecords.has(failure.code))) throw error;
  const isRetriable = failure.code === 'UNKNOWN_TOPIC' || errorCatalogue[failure.code].retryable;
  const failed: RecordResult = {
    partition: null,
    offset: null,
    error_code: isRetriable ? retriable : nonRetriable,
    error: failure.message,
  };
  if (!before) {
    const count = records.kind === 'separate' ? records.records.length : records.count;
    return Array.from({ length: count }, () => failed);
  }
  const next = new Map(before.results.map(({ partition, baseOffset }) => [partition, baseOffset]));
  return before.partitions.map((partition) => {
    const offset = next.get(partition);
    if (offset === undefined) return failed;
    next.set(partition, offset + 1);
    return appended(partition, offset);
  });
}

function appended(partition: number, offset: number | null): RecordResult {
  return { partition, offset, error_code: null, error: null };
}

// Version 3: POST …/records appends a stream of records, and POST …/records:batch a list. Each record has a result of its own.
import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZodOpenApi } from 'fastify-zod-openapi';
import { z } from 'zod';
import { v3ProduceQuery, v3TopicParams } from '../../../../schemas/kafka-rest-v3.ts';
import { checkPartition, type TopicInfo } from '../../../broker/metadata/topic-cache.ts';
import type { EncodedRecord } from '../../../core/records/record-fields.ts';
import { checkRecordBytes } from '../../../core/records/request-batches.ts';
import { effectiveConfig } from '../../../core/records/topic-config.ts';
import { required } from '../../../core/required.ts';
import { findServiceError, hasCode, ServiceError } from '../../../core/service-error.ts';
import { bodyFromFirst } from '../../line-response.ts';
import { jsonType } from '../../media-types.ts';
import { idempotencyOf } from '../../plugins/idempotency.ts';
import { deduplicationKeyOfBatch } from '../../produce-stream.ts';
import { batchWeight } from '../../request-weight.ts';
import { takesBytes } from '../bodies.ts';
import { type Appender, appendRead, type ReadOutcome } from './appended-records.ts';
import { batchEntries } from './batch-entries.ts';
import type { V3Options } from './options.ts';
import { deliveryOf, failureReport, recordStream, requireSuccess } from './record-stream.ts';

const standard = effectiveConfig({});

export const v3ProduceRoutes: FastifyPluginAsyncZodOpenApi<V3Options> = async (app, { broker, held }) => {
  const { topicAdmin, topics, logWriter, store } = broker;
  const shared = {
    access: { verb: 'write', kind: 'topics', in: 'topic' },
    admission: 'work',
    timeLimit: 'none',
    takesBytes: true,
    tooLargeRemedy: 'Send fewer records in one request, or stream them to /records.',
  } as const;
  const schema = { hide: true, params: v3TopicParams, querystring: v3ProduceQuery, body: z.unknown() } as const;

  await app.register(async (streams) => {
    streams.removeAllContentTypeParsers();
    streams.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
    streams.post(
      '/clusters/:cluster/topics/:topic/records',
      { config: { ...shared, takesStream: true }, schema },
      async (request, reply) => produceStream(request, reply),
    );
  });

  await app.register(async (batches) => {
    takesBytes(batches);
    batches.post(
      '/clusters/:cluster/topics/:topic/records::batch',
      { bodyLimit: broker.config.maxBodyBytes, config: shared, schema },
      async (request, reply) => produceBatch(request, reply),
    );
  });

  async function produceStream(request: FastifyRequest, reply: FastifyReply) {
    requireJson(request);
    const { topic: name } = request.params as { topic: string };
    const body = request.body instanceof Readable ? request.body : Readable.from([]);
    const topic = await known(request, name);
    const appender = appenderTo(request, name, topic);
    const reports = recordStream(body, {
      cluster: store.clusterId,
      topic: name,
      recordBytesMax: (topic?.config ?? standard)['max.message.bytes'],
      isSeparate: hasKey(request),
      countLine: (bytes) => request.countLine(bytes),
      inSteps: (steps, bytes) => request.inSteps(steps, bytes),
      appender: {
        ...appender,
        append: async (records) => {
          // A stream may last for any time.
          await request.recheckAccess();
          const bytes = records.reduce((sum, { record }) => sum + record.line.length, 0);
          await request.waitForRates(bytes);
          return request.withPermit(batchWeight(bytes), () => appender.append(records));
        },
      },
    });
    // Many clients read nothing before they have sent everything.
    const sent = request.headers['content-length'] === undefined ? reports : held.hold(reports);
    return reply.type(jsonType).send(await bodyFromFirst(sent));
  }

  async function produceBatch(request: FastifyRequest, reply: FastifyReply) {
    requireJson(request);
    const { topic: name } = request.params as { topic: string };
    const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    // It may change the bytes that a fingerprint is made of.
    const appender = appenderTo(request, name, await known(request, name));
    const entries = await request.inSteps(batchEntries(body));
    const records = entries.map(({ read }) => read);
    // With an Idempotency-Key each record is appended by itself, so that a repeat of the batch appends none again.
    const together = hasKey(request) ? records.map((record) => [record]) : [records];
    const outcomes: ReadOutcome[] = [];
    for (const some of together) outcomes.push(...(await appendRead(some, appender)));
    requireSuccess(outcomes);
    const successes = [];
    const failures = [];
    for (const [i, { id, read }] of entries.entries()) {
      const outcome = required(outcomes[i], 'outcome of an entry');
      if ('failure' in outcome) failures.push({ id, ...failureReport(outcome.failure) });
      else successes.push({ id, ...deliveryOf(outcome, read, { cluster: store.clusterId, topic: name }) });
    }
    return reply.code(207).send({ successes, failures });
  }

  /** The topic; undefined if there is none. */
  async function known({ account }: FastifyRequest, name: string): Promise<TopicInfo | undefined> {
    try {
      return await topicAdmin.getOrCreate(name, account?.creator);
    } catch (error) {
      // Each record has this error.
      if (hasCode(error, 'UNKNOWN_TOPIC')) return undefined;
      throw error;
    }
  }

  /** What appends records of a request. With an Idempotency-Key each call has a key of its own: a repeat makes the same calls. */
  function appenderTo(request: FastifyRequest, name: string, topic: TopicInfo | undefined): Appender {
    const idempotency = idempotencyOf(request);
    const { acks } = request.query as z.output<typeof v3ProduceQuery>;
    let calls = 0;
    const append: Appender['append'] = async (records) => {
      const encoded = records.map(({ record }) => record);
      const part = calls;
      calls += 1;
      return logWriter.produce(
        {
          topic: name,
          acks: acks === '0' ? '1' : acks,
          records: { kind: 'separate', records: encoded },
          deduplicationKey: idempotency && deduplicationKeyOfBatch({ kind: 'key', ...idempotency }, encoded, part),
        },
        topics.known(name) ?? topic ?? (await topicAdmin.getOrCreate(name, request.account?.creator)),
      );
    };
    return { append, refusalOf: ({ record }) => refusalBy(topics.known(name), record) };
  }
};

/** Why a topic refuses a record by its partition or size. */
function refusalBy(topic: TopicInfo | undefined, { partition, line }: EncodedRecord): ServiceError | undefined {
  if (!topic) return undefined;
  try {
    if (partition !== undefined) checkPartition(topic, partition);
    checkRecordBytes(topic, line.length);
    return undefined;
  } catch (error) {
    return findServiceError(error);
  }
}

function hasKey(request: FastifyRequest): boolean {
  return request.headers['idempotency-key'] !== undefined;
}

/** @throws ServiceError UNSUPPORTED_MEDIA_TYPE */
function requireJson({ bodyType }: FastifyRequest): void {
  if (bodyType === jsonType) return;
  const given = bodyType === '' ? 'The request has no Content-Type' : `The Content-Type ${bodyType} is not supported`;
  throw new ServiceError('UNSUPPORTED_MEDIA_TYPE', `${given}; send ${jsonType}.`);
}

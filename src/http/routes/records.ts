// /v1/topics/{topic}/…/records and /offsets: produces and fetches records, deletes records, and reads the bounds of logs.
import type { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZodOpenApi, FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import { z } from 'zod';
import {
  deleteRecordsQuery,
  deleteRecordsResponse,
  fetchQuery,
  fetchResponse,
  offsetsQuery,
  offsetsResponse,
  partitionParams,
  produceBody,
  producePartitionQuery,
  produceQuery,
  produceResponse,
} from '../../../schemas/records.ts';
import { topicParams } from '../../../schemas/topics.ts';
import type { Broker } from '../../broker/broker.ts';
import type { FetchResult } from '../../broker/log/log-reader.ts';
import { offsetsOf } from '../../broker/log/log-writer.ts';
import { asRecords, type FetchedContent } from '../../broker/log/read-forms.ts';
import { topicOffsets } from '../../broker/log/topic-offsets.ts';
import { checkPartition } from '../../broker/metadata/topic-cache.ts';
import { FetchedBatches } from '../../core/records/fetched-batches.ts';
import { checkRecordBytes } from '../../core/records/request-batches.ts';
import { effectiveConfig } from '../../core/records/topic-config.ts';
import { hasCode, ServiceError } from '../../core/service-error.ts';
import { batchesForm, batchesResponse, batchesText } from '../batches.ts';
import type { HeldResults } from '../held-results.ts';
import { partitionsOf } from '../known-items.ts';
import { bodyFromFirst } from '../line-response.ts';
import { batchesType, jsonType, ndjsonType, ndjsonTypes, preferredType } from '../media-types.ts';
import { setOutcomeHeaders } from '../outcome-headers.ts';
import { idempotencyOf } from '../plugins/idempotency.ts';
import { onlyDescribed } from '../plugins/validation.ts';
import { problems } from '../problems.ts';
import { type ProduceHead, type ProduceParameters, readProduceHead, readProduceRequest } from '../produce.ts';
import { produceStream } from '../produce-stream.ts';
import { linesResponse, rawContent } from '../raw-content.ts';
import { RequestSignals } from '../request-signal.ts';
import { batchWeight } from '../request-weight.ts';

/** Bodies reach the handler as bytes: core/records/record-input.ts validates them and stores their text. */
const produceContent = {
  content: {
    'application/json': { schema: onlyDescribed(produceBody) },
    [ndjsonType]: {
      schema: z.unknown().meta({ description: 'A record on each line.', override: { type: 'string' } }),
    },
    ...rawContent,
  },
};

const produceResponses = {
  200: {
    description:
      'Appended. For NDJSON: a line for each appended batch and, if it fails later on, the problem as the last.',
    content: { 'application/json': { schema: produceResponse }, [ndjsonType]: linesResponse },
  },
  ...problems(
    'BAD_REQUEST',
    'UNKNOWN_TOPIC',
    'UNKNOWN_PARTITION',
    'FENCED',
    'UNKNOWN_PRODUCER',
    'PRODUCER_FENCED',
    'INVALID_PATH',
    'OUT_OF_ORDER_SEQUENCE',
    'QUOTA_EXCEEDED',
    'TOO_LARGE',
    'IDEMPOTENCY_KEY_REUSED',
    'STORE_UNAVAILABLE',
    'NOT_ENOUGH_REPLICAS',
    'NOT_ENOUGH_REPLICAS_AFTER_APPEND',
    'STORE_FULL',
  ),
};

interface RecordsOptions {
  broker: Pick<Broker, 'config' | 'stopping' | 'topics' | 'topicAdmin' | 'logWriter' | 'logReader' | 'store'>;
  held: HeldResults;
}

export const recordsRoutes: FastifyPluginAsyncZodOpenApi<RecordsOptions> = async (app, { broker, held }) => {
  const { topics, topicAdmin, logWriter, logReader, store } = broker;
  const signals = new RequestSignals(broker.stopping);

  const config = {
    access: { verb: 'write', kind: 'topics', in: 'topic' },
    admission: 'work',
    timeLimit: 'none',
    takesBytes: true,
    takesHeaders: ['Weir-Fence', 'Weir-Producer'],
    tooLargeRemedy: 'Send fewer records in one request, or stream them as application/x-ndjson.',
  } as const;
  const takesRecords = { config, bodyLimit: broker.config.maxBodyBytes };
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  app.addContentTypeParser(ndjsonTypes, (_request, payload, done) => done(null, payload));

  app.post(
    '/topics/:topic/records',
    {
      ...takesRecords,
      schema: {
        tags: ['topics'],
        operationId: 'records.produce',
        summary: 'Append records, each to the partition that it names, that its key leads to, or any',
        params: topicParams,
        querystring: produceQuery,
        body: produceContent,
        response: produceResponses,
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const { topic } = request.params;
      const { partition, acks, key, offsets = false, results } = request.query;
      const type = request.bodyType;
      if (partition !== undefined && (type === jsonType || type === ndjsonType)) {
        throw new ServiceError(
          'BAD_REQUEST',
          `partition goes with a raw record; POST /v1/topics/${topic}/partitions/${partition}/records takes any.`,
        );
      }
      return produce(request, reply, type, { topic, partition, acks, key, offsets, results });
    },
  );

  app.post(
    '/topics/:topic/partitions/:partition/records',
    {
      ...takesRecords,
      schema: {
        tags: ['topics'],
        operationId: 'records.produceToPartition',
        summary: 'Append records to one partition',
        params: partitionParams,
        querystring: producePartitionQuery,
        body: produceContent,
        response: produceResponses,
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const { acks, key, offsets = false, results } = request.query;
      return produce(request, reply, request.bodyType, { ...request.params, acks, key, offsets, results });
    },
  );

  async function produce(request: FastifyRequest, reply: FastifyReply, type: string, parameters: ProduceParameters) {
    const head = readProduceHead(request, type, parameters);
    if (type === ndjsonType) return produceLines(request, reply, parameters, head);
    const { topic: name, key, offsets } = parameters;
    const known = await topics.get(name).catch((error: unknown) => {
      if (hasCode(error, 'UNKNOWN_TOPIC')) return undefined;
      throw error;
    });
    const limits = known ?? { name, config: effectiveConfig({}) };
    const checkBytes = (bytes: number) => checkRecordBytes(limits, bytes);
    const toProduce = await readProduceRequest(request, head, { type, key, checkBytes });
    // Only now, so that a request that is refused creates no topic.
    const produced = await logWriter.produce(
      toProduce,
      known ?? (await topicAdmin.getOrCreate(name, request.account?.creator)),
    );
    setOutcomeHeaders(reply, { replayed: produced.replayed });
    return { topic: name, results: produced.results, ...(offsets && { offsets: offsetsOf(produced) }) };
  }

  async function produceLines(
    request: FastifyRequest,
    reply: FastifyReply,
    { offsets, results }: ProduceParameters,
    head: ProduceHead,
  ) {
    const topic = await topicAdmin.getOrCreate(head.topic, request.account?.creator);
    if (head.partition !== undefined) checkPartition(topic, head.partition);
    const lines = produceStream(request.body as Readable, {
      batchBytesMax: topic.config['max.message.bytes'],
      offsets,
      deduplicationKey: head.deduplicationKey,
      countLine: (bytes) => request.countLine(bytes),
      inSteps: (steps, bytes) => request.inSteps(steps, bytes),
      hasArrived: () => request.raw.complete,
      // Waiting for each append is what bounds a stream, so it does with acks=0, too.
      append: async (records, bytes, deduplicationKey) => {
        // An upload may last for any time.
        await request.recheckAccess();
        await request.waitForRates(bytes);
        return request.withPermit(batchWeight(bytes), () =>
          logWriter.produce({ ...head, acks: head.acks === '0' ? '1' : head.acks, records, deduplicationKey }),
        );
      },
    });
    const hasLength = request.headers['content-length'] !== undefined;
    const sent = (results ?? (hasLength ? 'end' : 'live')) === 'end' ? held.hold(lines) : lines;
    return reply.type(ndjsonType).send(await bodyFromFirst(sent));
  }

  app.get(
    '/topics/:topic/partitions/:partition/records',
    {
      config: {
        access: { verb: 'read', kind: 'topics', in: 'topic' },
        admission: 'work',
        timeLimit: 'read',
        readsRecords: true,
      },
      schema: {
        tags: ['topics'],
        operationId: 'records.fetch',
        summary: 'Read records of a partition, and wait for them if need be',
        params: partitionParams,
        querystring: fetchQuery,
        response: {
          200: {
            description:
              'Records from the offset on; none at the end of the log. As NDJSON (one a line) and as batches, the offsets are in the headers Weir-Next-Offset, Weir-Log-Start-Offset, Weir-End-Offset.',
            content: {
              'application/json': { schema: fetchResponse },
              [ndjsonType]: linesResponse,
              [batchesType]: batchesResponse,
            },
          },
          ...problems('BAD_REQUEST', 'UNKNOWN_TOPIC', 'UNKNOWN_PARTITION', 'OFFSET_OUT_OF_RANGE', 'STORE_UNAVAILABLE'),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const { topic: name, partition } = request.params;
      const { offset, timestamp, maxRecords, maxBytes, minBytes, wait: waitMs } = request.query;
      if (offset !== undefined && timestamp !== undefined) {
        throw new ServiceError('BAD_REQUEST', 'Give offset or timestamp, not both.');
      }
      const onWait = () => request.permit?.release();
      const type = preferredType(request, [jsonType, ...ndjsonTypes, batchesType]);
      const form = type === batchesType ? batchesForm(request) : asRecords;
      const fetched = await signals.run(reply.raw, (signal) =>
        topics.withTopic(name, async (topic) => {
          const from =
            timestamp === undefined
              ? (offset ?? 'earliest')
              : (await logReader.offsetAt(topic, partition, timestamp)).offset;
          const fetch = { topic, partition, offset: from, maxRecords, maxBytes };
          return logReader.fetchWhenReady<FetchedContent>(fetch, form, { minBytes, waitMs, signal, onWait });
        }),
      );
      if (waitMs > 0) await request.recheckAccess();
      const { records } = fetched;
      if (records instanceof FetchedBatches) {
        return withOffsets(reply, fetched).type(type).send(batchesText(records, partition));
      }
      if (type !== jsonType) return withOffsets(reply, fetched).type(type).send(records.lines());
      return reply.type('application/json; charset=utf-8').send(fetchedJson(name, partition, { ...fetched, records }));
    },
  );

  app.get(
    '/topics/:topic/offsets',
    {
      config: {
        access: { verb: 'read', kind: 'topics', in: 'topic' },
        admission: 'work',
        timeLimit: 'read',
        itemsOf: partitionsOf(topics),
      },
      schema: {
        tags: ['topics'],
        operationId: 'topics.offsets',
        summary: 'Where the partitions begin, end, or were at a moment',
        params: topicParams,
        querystring: offsetsQuery,
        response: {
          200: { description: 'An offset of each.', content: { 'application/json': { schema: offsetsResponse } } },
          ...problems('BAD_REQUEST', 'UNKNOWN_TOPIC', 'STORE_UNAVAILABLE'),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request) => topicOffsets({ topics, logReader, logs: store.logs }, request.params.topic, request.query.at),
  );

  app.delete(
    '/topics/:topic/partitions/:partition/records',
    {
      config: { access: { verb: 'manage', kind: 'topics', in: 'topic' }, admission: 'work', timeLimit: 'none' },
      schema: {
        tags: ['topics'],
        operationId: 'records.delete',
        summary: 'Delete the records before an offset',
        params: partitionParams,
        querystring: deleteRecordsQuery,
        response: {
          200: {
            description: 'The log begins there.',
            content: { 'application/json': { schema: deleteRecordsResponse } },
          },
          ...problems(
            'BAD_REQUEST',
            'UNKNOWN_TOPIC',
            'UNKNOWN_PARTITION',
            'OFFSET_OUT_OF_RANGE',
            'IDEMPOTENCY_KEY_REUSED',
            'STORE_UNAVAILABLE',
          ),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const { topic: name, partition } = request.params;
      const idempotency = idempotencyOf(request);
      const { replayed, ...bounds } = await topics.withTopic(name, async (topic) => {
        checkPartition(topic, partition);
        return store.logs.deleteRecords(topic.topicId, partition, request.query.before, idempotency);
      });
      setOutcomeHeaders(reply, { replayed });
      return { topic: name, partition, ...bounds };
    },
  );
};

function fetchedJson(topic: string, partition: number, fetched: FetchResult): Buffer {
  const { records, nextOffset, logStartOffset, endOffset } = fetched;
  return records.enclosed(
    `{"topic":"${topic}","partition":${partition},"records":[`,
    `],"nextOffset":${nextOffset},"logStartOffset":${logStartOffset},"endOffset":${endOffset}}\n`,
  );
}

/** Sets the headers of a response that has only records in its body. */
function withOffsets(reply: FastifyReply, fetched: FetchResult<FetchedContent>): FastifyReply {
  return reply
    .header('weir-next-offset', fetched.nextOffset)
    .header('weir-log-start-offset', fetched.logStartOffset)
    .header('weir-end-offset', fetched.endOffset);
}

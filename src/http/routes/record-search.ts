// GET /v1/topics/{topic}/records: searches the partitions of a topic, for people who look for a record. The response is NDJSON: what is
// found, lines that tell the progress, and a last line from which the next search goes on.
import type { FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZodOpenApi, FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import type { z } from 'zod';
import {
  foundDefault,
  recordSearchQuery,
  recordSearchResponse,
  type SearchLine,
} from '../../../schemas/record-search.ts';
import { topicParams } from '../../../schemas/topics.ts';
import type { Broker } from '../../broker/broker.ts';
import { type SearchEvent, searchRecords } from '../../broker/log/record-search.ts';
import { positionOf, searchRanges } from '../../broker/log/search-ranges.ts';
import type { TopicInfo } from '../../broker/metadata/topic-cache.ts';
import { jsonLine } from '../../core/json-line.ts';
import { recordTest } from '../../core/records/record-match.ts';
import { ServiceError } from '../../core/service-error.ts';
import { SharedLimit } from '../../core/shared-limit.ts';
import { sendLines } from '../line-response.ts';
import { ndjsonType } from '../media-types.ts';
import { problems } from '../problems.ts';
import type { Refuse } from '../refusals.ts';

/** Searches at the same time, of which each holds some MiB while its client reads. */
export const searchesMax = 16;
const progressEveryMs = 500;
const bytesPerWeight = 48 * 1024;

interface SearchOptions {
  broker: Pick<Broker, 'logReader' | 'metrics' | 'stopping' | 'store' | 'topics'>;
  addressShare: number;
  /** A client that reads nothing for so long is disconnected, ms. */
  idleMs: number;
  refuse: Refuse;
}

export const recordSearchRoutes: FastifyPluginAsyncZodOpenApi<SearchOptions> = async (app, options) => {
  const { broker, addressShare, idleMs, refuse } = options;
  const { topics, logReader, store, stopping, metrics } = broker;
  const limit = new SharedLimit(searchesMax, addressShare);
  metrics.gauge('record_searches_in_flight', 'Searches of records in flight.', () => limit.used);

  app.get(
    '/topics/:topic/records',
    {
      exposeHeadRoute: false,
      config: { access: { verb: 'read', kind: 'topics', in: 'topic' }, admission: 'work', timeLimit: 'none' },
      schema: {
        tags: ['topics'],
        operationId: 'records.search',
        summary: 'Find records in all partitions: the newest, or those from a moment on, by key or text',
        params: topicParams,
        querystring: recordSearchQuery,
        response: {
          200: {
            description:
              'A line for each record that is found, by its timestamp as far as the search can tell; lines about its progress; and a last line `{"end":…}`. A search that fails has the problem as its last line. In each partition, records come in the order of their offsets, or the reverse.',
            content: { [ndjsonType]: { schema: recordSearchResponse } },
          },
          ...problems('BAD_REQUEST', 'UNKNOWN_TOPIC', 'UNKNOWN_PARTITION', 'TOO_MANY_REQUESTS', 'STORE_UNAVAILABLE'),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      const { query } = request;
      const { timestamp, position } = query;
      checkQuery(query);
      const { clientKey } = request;
      const reason = limit.acquire(clientKey);
      if (reason) throw refuse('searches', reason, clientKey, limit);
      reply.raw.once('close', () => limit.release(clientKey));
      const place = { partitions: query.partition, timestamp, position };
      const { topic, ranges } = await searchRanges(
        { topics, logReader, logs: store.logs },
        request.params.topic,
        place,
      );
      const backwards = timestamp === undefined;
      const found = searchRecords(logReader, {
        topic,
        ranges,
        backwards,
        count: query.last ?? query.limit ?? foundDefault,
        maxBytes: query.maxBytes,
        matches: recordTest(query),
        step: (bytes, work) => step(request, bytes, work),
        isStopped: () => stopping.aborted || reply.raw.destroyed,
      });
      // Each step takes a permit of its own.
      request.permit?.release();
      return sendLines(request, reply, linesOf(found, topic, backwards), idleMs);
    },
  );
};

/** Does one step of a search as work of its own, and checks before it whether the client may still read the topic. */
async function step<T>(request: FastifyRequest, bytes: number, work: () => Promise<T>): Promise<T> {
  await request.recheckAccess();
  return request.withPermit(1 + Math.floor(bytes / bytesPerWeight), work);
}

/** @throws ServiceError BAD_REQUEST */
function checkQuery({ last, timestamp, limit, partition, position }: z.output<typeof recordSearchQuery>): void {
  if (last !== undefined && timestamp !== undefined) {
    throw new ServiceError(
      'BAD_REQUEST',
      'Give last, for the newest records, or timestamp, for those from a moment on; not both.',
    );
  }
  if (limit !== undefined && timestamp === undefined) {
    throw new ServiceError('BAD_REQUEST', 'limit goes with timestamp; for the newest records, last is their number.');
  }
  if (partition !== undefined && position !== undefined) {
    throw new ServiceError('BAD_REQUEST', 'The position names the partitions; leave out partition.');
  }
}

async function* linesOf(
  found: AsyncGenerator<SearchEvent>,
  topic: TopicInfo,
  backwards: boolean,
): AsyncGenerator<string> {
  let toldAt = performance.now();
  for await (const event of found) {
    if (event.kind === 'record') yield `${event.json}\n`;
    else if (event.kind === 'end') {
      const next = event.next && positionOf(topic, event.next, backwards);
      yield jsonLine({ end: { ...event.progress, ...(next !== undefined && { next }) } } satisfies SearchLine);
    } else {
      if (performance.now() - toldAt < progressEveryMs) continue;
      toldAt = performance.now();
      yield jsonLine({ progress: event.progress } satisfies SearchLine);
    }
  }
}

// GET /v1/stats/stream: what this server does, each second, as server-sent events; those of the last 15 minutes come first.
import type { FastifyPluginAsyncZodOpenApi, FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import { noQuery } from '../../../schemas/common.ts';
import { type StatsSample, statsHeaders, statsSample } from '../../../schemas/stats.ts';
import type { Broker } from '../../broker/broker.ts';
import { problems } from '../problems.ts';
import { EventStreams } from '../sse.ts';

/** A sample comes each second, so none is needed; but a reader without room for samples is looked after at this interval, ms. */
const heartbeatMs = 5000;

export const statsRoutes: FastifyPluginAsyncZodOpenApi<{
  broker: Pick<Broker, 'metrics' | 'stats' | 'stopping' | 'store'>;
}> = async (app, { broker }) => {
  const { stats, stopping, metrics } = broker;
  const streams = new EventStreams(app, { stopping, sessions: broker.store.sessions }, heartbeatMs);
  metrics.gauge('stats_streams_open', 'Open streams of statistics.', () => streams.size);

  app.get(
    '/stats/stream',
    {
      exposeHeadRoute: false,
      config: { access: 'metrics', admission: 'stream', timeLimit: 'none' },
      schema: {
        tags: ['operation'],
        operationId: 'stats.stream',
        summary: 'What this server does, each second, as server-sent events; the last 15 minutes come first',
        description:
          'Each message is a StatsSample with its time as `id`. Of a server with several workers it is the sum. Requests, records, connections, sockets and watches are those of this server; sessions, memory and lag those of the cluster. A reader that does not take them misses samples.',
        querystring: noQuery,
        headers: statsHeaders,
        response: {
          200: { description: 'Samples, one a message.', content: { 'text/event-stream': { schema: statsSample } } },
          ...problems('BAD_REQUEST', 'FORBIDDEN', 'STORE_UNAVAILABLE'),
        },
      } satisfies FastifyZodOpenApiSchema,
    },
    async (request, reply) => {
      let stopFollowing = (): void => undefined;
      const stream = streams.open(reply, { onHeartbeat: () => undefined, onEnd: () => stopFollowing() });
      const send = (sample: StatsSample) => {
        const lag = sample.lag.filter(({ group }) => request.may('use', 'groups', group));
        stream.send(sample.at, JSON.stringify({ ...sample, lag }));
      };
      stream.begin();
      const lastId = Number(request.headers['last-event-id'] ?? 0);
      for (const sample of stats.since(Number.isFinite(lastId) ? lastId : 0)) send(sample);
      // What a slow reader has no room for is old by the time that it has.
      stopFollowing = stats.follow((sample) => {
        if (!stream.room()) send(sample);
      });
      if (stream.hasEnded) stopFollowing();
      return reply;
    },
  );
};

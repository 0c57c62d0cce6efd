// The WebSocket /v1/socket (subprotocol weir.v1): every operation of clients on one connection, pipelined and in order.
import type { FastifyPluginAsyncZodOpenApi, FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import { z } from 'zod';
import { socketProtocol } from '../../../schemas/socket.ts';
import type { Broker } from '../../broker/broker.ts';
import { offeredBy } from '../../core/handshake.ts';
import { ServiceError } from '../../core/service-error.ts';
import { SharedLimit } from '../../core/shared-limit.ts';
import type { Turns } from '../frames-in-flight.ts';
import type { PipelineLimits } from '../limits.ts';
import { BookmarkTimer, type WatchLimit } from '../socket-watches.ts';
import type { Sockets } from '../sockets.ts';
import { Dispatcher } from './dispatcher.ts';
import { type LogBroker, LogRequests } from './log-requests.ts';
import { PipelineMetrics } from './pipeline-metrics.ts';
import type { PipelineParts, WorkPermits } from './pipeline-parts.ts';
import { PipelinedSocket } from './pipelined-socket.ts';
import { SharedReads } from './read-budget.ts';
import type { SessionBroker } from './socket-session.ts';
import { TreeRequests } from './tree-requests.ts';

/** What the pipelined sockets use of the broker. */
type PipelineBroker = SessionBroker &
  LogBroker &
  Pick<Broker, 'localNodes' | 'metrics' | 'watches' | 'log'> & { store: Pick<Broker['store'], 'namespace'> };

interface Options {
  broker: PipelineBroker;
  sockets: Sockets;
  permits: WorkPermits;
  turns: Turns;
  watchLimit: WatchLimit;
  limits: PipelineLimits;
  /** The part of a limit that one client may use while no other does. */
  addressShare: number;
}

export const pipelinedSockets: FastifyPluginAsyncZodOpenApi<Options> = async (
  app,
  { broker, sockets, permits, turns, watchLimit, limits, addressShare },
) => {
  const bookmarks = new BookmarkTimer();
  const frameBytes = new SharedLimit(limits.bytesOfAllMax, addressShare);
  const parts: PipelineParts = {
    broker,
    sockets,
    permits,
    turns,
    watchLimit,
    limits,
    bookmarks,
    frameBytes,
    reads: new SharedReads(limits.readBytesOfAllMax, (path) => broker.store.namespace.sizes.of(path)),
    dispatcher: new Dispatcher(limits.requestsPerTurn),
    tree: new TreeRequests(broker.store.namespace, broker.localNodes),
    logs: new LogRequests(broker),
    metrics: new PipelineMetrics(broker.metrics, broker.log, frameBytes),
  };
  app.addHook('onClose', async () => bookmarks.stop());

  app.route({
    method: 'GET',
    url: '/socket',
    exposeHeadRoute: false,
    config: { access: 'operation', admission: 'work', timeLimit: 'none' },
    schema: {
      tags: ['operation'],
      operationId: 'socket',
      summary: 'Pipelined requests over a WebSocket, whose frames are in asyncapi.yaml',
      description: `Subprotocol \`${socketProtocol}\`. A frame to the server is a request or a list of them; a frame from it is a response, a list of them, or an event. asyncapi.yaml describes all sockets.`,
      querystring: z.strictObject({}),
      response: { 101: { description: 'The connection is a WebSocket now.' } },
    } satisfies FastifyZodOpenApiSchema,
    preValidation: (request, _reply, done) => done(protocolProblem(request.headers['sec-websocket-protocol'])),
    handler: () => {
      throw new ServiceError(
        'BAD_REQUEST',
        'This is a WebSocket: connect with ws:// or wss://; if that was done, a proxy between has removed the header Upgrade. Each operation is also there over HTTP.',
      );
    },
    wsHandler: (ws, request) => void new PipelinedSocket(ws, request, parts),
  });
};

/** Refuses a handshake that offers only other subprotocols. One that offers none is accepted. */
function protocolProblem(header: string | undefined): ServiceError | undefined {
  if (header === undefined) return undefined;
  const { protocols } = offeredBy(header);
  if (protocols.includes(socketProtocol)) return undefined;
  return new ServiceError(
    'BAD_REQUEST',
    `The handshake offers the subprotocols ${JSON.stringify(protocols.join(', ').slice(0, 200))}; this socket speaks ${socketProtocol}.`,
  );
}

// The HTTP application of one broker: every Fastify option and plugin. The tests build the same one.
import { randomUUID } from 'node:crypto';
import type { Server, ServerOptions } from 'node:http';
import { hostname } from 'node:os';
import type { TlsOptions } from 'node:tls';
import fastifyWebsocket from '@fastify/websocket';
import Fastify, { type FastifyBaseLogger, type FastifyInstance, type FastifyRequest, LogController } from 'fastify';
import type { Broker } from './broker/broker.ts';
import { inNetworks } from './config/networks.ts';
import { createConnectionRefusal } from './http/connection-errors.ts';
import { HeldResults } from './http/held-results.ts';
import { kafkaRestRoutes } from './http/kafka-rest/kafka-rest.ts';
import { withoutSlashAtEnd } from './http/kafka-rest/trailing-slash.ts';
import { LargeSteps } from './http/large-steps.ts';
import { LateLogger } from './http/late-logger.ts';
import {
  type AdmissionLimits,
  bodiesBytesMax,
  type ConnectionLimits,
  defaultAdmissionLimits,
  defaultConnectionLimits,
  defaultHttpTimeouts,
  type HttpTimeouts,
  headBytesMax,
} from './http/limits.ts';
import { LingeringClose } from './http/lingering-close.ts';
import { memberCredentialOf } from './http/member-header.ts';
import { accessCheck } from './http/plugins/access.ts';
import { admission } from './http/plugins/admission.ts';
import { bodies } from './http/plugins/bodies.ts';
import { bodyBytesLimit } from './http/plugins/body-bytes-limit.ts';
import { bodyType } from './http/plugins/body-type.ts';
import { cacheControl } from './http/plugins/cache-control.ts';
import { client } from './http/plugins/client.ts';
import { connectionLimit } from './http/plugins/connection-limit.ts';
import { Connections, pipelining } from './http/plugins/connections.ts';
import { cors } from './http/plugins/cors.ts';
import { drain } from './http/plugins/drain.ts';
import { earlyResponses } from './http/plugins/early-response.ts';
import { effectGuard } from './http/plugins/effect-guard.ts';
import { errorHandler, notFoundHandler, refuseUrl } from './http/plugins/error-handler.ts';
import { hostCheck } from './http/plugins/host.ts';
import { identityLimits } from './http/plugins/identity-limits.ts';
import { jsonResponses } from './http/plugins/json-responses.ts';
import { largeReads } from './http/plugins/large-reads.ts';
import { largeSteps } from './http/plugins/large-steps.ts';
import { originCheck } from './http/plugins/origin.ts';
import { requestHeadCheck } from './http/plugins/request-head.ts';
import { requestLog } from './http/plugins/request-log.ts';
import { securityHeaders } from './http/plugins/security-headers.ts';
import { sessionHeader } from './http/plugins/session-header.ts';
import { slowSenders } from './http/plugins/slow-senders.ts';
import { startCheck } from './http/plugins/start-check.ts';
import { timeLimit } from './http/plugins/time-limit.ts';
import { tlsOfPort } from './http/plugins/tls.ts';
import { unreadReaders } from './http/plugins/unread-readers.ts';
import { unreadResponses } from './http/plugins/unread-responses.ts';
import { isWebSocketUpgrade, sortUpgrades, upgradeCheck } from './http/plugins/upgrades.ts';
import { schemaController } from './http/plugins/validation.ts';
import { createRefusal } from './http/refusals.ts';
import { routeConfig } from './http/route-config.ts';
import { accessRoutes } from './http/routes/access.ts';
import { accessTokenRoutes } from './http/routes/access-tokens.ts';
import { clusterRoutes } from './http/routes/cluster.ts';
import { consoleRoutes } from './http/routes/console.ts';
import { discoveryRoutes } from './http/routes/discovery.ts';
import { docsRoutes } from './http/routes/docs.ts';
import { eventsRoutes } from './http/routes/events.ts';
import { fencesRoutes } from './http/routes/fences.ts';
import { groupOffsetsRoutes } from './http/routes/group-offsets.ts';
import { groupsRoutes } from './http/routes/groups.ts';
import { multiRoutes } from './http/routes/multi.ts';
import { nodesRoutes } from './http/routes/nodes.ts';
import { operationRoutes } from './http/routes/operation.ts';
import { partitionsRoutes } from './http/routes/partitions.ts';
import { producersRoutes } from './http/routes/producers.ts';
import { recordSearchRoutes } from './http/routes/record-search.ts';
import { recordsRoutes } from './http/routes/records.ts';
import { sessionsRoutes } from './http/routes/sessions.ts';
import { statsRoutes } from './http/routes/stats.ts';
import { topicTailRoutes } from './http/routes/topic-tail.ts';
import { topicsRoutes } from './http/routes/topics.ts';
import { transferRoutes } from './http/routes/transfers.ts';
import { watchStreamRoutes } from './http/routes/watch-stream.ts';
import { takeTickets } from './http/tickets.ts';
import { waitingSessions } from './http/waiting-session.ts';
import type { StoredLimits } from './store/stored-limits.ts';
import type { ServerTls } from './tls/server-tls.ts';
import { groupSockets } from './ws/group.ts';
import { defaultPipelineLimits, type PipelineLimits, socketPayloadBytesMax } from './ws/limits.ts';
import { pipelinedSockets } from './ws/pipeline/pipeline.ts';
import { selectProtocol } from './ws/protocols.ts';
import { refusedSockets } from './ws/refused-sockets.ts';
import { handleSocketError } from './ws/socket-errors.ts';
import { Sockets } from './ws/sockets.ts';
import { serveTopicTail } from './ws/topic-tail.ts';
import { watchSockets } from './ws/watch.ts';

/** Limits of a broker: admission, timeouts of clients, connections, and what may be stored. */
export interface Limits {
  admission: AdmissionLimits;
  timeouts: HttpTimeouts;
  connections: ConnectionLimits;
  pipeline: PipelineLimits;
  /** The defaults if absent. */
  stored?: StoredLimits;
}

export const defaultLimits: Limits = {
  admission: defaultAdmissionLimits,
  timeouts: defaultHttpTimeouts,
  connections: defaultConnectionLimits,
  pipeline: defaultPipelineLimits,
};

/**
 * Builds the application, ready to listen.
 * @param describe called before the routes are registered, to collect their descriptions
 * @param tls the certificate to serve with; absent: plain HTTP
 */
export async function buildApp(
  broker: Broker,
  overrides: Partial<Limits> = {},
  describe?: (app: FastifyInstance) => Promise<void>,
  tls?: ServerTls,
): Promise<FastifyInstance> {
  const limits = { ...defaultLimits, ...overrides };
  const { config } = broker;
  const connections = new Connections(limits.connections.pipelinedMax, broker.metrics);
  const lingering = new LingeringClose(limits.connections.lingering);
  const trusts = config.trustProxy.length > 0 ? inNetworks(config.trustProxy) : undefined;
  const nodeOptions: ServerOptions = {
    headersTimeout: limits.timeouts.headMs,
    connectionsCheckingInterval: limits.timeouts.checkIntervalMs,
    maxHeaderSize: headBytesMax,
    // Node would respond with a status and no body; http/plugins/request-head.ts says what is missing.
    requireHostHeader: false,
    // Newer Node than 20 only: Node 20 ignores it and emits `upgrade` for every request with Upgrade (http/plugins/upgrades.ts).
    ...({ shouldUpgradeCallback: isWebSocketUpgrade } as ServerOptions),
  };
  const app: FastifyInstance = Fastify({
    loggerInstance: new LateLogger(broker.log as FastifyBaseLogger) as FastifyBaseLogger,
    // The log line of a request names its route, never its URL: handles of sessions stand in URLs (guarantee E4).
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'requestId' }),
    genReqId: () => randomUUID(),
    requestIdHeader: 'x-request-id',
    bodyLimit: config.maxBodyBytes,
    schemaController,
    frameworkErrors: refuseUrl,
    clientErrorHandler: createConnectionRefusal(connections, lingering, broker.log),
    // A node's path may be as long as a URL; Node's own limit on headers bounds both.
    routerOptions: { maxParamLength: 16 * 1024, ignoreTrailingSlash: false, caseSensitive: true },
    ...(config.kafkaRest && { rewriteUrl: withoutSlashAtEnd }),
    // Requests in flight are completed; idle connections are closed at once.
    forceCloseConnections: 'idle',
    // Fastify's own 503 while it closes is not a problem of the catalogue; http/plugins/drain.ts sends one.
    return503OnClosing: false,
    keepAliveTimeout: limits.timeouts.keepAliveMs,
    ...(trusts && { trustProxy: trusts }),
    ...(tls
      ? { https: { ...nodeOptions, ...tlsOptions(tls, limits.timeouts) } as unknown as null }
      : { http: nodeOptions }),
    // A body may be streamed for any time; http/plugins/slow-senders.ts ends those that stall.
    requestTimeout: 0,
    // A connection without traffic may be waiting for the response to a long poll.
    connectionTimeout: 0,
  });

  // Before all that looks at connections.
  if (tls) await app.register(tlsOfPort, { tls, metrics: broker.metrics });
  connections.attach(app.server);
  const webSockets = sortUpgrades(app.server, connections);
  takeTickets(app.server, webSockets);
  // Before the plugin that closes all sockets: some finish what is in flight first.
  const steps = new LargeSteps(limits.admission, broker.metrics);
  const sockets = new Sockets(broker, steps);
  app.addHook('preClose', () => sockets.drained());
  // Before every hook that may refuse a request: this plugin closes the connection of a refused upgrade.
  await app.register(fastifyWebsocket, {
    // The plugin only listens for `upgrade` on the server that it is given.
    options: { server: webSockets as Server, maxPayload: socketPayloadBytesMax, handleProtocols: selectProtocol },
    errorHandler: handleSocketError,
  });
  // Their onRequest hooks run in this order: first those that every response relies on, then the refusals that cost least, then those
  // that count or wait. Requests of one connection are put in order before anything else may wait. Origins are checked before effects,
  // which rely on it. The session is renewed last on arrival, once nothing in the head refuses the request, and before its body is read.
  const { metrics, log } = broker;
  const { sessions } = broker.store;
  const { addressShare } = config;
  const refuse = createRefusal(metrics, log);
  await app.register(routeConfig);
  await app.register(requestLog, { metrics, requests: broker.requestDurations, log });
  await app.register(securityHeaders);
  await app.register(pipelining, { connections });
  await app.register(upgradeCheck);
  await app.register(bodyType);
  await app.register(refusedSockets, { webSockets, metrics });
  await app.register(errorHandler, { log, refuseSocket: app.refuseSocket });
  await app.register(cacheControl);
  await app.register(cors, { allowed: config.corsOrigins });
  await app.register(drain, { broker, webSockets });
  await app.register(startCheck, { broker });
  await app.register(jsonResponses);
  await app.register(earlyResponses, { lingering, limits: limits.connections.lingering, metrics });
  await app.register(client, { trusts });
  await app.register(accessCheck, { access: broker.access, tls });
  await app.register(connectionLimit, {
    connections,
    connectionsMax: config.maxConnections,
    spare: limits.connections.spare,
    addressShare,
    trusts,
    refuse,
    metrics,
    log,
  });
  const { timeouts } = limits;
  const { responsesBytesMax, readersBytesMax, reservedBodiesBytesMax } = limits.admission;
  await app.register(unreadResponses, { bytesMax: responsesBytesMax, addressShare, timeouts, metrics, log });
  await app.register(identityLimits, { access: broker.access });
  await app.register(unreadReaders, { bytesMax: readersBytesMax, addressShare, metrics, log });
  await app.register(bodyBytesLimit, {
    bytesMax: bodiesBytesMax(limits.admission, config.maxBodyBytes),
    reservedBytesMax: reservedBodiesBytesMax,
    refuse,
    metrics,
  });
  await app.register(admission, {
    limits: limits.admission,
    addressShare,
    accounts: broker.access.accounts,
    refuse,
    keepMember: (request: FastifyRequest, group: string, member: string) =>
      broker.groupConsumer.keepAlive(group, member, memberCredentialOf(request)),
    metrics,
  });
  await app.register(slowSenders, { timeouts, metrics });
  const { replyMs } = broker.store.connection.timeouts;
  await app.register(timeLimit, { replyMs });
  await app.register(largeReads, { limits: limits.admission, replyMs, refuse, metrics });
  const names = { machine: hostname(), advertisedUrl: config.advertisedUrl, allowed: config.allowedHosts };
  await app.register(hostCheck, { names, metrics, log });
  await app.register(originCheck, { metrics, log });
  await app.register(requestHeadCheck);
  await app.register(effectGuard);
  await app.register(notFoundHandler);
  await app.register(bodies, { bodyBytesMax: config.maxBodyBytes });
  await app.register(largeSteps, { steps, waitMsMax: limits.admission.requestWaitMsMax, refuse });
  await app.register(sessionHeader, { sessions });
  await app.register(waitingSessions, { sessions });
  await describe?.(app);

  await app.register(discoveryRoutes, { broker });
  const versioned = { prefix: '/v1', broker };
  const transfers = { ...versioned, addressShare, idleMs: timeouts.responseIdleMs, refuse };
  await app.register(nodesRoutes, transfers);
  await app.register(transferRoutes, transfers);
  await app.register(fencesRoutes, versioned);
  await app.register(multiRoutes, versioned);
  await app.register(sessionsRoutes, versioned);
  await app.register(accessRoutes, versioned);
  await app.register(accessTokenRoutes, versioned);
  await app.register(clusterRoutes, versioned);
  await app.register(topicsRoutes, versioned);
  await app.register(partitionsRoutes, versioned);
  const held = new HeldResults(limits.connections.heldResults);
  broker.metrics.gauge(
    'held_results_bytes',
    'Results of NDJSON held back until its body has been read.',
    () => held.bytes,
  );
  await app.register(recordsRoutes, { ...versioned, held });
  await app.register(recordSearchRoutes, transfers);
  await app.register(producersRoutes, versioned);
  await app.register(groupsRoutes, versioned);
  await app.register(groupOffsetsRoutes, versioned);
  await app.register(watchStreamRoutes, versioned);
  await app.register(eventsRoutes, versioned);
  if (config.kafkaRest) await app.register(kafkaRestRoutes, { broker, held });
  await app.register(statsRoutes, versioned);
  await app.register(operationRoutes, { broker });
  await app.register(docsRoutes);
  await app.register(consoleRoutes, { mode: config.console });

  const { enter, keepSession, commit, reserved, watches } = app.admission;
  await app.register(watchSockets, { ...versioned, sockets, limit: watches, keepSession });
  await app.register(groupSockets, {
    ...versioned,
    sockets,
    withPermit: (client, work) => reserved.withPermit(client, work),
  });
  await app.register(pipelinedSockets, {
    ...versioned,
    sockets,
    permits: { enter, keepSession, commit },
    watchLimit: watches,
    turns: steps,
    limits: limits.pipeline,
    addressShare,
  });
  // One URL serves both server-sent events and WebSockets; the two modules do not import each other.
  await app.register(topicTailRoutes, {
    ...versioned,
    takeSocket: (ws, opening, request) => serveTopicTail(ws, opening, request, broker.topicTails, sockets),
  });
  await app.ready();
  return app;
}

/** What a server with TLS has besides its identity. */
function tlsOptions(tls: ServerTls, { headMs }: HttpTimeouts): TlsOptions & { allowHalfOpen: boolean } {
  return {
    ...tls.options,
    // As long as the head of a request may take.
    handshakeTimeout: headMs,
    // As without TLS: a client that has closed its half still gets its responses.
    allowHalfOpen: true,
  };
}

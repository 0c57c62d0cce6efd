// Limits the bytes of request bodies in memory (../body-bytes.ts). A body counts as it arrives, until its response has ended.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import type { Metrics } from '../../broker/metrics.ts';
import { BodyBytes, type CountedBody } from '../body-bytes.ts';
import { bodyBytesUsual } from '../limits.ts';
import type { Refuse } from '../refusals.ts';
import { isReserved, isUpload, routeOf } from '../route-config.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** The bytes of its body that count; undefined if it has no body. */
    countedBody: CountedBody | undefined;
    /**
     * Sets how many bytes of the current line of an NDJSON stream count as in memory; 0 if none.
     * @throws ServiceError TOO_MANY_REQUESTS
     */
    countLine(bytes: number): void;
  }
}

interface BodyBytesLimitOptions {
  /** How many bytes of bodies may be in memory, and how many of requests for the reserved capacity. */
  bytesMax: number;
  reservedBytesMax: number;
  refuse: Refuse;
  metrics: Metrics;
}

async function installBodyBytesLimit(
  app: FastifyInstance,
  { bytesMax, reservedBytesMax, refuse, metrics }: BodyBytesLimitOptions,
): Promise<void> {
  const bodies = new BodyBytes(bytesMax);
  /** Bodies of requests for the reserved capacity: large bodies of other requests must not delay them. */
  const reservedBodies = new BodyBytes(reservedBytesMax);
  metrics.gauges('body_bytes_in_flight', 'Bytes of bodies in memory, by capacity.', ['kind'], () => [
    { labels: { kind: 'requests' }, value: bodies.used },
    { labels: { kind: 'reserved' }, value: reservedBodies.used },
  ]);
  app.decorateRequest('countedBody', undefined);
  app.decorateRequest('countLine', function countLine(this: FastifyRequest, bytes: number) {
    const { countedBody: body } = this;
    if (!body) return;
    if (bytes === 0) bodies.remove(body);
    else if (!bodies.add(body, bytes - body.bytes))
      throw refuse('bodies', 'total', body.clientKey, `at most ${bodies.max} bytes`);
  });
  const bodiesOf = (request: FastifyRequest) => (isReserved(routeOf(request)) ? reservedBodies : bodies);
  app.onClosed((request) => {
    if (request.countedBody) bodiesOf(request).remove(request.countedBody);
  });
  app.addHook('preParsing', (request, _reply, payload, done) => {
    const { headers, raw, clientKey: client } = request;
    const announced = Number(headers['content-length'] ?? (headers['transfer-encoding'] ? Number.NaN : 0));
    if (announced === 0) return done(null, payload);
    const to = bodiesOf(request);
    const body: CountedBody = {
      clientKey: client,
      bytes: 0,
      get isArriving() {
        return !raw.complete;
      },
      giveUp: () => fail('address'),
    };
    const fail = (reason: 'total' | 'address') => {
      raw.off('data', onData);
      raw.emit('error', refuse('bodies', reason, client, `at most ${to.max} bytes`));
    };
    const onData = (piece: Buffer) => {
      if (!to.add(body, piece.length)) fail('total');
    };
    request.countedBody = body;
    // An NDJSON stream is never in memory as a whole: its reader counts the current line (countLine).
    if (isUpload(request)) return done(null, payload);
    if (announced <= bodyBytesUsual) {
      const error = to.add(body, announced) ? null : refuse('bodies', 'total', client, `at most ${to.max} bytes`);
      return done(error, payload);
    }
    // Bytes of a large body count as they arrive: announced bytes use no memory. No byte is missed, as the parser begins in this turn.
    raw.on('data', onData);
    done(null, payload);
  });
}

export const bodyBytesLimit = fp(installBodyBytesLimit, {
  name: 'body-bytes-limit',
  fastify: '5.x',
  dependencies: ['route-config', 'body-type', 'client', 'pipelining'],
});

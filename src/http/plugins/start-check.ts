// The server listens before the store can be used. Until then the API and /health/ready are refused with the reason, while liveness,
// metrics and documentation are served.
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import type { Broker } from '../../broker/broker.ts';
import { isPreflight } from './cors.ts';

async function installStartCheck(
  app: FastifyInstance,
  { broker }: { broker: Pick<Broker, 'startProblem'> },
): Promise<void> {
  app.addHook('onRequest', (request, _reply, done) => {
    const needsStore = request.url.startsWith('/v1') || request.routeConfig.needsStore === true;
    done(needsStore && !isPreflight(request) ? broker.startProblem : undefined);
  });
}

export const startCheck = fp(installStartCheck, {
  name: 'start-check',
  fastify: '5.x',
  dependencies: ['route-config', 'cors'],
});

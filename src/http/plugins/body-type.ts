// Reads the media type of each request once, on arrival.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { mediaTypeOf } from '../media-types.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** The type of the body, as mediaTypeOf(); '' if there is no body, or its sender gave no type. */
    bodyType: string;
  }
}

async function installBodyType(app: FastifyInstance): Promise<void> {
  app.decorateRequest('bodyType', '');
  app.addHook('onRequest', (request, _reply, done) => {
    const { headers, routeConfig } = request;
    if (headers['content-type'] === undefined) return done();
    // Many clients send a Content-Type without a body.
    const isUntyped = hasNoBody(request) && routeConfig.takesBytes !== true;
    if (headers['content-type'] === '' || isUntyped) delete headers['content-type'];
    else request.bodyType = mediaTypeOf(headers['content-type']);
    done();
  });
}

export const bodyType = fp(installBodyType, { name: 'body-type', fastify: '5.x' });

/** Whether the head of the request announces no body; a chunked body may still be empty. */
export function hasNoBody({ headers }: FastifyRequest): boolean {
  return headers['transfer-encoding'] === undefined && Number(headers['content-length'] ?? 0) === 0;
}

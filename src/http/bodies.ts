// How bodies may come: as they are, and JSON as UTF-8, which is taken as it was meant or not at all.
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { withoutHandles } from '../core/issues.ts';
import { syntaxProblemOf } from '../core/json-scanner.ts';
import { ServiceError } from '../core/service-error.ts';

export function installBodies(app: FastifyInstance): void {
  // A body is JSON unless a plugin takes other types; Fastify would also take text, and call it a malformed object.
  app.removeAllContentTypeParsers();
  const parseJson = app.getDefaultJsonParser('error', 'error');
  // Fastify's own would put U+FFFD in the place of bytes that are no UTF-8, and nobody would know.
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body: Buffer, done) => {
    if (!isUtf8(body)) return done(new ServiceError('BAD_REQUEST', 'The body is not valid UTF-8, as JSON has to be.'));
    const text = body.toString();
    parseJson(request, text, (error, value) => done(error && text !== '' ? malformed(text) : error, value));
  });

  app.addHook('onRequest', (request, reply, done) => {
    const coding = request.headers['content-encoding'];
    if (coding === undefined || coding === 'identity') return done();
    // Kept as it is it would come back without a word of how it was packed.
    reply.header('accept-encoding', 'identity');
    const detail = `Bodies with Content-Encoding: ${coding} are not unpacked here; send the body as it is, without Content-Encoding.`;
    done(new ServiceError('UNSUPPORTED_MEDIA_TYPE', detail));
  });

  // Node answers 100-continue by itself, and what else is expected with an empty 417.
  app.server.on('checkExpectation', ({ headers }: IncomingMessage, response: ServerResponse) => {
    const problem = new ServiceError('BAD_REQUEST', `Expect: ${headers.expect} is not known; 100-continue is.`);
    response.writeHead(problem.status, { 'content-type': 'application/problem+json', connection: 'close' });
    response.end(JSON.stringify(problem.toProblem()));
  });
}

/** What Fastify's parser refuses without a word of why: no JSON, or members by which a copy of the object gets another prototype. */
function malformed(text: string): ServiceError {
  const problem = syntaxProblemOf(text);
  if (problem !== undefined) return new ServiceError('BAD_REQUEST', `The body ${withoutHandles(problem)}.`);
  return new ServiceError(
    'BAD_REQUEST',
    "The body has a field '__proto__', or a 'constructor' with a 'prototype': nothing here takes one; leave it out.",
  );
}

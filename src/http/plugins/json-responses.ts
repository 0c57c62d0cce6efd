// How JSON responses are written: each ends with a line feed, so that a shell's prompt begins on a line of its own, and `?pretty`, which
// every route takes, indents.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { queryFlag } from '../../../schemas/common.ts';
import { indentedJson } from '../../core/indented-json.ts';
import { jsonLine } from '../../core/json-line.ts';
import { ServiceError } from '../../core/service-error.ts';

/** A larger response is not indented: it is not for people, and indenting it would keep other requests waiting. */
export const prettyBytesMax = 1024 * 1024;

declare module 'fastify' {
  interface FastifyRequest {
    /** Whether the client asked for an indented response. */
    isPretty: boolean;
  }
  interface FastifyReply {
    /** Whether the body is what a client has stored, and is sent as it is. */
    isStoredContent: boolean;
  }
}

async function installJsonResponses(app: FastifyInstance): Promise<void> {
  app.decorateRequest('isPretty', false);
  app.decorateReply('isStoredContent', false);
  app.setReplySerializer(jsonLine);

  // The parameter is taken out, as routes refuse what they do not know.
  app.addHook('onRequest', (request, _reply, done) => {
    const query = request.query as Record<string, unknown>;
    if (query.pretty === undefined) return done();
    const flag = queryFlag.safeParse(query.pretty);
    delete query.pretty;
    if (!flag.success)
      return done(new ServiceError('BAD_REQUEST', 'pretty must be true or false, or be without a value.'));
    request.isPretty = flag.data;
    done();
  });

  app.addHook('onSend', (request, reply, payload, done) => {
    if (!request.isPretty || reply.isStoredContent || !isJson(reply.getHeader('content-type')))
      return done(null, payload);
    const isText = typeof payload === 'string' || Buffer.isBuffer(payload);
    done(null, isText && payload.length <= prettyBytesMax ? indentedFor(request, payload.toString()) : payload);
  });
}

export const jsonResponses = fp(installJsonResponses, { name: 'json-responses', fastify: '5.x' });

/** The JSON of a small response, indented if the client asked for that. */
export function indentedFor({ isPretty }: FastifyRequest, json: string): string {
  return isPretty ? `${indentedJson(json)}\n` : json;
}

function isJson(contentType: unknown): boolean {
  return /^application\/(problem\+)?json(;|$)/.test(String(contentType));
}

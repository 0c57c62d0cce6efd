// Validates requests by their zod schemas, and serialises responses. A parameter or member that a schema does not name is refused.
import type { FastifySchema, FastifyServerOptions } from 'fastify';
import type { FastifySchemaCompiler, FastifySerializerCompiler } from 'fastify/types/schema.js';
import type { z } from 'zod';
import { describeIssues, parseOptions, readInput } from '../../core/issues.ts';
import { jsonLine } from '../../core/json-line.ts';
import { recentlyUsed } from '../../core/recently-used.ts';
import { ServiceError } from '../../core/service-error.ts';

const places: Record<string, string> = { querystring: 'query', params: 'path', body: 'body', headers: 'header' };

const emptyBody = 'The body is empty; this request needs a JSON body. See /docs for its members.';

/** Schemas for the OpenAPI document only: the route parses these headers, or this body, itself. */
const described = new WeakSet<object>();

/**
 * Marks a schema of headers or of a body as a description only, and returns it. The route parses them itself: validation would copy all
 * headers of every request, and records stay as they were written.
 */
export function onlyDescribed<S extends z.ZodType>(schema: S): S {
  described.add(schema);
  return schema;
}

/** Results of short queries, of which clients send few different ones: to look one up costs a tenth of its validation. */
const knownQueries = () => recentlyUsed<{ value: unknown }>(100);

const keyLengthMax = 100;

/** A query as text, if it is short; undefined if not. */
function keyOf(query: Readonly<Record<string, unknown>>): string | undefined {
  let key = '';
  for (const name in query) {
    const value = query[name];
    if (typeof value !== 'string' || key.length + name.length + value.length > keyLengthMax) return undefined;
    // Each text has its length before it, so that no two queries have the same key.
    key += `${name.length} ${value.length} ${name}${value}`;
  }
  return key;
}

/** Requests share it, and its lists. */
function frozen(query: object): unknown {
  for (const value of Object.values(query)) Object.freeze(value);
  return Object.freeze(query);
}

const validatorCompiler: FastifySchemaCompiler<FastifySchema> = ({ schema, httpPart }) => {
  const zodSchema = schema as unknown as z.ZodType;
  if (described.has(zodSchema)) return () => true;
  const known = httpPart === 'querystring' ? knownQueries() : undefined;
  return (data: unknown) => {
    const key = known && keyOf(data as Readonly<Record<string, unknown>>);
    const found = key === undefined ? undefined : known?.get(key);
    if (found) return found;
    if (httpPart === 'body' && data !== null) {
      try {
        return { value: readInput(zodSchema, data, 'body') };
      } catch (error) {
        return { error: error as Error };
      }
    }
    const result = zodSchema.safeParse(data, parseOptions);
    if (result.success) {
      if (key === undefined) return { value: result.data };
      const valid = { value: frozen(result.data as object) };
      known?.set(key, valid);
      return valid;
    }
    // The router passes null if there is no body.
    if (httpPart === 'body' && data === null) return { error: new ServiceError('BAD_REQUEST', emptyBody) };
    return { error: new ServiceError('BAD_REQUEST', describeIssues(result.error, places[httpPart ?? ''])) };
  };
};

/** Responses are not validated at run time: the tests check them against their schemas. */
const serializerCompiler: FastifySerializerCompiler<FastifySchema> = () => jsonLine;

type SchemaController = NonNullable<FastifyServerOptions['schemaController']>;

/**
 * For Fastify's option of this name. Given there, Fastify does not load its own compilers, of which none would be used. Its types know
 * schemas of those only.
 */
export const schemaController = {
  compilersFactory: { buildValidator: () => validatorCompiler, buildSerializer: () => serializerCompiler },
} as unknown as SchemaController;

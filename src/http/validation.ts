// How zod schemas check what comes in, and how answers go out. What a schema does not name is refused with its name.
import type { FastifyInstance, FastifySchema } from 'fastify';
import type { FastifySchemaCompiler, FastifySerializerCompiler } from 'fastify/types/schema.js';
import type { z } from 'zod';
import { describeIssues } from '../core/issues.ts';
import { ServiceError } from '../core/service-error.ts';

const places: Record<string, string> = { querystring: 'query', params: 'path', body: 'body', headers: 'header' };

const validatorCompiler: FastifySchemaCompiler<FastifySchema> = ({ schema, httpPart }) => {
  const zodSchema = schema as unknown as z.ZodType;
  return (data: unknown) => {
    const result = zodSchema.safeParse(data);
    if (result.success) return { value: result.data };
    return { error: new ServiceError('BAD_REQUEST', describeIssues(result.error, places[httpPart ?? ''])) };
  };
};

/** Answers are built by our own code and held to their schemas by the tests; checking each again would cost more than it finds. */
const serializerCompiler: FastifySerializerCompiler<FastifySchema> = () => (data) => JSON.stringify(data);

export function installValidation(app: FastifyInstance): void {
  app.setValidatorCompiler(validatorCompiler as FastifySchemaCompiler<unknown>);
  app.setSerializerCompiler(serializerCompiler as FastifySerializerCompiler<unknown>);
}

// The error responses of a route, for its OpenAPI description.
import type { z } from 'zod';
import { type ErrorCode, errorCatalogue, problemSchema } from '../../schemas/errors.ts';

const codesOf = new WeakMap<object, readonly ErrorCode[]>();

/** Whether a route that declares these responses declares the code. */
export function declaresCode(responses: unknown, code: ErrorCode): boolean {
  return Object.values(responses ?? {}).some((response: object) => codesOf.get(response)?.includes(code));
}

/** Groups codes by status: `response: { 200: …, ...problems('NO_NODE', 'BAD_VERSION') }`. */
export function problems(...codes: ErrorCode[]) {
  const responses: Record<
    `${4 | 5}${string}`,
    { description: string; content: { 'application/problem+json': { schema: z.ZodType } } }
  > = {};
  for (const status of new Set(codes.map((code) => errorCatalogue[code].status))) {
    const here = codes.filter((code) => errorCatalogue[code].status === status);
    const response = {
      description: here.map((code) => `\`${code}\`: ${errorCatalogue[code].summary}`).join(' '),
      content: { 'application/problem+json': { schema: problemSchema } },
    };
    codesOf.set(response, here);
    responses[`${status}` as `${4 | 5}${string}`] = response;
  }
  return responses;
}

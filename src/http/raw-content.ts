// Schemas of raw bodies, for the OpenAPI description.
import { z } from 'zod';

const bytes = z.unknown().meta({ description: 'Any bytes.', override: { type: 'string', format: 'binary' } });
const text = z.unknown().meta({ description: 'Any text.', override: { type: 'string' } });

/** Bytes of any type. OpenAPI needs types by name, and tools generate one method for all of them: so these stand for all others. */
export const rawContent = { 'text/plain': { schema: text }, 'application/octet-stream': { schema: bytes } };
export const rawBody = { content: rawContent };

/** Lines of JSON. */
export const linesResponse = {
  schema: z.unknown().meta({ description: 'Lines of JSON.', override: { type: 'string' } }),
};

/** The data of a node are returned as they were set, so a response of the type JSON may be any JSON. */
export const rawJson = z.unknown().describe('Whatever was set as JSON.');

// Schemas of raw bodies, for the OpenAPI description.
import { z } from 'zod';

const bytes = z.unknown().meta({ description: 'Any bytes.', override: { type: 'string', format: 'binary' } });

export const rawBody = { content: { '*/*': { schema: bytes } } };
export const rawResponse = { schema: bytes };

/** What is given as it is may be JSON by itself. */
export const rawJson = z.unknown().describe('Whatever was set as JSON.');

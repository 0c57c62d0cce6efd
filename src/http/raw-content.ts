// Schemas of raw bodies, for the OpenAPI description.
import { z } from 'zod';

const bytes = z.unknown().meta({ description: 'Any bytes.', override: { type: 'string', format: 'binary' } });

export const rawBody = { content: { '*/*': { schema: bytes } } };
export const rawResponse = { schema: bytes };

/** The data of a node are returned as they were set, so a response of the type JSON may be any JSON. */
export const rawJson = z.unknown().describe('Whatever was set as JSON.');

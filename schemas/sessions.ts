// The wire of /v1/sessions.
import { z } from 'zod';
import { nodePath, queryFlag } from './common.ts';
import { negotiatedDuration } from './duration.ts';

export const createSessionBody = z
  .strictObject({
    ttl: negotiatedDuration
      .optional()
      .describe('Clamped to the configured bounds; default 10s. A number (of ms) below them is refused.'),
  })
  .meta({ id: 'CreateSession' });

export const endSessionQuery = z.strictObject({
  force: queryFlag
    .optional()
    .describe('End the session of this public id, without its handle; from the loopback of the server only.'),
});

export const sessionTtlDefaultMs = 10_000;

const sessionFields = {
  id: z.string().describe('Public: `ephemeralOwner` shows it.'),
  ttlMs: z.int(),
  expiresAt: z.int().describe("When it ends unless renewed, ms since the epoch by the store's clock."),
};

export const sessionCreatedResponse = z
  .object({
    ...sessionFields,
    session: z.string().describe('The handle. Whoever has it may use the session; it is shown only once.'),
  })
  .meta({ id: 'SessionCreated' });

export const sessionResponse = z.object(sessionFields).meta({ id: 'Session' });

export const sessionDetailResponse = z
  .object({ ...sessionFields, ephemerals: z.array(nodePath).describe('Its ephemeral nodes, sorted.') })
  .meta({ id: 'SessionDetail' });

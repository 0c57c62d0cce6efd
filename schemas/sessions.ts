// Requests and responses of /v1/sessions.
import { z } from 'zod';
import { nextPage, nodePath, queryFlag, queryInteger } from './common.ts';
import { negotiatedDuration } from './duration.ts';

export const sessionLabel = z
  .string()
  .min(1)
  .max(255)
  .describe('A name for operators to read in lists of sessions, such as that of the program. It has no effect.');

export const createSessionBody = z
  .strictObject({
    ttl: negotiatedDuration
      .optional()
      .describe(
        'Time to live; default 10s. Clamped to the configured bounds, but a number without a unit (ms) below the minimum is refused.',
      ),
    label: sessionLabel.optional(),
  })
  .meta({ id: 'CreateSession' });

const sessionsLimitMax = 1000;

export const listSessionsQuery = z.strictObject({
  limit: queryInteger(1, sessionsLimitMax).default(100).describe('Maximum number of sessions in the response.'),
  after: z.string().optional().describe('The `next` of the previous page.'),
});

export const endSessionQuery = z.strictObject({
  force: queryFlag
    .optional()
    .describe(
      'End the session with this public id, without its handle. Allowed only from the loopback address of the server.',
    ),
});

export const sessionTtlDefaultMs = 10_000;

const sessionFields = {
  id: z.string().describe('Public id of the session, as in `ephemeralOwner`.'),
  ttlMs: z.int().describe('The granted time to live, ms.'),
  expiresAt: z.int().describe("Expiry if the session is not renewed, ms since the epoch by the store's clock."),
};

export const sessionCreatedResponse = z
  .object({
    ...sessionFields,
    session: z
      .string()
      .describe('The session handle, a secret: who has it can use and end the session. It is shown only once.'),
  })
  .meta({ id: 'SessionCreated' });

export const sessionResponse = z.object(sessionFields).meta({ id: 'Session' });

const describedFields = {
  ...sessionFields,
  createdAt: z.int().describe("Time of creation, ms since the epoch by the store's clock."),
  label: z.string().optional().describe('The name that its creator gave it.'),
};

export const sessionDetailResponse = z
  .object({ ...describedFields, ephemerals: z.array(nodePath).describe('Paths of its ephemeral nodes, sorted.') })
  .meta({ id: 'SessionDetail' });

export const sessionsResponse = z
  .object({
    sessions: z.array(
      z
        .object({
          ...describedFields,
          identity: z.string().optional().describe('To whom it belongs, if it was created under access control.'),
          ephemerals: z.int().min(0).describe('Number of its ephemeral nodes.'),
        })
        .meta({ id: 'ListedSession' }),
    ),
    next: nextPage,
  })
  .meta({ id: 'Sessions' });

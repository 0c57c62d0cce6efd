// /v1/access: what a caller may do, and credentials for a part of it.
import { z } from 'zod';
import { durationBetween } from './duration.ts';

const grants = z.record(z.string(), z.array(z.string()));

/** A rule, without what it does not have. */
const shownRule = z
  .object({
    nodes: grants.optional(),
    topics: grants.optional(),
    groups: grants.optional(),
    producers: grants.optional(),
    read: z.array(z.string()).optional(),
    limits: z.record(z.string(), z.number()).optional(),
    admin: z.boolean().optional(),
  })
  .meta({ id: 'AccessRule' });

export const accessMeResponse = z
  .object({
    identity: z.string().nullable().describe('null where there is no policy, so that everybody may do everything.'),
    token: z.string().optional().describe('The id of the token that the request has sent.'),
    certificate: z
      .string()
      .optional()
      .describe('The subject of the client certificate by which the caller is known, if it has sent no token.'),
    expires: z.int().optional().describe('When its credential ends, ms since the epoch.'),
    admin: z.boolean(),
    allow: z
      .array(shownRule)
      .describe('The rules that apply to the identity, with its name in the place of `$identity`.'),
    narrowedTo: z
      .array(shownRule)
      .optional()
      .describe('What a derived token allows. The caller may do what both this and `allow` allow.'),
    limits: z
      .record(z.string(), z.object({ limit: z.number(), used: z.number().optional() }))
      .describe(
        'By name, the limits of the identity and what is used of them. `requests` and `bytes`: what of a second is used. Of rates, `sockets` and `watches` a server with several workers has an equal part in each, and this is that of the one that responds. A limit that is absent does not exist.',
      ),
  })
  .meta({ id: 'AccessOfCaller' });

export const accessCheckQuery = z
  .strictObject({
    as: z
      .string()
      .optional()
      .describe('The identity to ask for; of others only an admin may ask. Default: the caller.'),
    verb: z.enum(['read', 'write', 'delete', 'use', 'manage']).describe('What is to be done.'),
    path: z.string().optional().describe('A node. Send exactly one of path, topic, group and producer.'),
    topic: z.string().optional().describe('The name of a topic.'),
    group: z.string().optional().describe('The name of a group.'),
    producer: z.string().optional().describe('The name of a named producer.'),
  })
  .meta({ id: 'AccessCheckQuery' });

export const accessCheckResponse = z
  .object({
    identity: z.string().nullable(),
    allowed: z.boolean(),
    because: z.string().optional().describe('A rule that allows it.'),
    missing: z.string().optional().describe('What a rule would have to allow.'),
  })
  .meta({ id: 'AccessCheck' });

/** How long a derived token lives at most and by default, and the size of what it allows, as JSON. */
const derivedTokenTtlMsMax = 24 * 3_600_000;
const derivedTokenTtlMsDefault = 3_600_000;
export const derivedTokenAllowBytesMax = 8 * 1024;

export const createTokenBody = z
  .strictObject({
    ttl: durationBetween(1000, derivedTokenTtlMsMax, 'must be from 1s to 24h')
      .default(derivedTokenTtlMsDefault)
      .describe('How long the token is valid, unless its parent ends before: "1s" to "24h"; by default "1h".'),
    allow: z
      .array(z.looseObject({}))
      .describe(
        'What the token may do, as rules of the policy without `who`: `nodes`, `topics`, `groups`, `producers`, `read`, `admin`. It never may do more than its parent.',
      )
      .meta({ examples: [[{ topics: { 'orders.*': ['read'] } }]] }),
  })
  .meta({ id: 'AccessTokenCreation' });

export const tokenCreatedResponse = z
  .object({
    id: z.string().describe('Names the token in logs, and to revoke it.'),
    token: z.string().describe('The token. It is stored nowhere, and shown once.'),
    expires: z.int().describe('Ms since the epoch.'),
  })
  .meta({ id: 'AccessTokenCreated' });

export const tokenParams = z.strictObject({ tokenId: z.string().describe('The id of a derived token.') });

export const listTokensQuery = z
  .strictObject({
    of: z.string().optional().describe('An identity; of others only an admin may ask. Default: the caller.'),
  })
  .meta({ id: 'AccessTokensQuery' });

export const tokensResponse = z
  .object({
    tokens: z.array(
      z
        .object({
          id: z.string(),
          parent: z.string().optional().describe('The id of the token that it was made with; absent for a JWT.'),
          created: z.int().describe('Ms since the epoch, as `expires`.'),
          expires: z.int(),
        })
        .meta({ id: 'AccessToken' }),
    ),
  })
  .meta({ id: 'AccessTokens' });

/** The event streams that a ticket opens, and the length of a target. */
const streamTarget = /^\/v1\/(watch\/|topics\/[^/?#]+\/stream(\?|$))[^#\s]*$/;
const targetLengthMax = 8192;

export const createTicketBody = z
  .strictObject({
    path: z
      .string()
      .max(targetLengthMax)
      .regex(streamTarget, 'must be the path, and query, of an event stream: /v1/watch/… or /v1/topics/…/stream')
      .refine((path) => !/[?&]ticket=/.test(path), 'must be without ticket')
      .describe('The path and query of the event stream, exactly as it will be opened, without `ticket`.')
      .meta({ examples: ['/v1/watch/app?mode=recursive'] }),
  })
  .meta({ id: 'TicketCreation' });

export const ticketCreatedResponse = z
  .object({
    ticket: z.string(),
    url: z.string().describe('The path and query with the ticket, for an EventSource.'),
    expires: z.int().describe('Until when the stream must be opened, ms since the epoch.'),
  })
  .meta({ id: 'TicketCreated' });

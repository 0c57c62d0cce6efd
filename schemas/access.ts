// /v1/access: what a caller may do.
import { z } from 'zod';

const grants = z.record(z.string(), z.array(z.string()));

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
      .array(
        z.object({
          nodes: grants.optional(),
          topics: grants.optional(),
          groups: grants.optional(),
          producers: grants.optional(),
          read: z.array(z.string()).optional(),
          limits: z.record(z.string(), z.number()).optional(),
        }),
      )
      .describe('The rules that apply to the identity, with its name in the place of `$identity`.'),
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
    verb: z.enum(['read', 'write', 'delete', 'use', 'manage']),
    path: z.string().optional().describe('A node. Send exactly one of path, topic, group and producer.'),
    topic: z.string().optional(),
    group: z.string().optional(),
    producer: z.string().optional(),
  })
  .meta({ id: 'AccessCheckQuery' });

export const accessCheckResponse = z
  .object({
    identity: z.string().nullable(),
    allowed: z.boolean(),
    missing: z.string().optional().describe('What a rule would have to allow.'),
  })
  .meta({ id: 'AccessCheck' });

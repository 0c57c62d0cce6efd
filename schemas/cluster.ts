// The wire of /v1/cluster and /v1/brokers.
import { z } from 'zod';

export const brokerResponse = z
  .object({
    id: z.int(),
    host: z.string(),
    port: z.int(),
    endpoints: z.array(z.string()).describe('Where clients reach it.'),
    rack: z.string().nullable(),
    startedAt: z.int(),
    epoch: z.int().describe('The czxid of its node: a broker that bounced has a larger one.'),
  })
  .meta({ id: 'Broker' });

export const clusterResponse = z
  .object({
    clusterId: z.string(),
    controller: z.object({ brokerId: z.int(), epoch: z.int() }).nullable().describe('null while the office is vacant.'),
    brokers: z.array(brokerResponse),
    store: z.object({
      version: z.string(),
      engine: z.enum(['standalone', 'sentinel', 'cluster']),
      shards: z.int().describe('How many Redis share the data; the figures are those of all together.'),
      unreachable: z
        .array(z.string())
        .describe('The addresses of those that do not answer now: what lies there is away, and not in the figures.'),
      usedMemoryBytes: z.int(),
      maxMemoryBytes: z.int().describe('0 = no limit.'),
      appendOnly: z.boolean(),
    }),
  })
  .meta({ id: 'Cluster' });

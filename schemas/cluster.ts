// Responses of /v1/cluster and /v1/brokers.
import { z } from 'zod';

export const brokerResponse = z
  .object({
    id: z.int(),
    host: z.string(),
    port: z.int(),
    endpoints: z.array(z.string()).describe('URLs at which clients reach the broker.'),
    rack: z.string().nullable(),
    policyHash: z
      .string()
      .nullable()
      .describe('A hash of its policy file, by which brokers with different policies show; null without a policy.'),
    worker: z
      .int()
      .nullable()
      .describe(
        'Its number among the workers of its server, which share the endpoints; null if the server has one process.',
      ),
    startedAt: z.int().describe("Start time, ms since the epoch by the broker's own clock."),
    epoch: z.int().describe('The czxid of the broker node. It grows when the broker registers again.'),
  })
  .meta({ id: 'Broker' });

export const brokersResponse = z
  .object({
    brokers: z.array(
      z
        .object({
          id: z.int(),
          version: z.string().nullable().describe('The version of its program; null if it has not reported it yet.'),
          url: z.string().describe('Where clients reach it.'),
          rack: z.string().nullable(),
          worker: z
            .int()
            .nullable()
            .describe(
              'Its number among the workers of its server, which share the URL; null if the server has one process.',
            ),
          startedAt: z.int().describe("Start time, ms since the epoch by the broker's own clock."),
          isController: z.boolean(),
          partitionsLed: z.int().min(0).describe('Partitions whose logs it maintains.'),
          connections: z
            .int()
            .min(0)
            .nullable()
            .describe(
              'Open connections of clients, as the broker reported them with the last renewal of its session, at most a few seconds ago; null if it has not yet.',
            ),
        })
        .meta({ id: 'ListedBroker' }),
    ),
    offlinePartitions: z.int().min(0).describe('Partitions of all topics that no broker leads now.'),
  })
  .meta({ id: 'Brokers' });

export const clusterResponse = z
  .object({
    clusterId: z.string(),
    controller: z
      .object({ brokerId: z.int(), epoch: z.int() })
      .meta({ id: 'Controller' })
      .nullable()
      .describe('null while no broker is the controller.'),
    brokers: z.array(brokerResponse),
    store: z.object({
      version: z.string(),
      engine: z.enum(['standalone', 'sentinel', 'cluster']).describe('The topology of Redis.'),
      shards: z.int().describe('Number of Redis primaries that share the data. The other fields are their totals.'),
      unreachable: z
        .array(z.string())
        .describe(
          'Addresses of Redis servers that do not respond now. Their data is unavailable and not in the totals.',
        ),
      usedMemoryBytes: z.int(),
      maxMemoryBytes: z.int().describe('0 = no limit.'),
      appendOnly: z.boolean(),
    }),
  })
  .meta({ id: 'Cluster' });

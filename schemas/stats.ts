// The messages of GET /v1/stats/stream.
import { z } from 'zod';
import { groupLag } from './topics.ts';

const count = z.int().min(0);

export const statsHeaders = z.looseObject({
  'last-event-id': z
    .string()
    .optional()
    .describe(
      'The id of the last message that was received: only later samples follow. An EventSource sends it by itself.',
    ),
});

export const statsSample = z
  .object({
    at: z.int().describe('When the second ended, ms since the epoch; also the id of the message.'),
    requestsPerSec: count.describe('Requests over HTTP and on pipelined sockets.'),
    p50Ms: z
      .number()
      .nullable()
      .describe(
        'Duration of half of the HTTP requests in this second at most, without those that asked to wait; null if there were none.',
      ),
    p99Ms: z.number().nullable().describe('As p50Ms, of 99 of 100.'),
    recordsInPerSec: count.describe('Records appended.'),
    bytesInPerSec: count,
    recordsOutPerSec: count.describe('Records read from logs for clients.'),
    bytesOutPerSec: count,
    connections: count.describe('Open connections of clients.'),
    sockets: count.describe('Open WebSockets.'),
    watches: count,
    sessions: count.describe('Sessions in the cluster, as they were counted last.'),
    nodes: count.describe('Nodes of the tree, as they were counted last.'),
    storeMemoryBytes: count.describe('Memory that Redis uses, as it was read last.'),
    eventLoopLagMs: count.describe('By how much the busiest process was late in this second, ms.'),
    lag: z
      .array(groupLag)
      .describe('The 10 groups of the cluster with the largest lag that the caller may use, records.'),
  })
  .meta({ id: 'StatsSample' });

export type StatsSample = z.infer<typeof statsSample>;

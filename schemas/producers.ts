// Requests and responses about named producers (docs/adr/007).
import { z } from 'zod';
import { nextPage, queryInteger } from './common.ts';

const producerId = z
  .string()
  .regex(/^[A-Za-z0-9_-]{1,64}$/, 'must be an id returned by POST /v1/producers')
  .describe('The id returned by `POST /v1/producers`.');

export const createProducerBody = z
  .strictObject({
    name: z
      .string()
      .min(1)
      .max(255)
      .describe(
        'Name of the producer. Another request with this name returns the same producer with a higher epoch, and fences the previous epoch.',
      ),
  })
  .meta({ id: 'CreateProducer' });

const producersLimitMax = 1000;

export const listProducersQuery = z.strictObject({
  limit: queryInteger(1, producersLimitMax).default(100).describe('Maximum number of producers in the response.'),
  after: z.string().optional().describe('The `next` of the previous page.'),
});

export const producersResponse = z
  .object({
    producers: z.array(
      z
        .object({
          id: producerId,
          name: z.string(),
          epoch: z.int().min(0).describe('The newest. Requests with a lower epoch are refused.'),
          usedAt: z
            .int()
            .describe(
              'When its registration was last used, ms since the epoch: for a new epoch, or its first request to a partition. Later requests are known to the partitions only, which the server asks before the producer expires.',
            ),
        })
        .meta({ id: 'ListedProducer' }),
    ),
    next: nextPage,
  })
  .meta({ id: 'Producers' });

export const producerResponse = z
  .object({
    id: producerId,
    epoch: z.int().min(0).describe('0 for a new producer. Each further request with its name raises it by one.'),
  })
  .meta({ id: 'Producer' });

/** Producer id, epoch and sequence of a produce request. */
export const producerStamp = z
  .strictObject({
    id: producerId,
    epoch: z.int().min(0),
    sequence: z
      .int()
      .min(0)
      .describe('Number of the request to the topic: 0 in each new epoch, then one more each time.'),
  })
  .meta({ id: 'ProducerStamp' });

// The wire of named producers (docs/adr/007).
import { z } from 'zod';

const producerId = z
  .string()
  .regex(/^[A-Za-z0-9_-]{1,64}$/, 'must be an id that POST /v1/producers gave')
  .describe('As `POST /v1/producers` gave it.');

export const createProducerBody = z
  .strictObject({
    name: z
      .string()
      .min(1)
      .max(255)
      .describe('Whoever asks for an epoch under the same name is the same producer, and fences the one before.'),
  })
  .meta({ id: 'CreateProducer' });

export const producerResponse = z
  .object({
    id: producerId,
    epoch: z.int().min(0).describe('0 for a new producer; each further request for its name raises it by one.'),
  })
  .meta({ id: 'Producer' });

/** What a named producer puts on a request. */
export const producerStamp = z.strictObject({
  id: producerId,
  epoch: z.int().min(0),
  sequence: z.int().min(0).describe('Grows by one with each request to a topic, from 0 in each epoch.'),
});

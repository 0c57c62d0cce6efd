// Responses of / and /v1: where everything is.
import { z } from 'zod';

export const rootResponse = z
  .object({
    name: z.literal('Weirkeeper'),
    api: z.string().describe('The list of resources.'),
    docs: z.string().describe('The documentation of the API, for a browser.'),
    guide: z.string().describe('The guide, for a browser.'),
    openapi: z.string().describe('The OpenAPI document.'),
    health: z.string().describe('Whether the broker can serve.'),
    metrics: z.string().describe("Metrics in Prometheus' text format."),
  })
  .meta({ id: 'Root' });

export const resourcesResponse = z
  .object({
    version: z.string().describe('The version of the server.'),
    brokerId: z.int().nullable().describe('The id of the broker that responds; null while it is not registered.'),
    docs: z.string(),
    openapi: z.string(),
    resources: z.array(
      z
        .object({
          path: z.string().describe('The path, with its parameters in braces.'),
          methods: z.record(z.string(), z.string()).describe('What each method does.'),
        })
        .meta({ id: 'Resource' }),
    ),
  })
  .meta({ id: 'Resources' });

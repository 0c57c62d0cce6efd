// What the routes of version 3 share.
import type { FastifyRequest } from 'fastify';
import type { Broker } from '../../../broker/broker.ts';
import type { HeldResults } from '../../held-results.ts';
import type { Links } from './links.ts';

export interface V3Options {
  broker: Broker;
  held: HeldResults;
  /** The links of a response to a request. */
  linksOf(request: FastifyRequest): Links;
}

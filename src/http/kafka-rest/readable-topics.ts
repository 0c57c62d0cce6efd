// The topics that lists of the dialect show to a caller.
import type { FastifyRequest } from 'fastify';
import type { Broker } from '../../broker/broker.ts';
import { topicsPath } from '../../core/cluster/cluster-nodes.ts';

/** The names of all topics that the caller may read. */
export async function readableTopics(
  request: Pick<FastifyRequest, 'may'>,
  { namespace }: Pick<Broker['store'], 'namespace'>,
): Promise<string[]> {
  const names = await namespace.allChildren(topicsPath);
  return names.filter((name) => request.may('read', 'topics', name));
}

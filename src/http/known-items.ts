// How much a response will be about that names no limit, as far as it is known before the store is asked: for the weight of its request.
import type { FastifyRequest } from 'fastify';
import type { TopicCache } from '../broker/metadata/topic-cache.ts';
import { recentlyUsed } from '../core/recently-used.ts';

/** How many partitions the topic has that a request names, once this broker knows it. */
export function partitionsOf(topics: TopicCache): (request: FastifyRequest) => number | undefined {
  return ({ params }) => topics.known((params as { topic: string }).topic)?.partitionCount;
}

/** Of so many names it is remembered how much the last response had, those used last. */
const namesMax = 10_000;

/** How much the last response about a thing had: it has about as much the next time. */
export class KnownSizes {
  readonly #sizes = recentlyUsed<number>(namesMax);
  /** How much it had for what a request names; undefined if there was none. */
  readonly of: (request: FastifyRequest) => number | undefined;

  /** @param parameter of the path, that names the thing */
  constructor(parameter: string) {
    this.of = ({ params }) => this.#sizes.get((params as Record<string, string>)[parameter] ?? '');
  }

  set(name: string, size: number): void {
    this.#sizes.set(name, size);
  }
}

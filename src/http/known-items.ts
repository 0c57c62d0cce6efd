// How much a response will be about that names no limit, as far as it is known before the store is asked: for the weight of its request.
import type { FastifyRequest } from 'fastify';
import { LRUCache } from 'lru-cache';
import type { TopicCache } from '../broker/metadata/topic-cache.ts';

/** How many partitions the topic has that a request names, once this broker knows it. */
export function partitionsOf(topics: TopicCache): (request: FastifyRequest) => number | undefined {
  return ({ params }) => topics.known((params as { topic: string }).topic)?.partitionCount;
}

/** Of so many names it is remembered how much the last response had, those used last. */
const namesMax = 10_000;

/** How much the last response about a thing had: it has about as much the next time. */
export class KnownSizes {
  readonly #sizes = new LRUCache<string, number>({ max: namesMax });
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

/** Data of more bytes weigh more than a usual request. */
const largeBytes = 64 * 1024;

/** The bytes of large nodes, once they were read. */
export class NodeSizes {
  readonly #sizes = new KnownSizes('*');
  /** How many bytes of data a GET, whose query is not validated yet, will read; undefined if that is not known, or none. */
  readonly of = (request: FastifyRequest): number | undefined => {
    const { view = 'data' } = request.query as { view?: unknown };
    return view === 'data' || view === 'node' ? this.#sizes.of(request) : undefined;
  };

  /** Notes the size of what a request has read, and passes it on. */
  noted(request: FastifyRequest): <T extends { data: Buffer }>(read: T) => T {
    return (read) => {
      const { length } = read.data;
      const { '*': path } = request.params as { '*': string };
      if (length > largeBytes || this.#sizes.of(request) !== undefined) this.#sizes.set(path, length);
      return read;
    };
  }
}

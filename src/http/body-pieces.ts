// The pieces of a body, as they arrive.
import type { Readable } from 'node:stream';
import { ServiceError } from '../core/service-error.ts';

/**
 * Gives the pieces of a body. The stream is not destroyed on an error: its connection carries the response.
 * @throws ServiceError BAD_REQUEST if the connection is lost
 */
export async function* bodyPieces(source: Readable): AsyncGenerator<Buffer> {
  try {
    yield* source.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
  } catch (error) {
    if (!source.readableAborted || error instanceof ServiceError) throw error;
    // Reaches no client, but must not be logged as an internal error.
    throw new ServiceError('BAD_REQUEST', 'The connection was lost before the body ended.');
  }
}

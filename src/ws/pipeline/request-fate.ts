// What a failed request means for those behind it on its pipelined socket (guarantee S5).
import type { SocketOp } from '../../../schemas/socket.ts';
import { hasCode, ServiceError } from '../../core/service-error.ts';
import type { PendingRequest } from './pending-request.ts';

/** Requests that change nothing in the store. */
const readingOps: ReadonlySet<SocketOp> = new Set(['get', 'exists', 'children', 'watch', 'unwatch', 'ping']);

/**
 * Whether nothing behind a failed request may be carried out: it may have changed something, or others may overtake it.
 * @param error what was thrown; `known` is its problem
 */
export function isFateUnknown({ request }: PendingRequest, error: unknown, known: ServiceError): boolean {
  const isAway = hasCode(error, 'STORE_UNAVAILABLE') || hasCode(error, 'LOADING');
  if (!request) return isAway;
  if (request.op === 'fetch' || request.op === 'offsets') return false;
  return isAway || (known.code === 'INTERNAL' && !readingOps.has(request.op));
}

/** The problem that the client is sent before its socket is closed. */
export function unknownFate(cause: string): ServiceError {
  return new ServiceError(
    'STORE_UNAVAILABLE',
    `The fate of this request is unknown, and nothing behind it is carried out: ${cause} Reconnect, attach the session, and send ` +
      'again with the same seq what has no response.',
  );
}

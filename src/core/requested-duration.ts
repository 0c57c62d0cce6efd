/** Durations that clients request and the server clamps to its bounds. */
import type { RequestedDuration } from '../../schemas/duration.ts';
import { ServiceError } from './service-error.ts';

/**
 * The requested duration, ms, before clamping. A number without a unit below the minimum is refused, as it probably means seconds.
 * @param minMs the least that is granted
 * @throws ServiceError BAD_REQUEST for a number without a unit below that
 */
export function requestedMs(name: string, requested: RequestedDuration, minMs: number): number {
  const { ms, hasNoUnit } = requested;
  if (!hasNoUnit || ms >= minMs) return ms;
  const guess = ms > 0 ? `; did you mean "${ms}s"?` : '.';
  throw new ServiceError(
    'BAD_REQUEST',
    `${name} is ${ms}, and a number without a unit is in ms; the least is ${minMs} ms${guess}`,
    { minMs },
  );
}

// A place in a list that is ordered by time, and by id within the same ms: after it the next page begins (lua/lib/by-score.lua).
import { ServiceError } from '../core/service-error.ts';

export interface PlaceByTime {
  /** Ms since 1970. */
  time: number;
  id: string;
}

/** The text of a place, as a page gives it to the client. */
export function encodePlace({ time, id }: PlaceByTime): string {
  return `${time}.${id}`;
}

/** @throws ServiceError BAD_REQUEST for a text that encodePlace() has not made */
export function decodePlace(after: string): PlaceByTime {
  const match = /^(\d{1,16})\.([\w-]{1,64})$/.exec(after);
  if (match) return { time: Number(match[1]), id: match[2] ?? '' };
  throw new ServiceError(
    'BAD_REQUEST',
    'after is not the next of an earlier page. Leave it out to begin with the first page.',
    {
      field: 'after',
    },
  );
}

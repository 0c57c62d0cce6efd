// If-Match and If-None-Match (RFC 9110, 13.1): lists of entity tags, and what they say about a node's own tag, its mzxid (of its list
// of children: the pzxid).
import type { FastifyRequest } from 'fastify';
import { ServiceError } from '../core/service-error.ts';

/** What a conditional header holds: any tag, or some of them. */
export type Condition = '*' | EntityTag[];

interface EntityTag {
  isWeak: boolean;
  /** What stands between the quotes. */
  opaque: string;
}

/** The one tag that nearly all requests carry. */
const singleTag = /^"(\d{1,16})"$/;
const listedTag = /\s*(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*(?:,|$)/y;

/** Reads a conditional header, if it is there. @throws ServiceError BAD_REQUEST */
export function conditionOf(name: 'If-Match' | 'If-None-Match', header: string | undefined): Condition | undefined {
  if (header === undefined || header === '*') return header;
  const single = singleTag.exec(header);
  if (single) return [{ isWeak: false, opaque: single[1]! }];
  const tags: EntityTag[] = [];
  listedTag.lastIndex = 0;
  do {
    const found = listedTag.exec(header);
    if (!found) {
      throw new ServiceError(
        'BAD_REQUEST',
        `${name} is ${header}; it must be * or entity tags such as "42", as the ETag of an earlier answer.`,
      );
    }
    tags.push({ isWeak: found[1] !== undefined, opaque: found[2]! });
  } while (listedTag.lastIndex < header.length);
  return tags;
}

/** Refuses conditions that an operation has no use for: whoever sends one relies on it. @throws ServiceError BAD_REQUEST */
export function refuseConditions(
  { headers, method }: FastifyRequest,
  ...names: ('If-Match' | 'If-None-Match')[]
): void {
  const found = names.find((name) => headers[name.toLowerCase()] !== undefined);
  if (found) throw new ServiceError('BAD_REQUEST', `${found} is no condition of a ${method} here; leave it out.`);
}

/** Whether a condition holds the tag of what was read, as If-None-Match compares: weakly. 0 is the tag of what is absent. */
export function matchesWeakly(condition: Condition, tag: number): boolean {
  // As everywhere, * is whatever exists.
  return condition === '*' ? tag !== 0 : condition.some(({ opaque }) => opaque === String(tag));
}

/** The mzxids that satisfy a condition, as If-Match compares: strongly, so that a weak tag never does. */
export function strongMzxids(condition: EntityTag[]): number[] {
  return condition.flatMap(({ isWeak, opaque }) => (!isWeak && /^\d{1,16}$/.test(opaque) ? [Number(opaque)] : []));
}

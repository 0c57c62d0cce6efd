// Entity tags of a node, and the conditions If-Match and If-None-Match (RFC 9110, 13.1). Each representation has its own tag: the mzxid
// for the data, mzxid and pzxid for stat and node (they contain the number of children), the pzxid for the list of children, and a hash
// for a page of children with their stats.
import { createHash } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import type { Stat } from '../../schemas/common.ts';
import { ServiceError } from '../core/service-error.ts';

/** A parsed If-None-Match of a read, or an If-Match: any tag, or a list of tags. */
export type Condition = '*' | EntityTag[];

/** What a write requires of its node, by If-Match, If-None-Match and the parameter `version` together. */
export type WriteCondition =
  | { kind: 'none' }
  /** If-None-Match: * */
  | { kind: 'absent' }
  | {
      kind: 'match';
      /** Undefined = any. */
      version: number | undefined;
      /** One of these must be the mzxid of the node; 0 is that of a node that does not exist. Undefined = any. */
      mzxids: readonly number[] | undefined;
      /** The tags of If-Match as they were sent, for the text of an error. */
      tags: readonly EntityTag[];
    };

/** The text between the quotes, without the suffix that some proxies add. */
export type EntityTag = string;

/** The tag of a node that does not exist, in every view. */
export const absentTag: EntityTag = '0';

export const dataTag = ({ mzxid }: Stat): EntityTag => `${mzxid}`;
export const statTag = ({ mzxid, pzxid }: Stat): EntityTag => `${mzxid}-${pzxid}`;
export const childrenTag = ({ pzxid }: Stat): EntityTag => `c${pzxid}`;

/** Of a page of children with their stats: whatever is in it changes its tag. @param page as it goes out */
export function pageTag(page: object): EntityTag {
  return `s${createHash('sha256').update(JSON.stringify(page)).digest('hex').slice(0, 32)}`;
}

/** A single tag of a node's data, as nearly all requests have it. */
const singleTag = /^"((?:0|[1-9]\d{0,15}))"$/;
/** One element of a list of tags; it may be empty (RFC 9110, 5.6.1). */
const listedTag = /[ \t]*(?:(?:W\/)?"([\x21\x23-\x7e\x80-\xff]*)")?[ \t]*(?:,|$)/y;
/**
 * A tag of ours as a proxy that compresses passes it on: Apache, Caddy, Jetty and others add the name of the encoding. Weak tags
 * (W/, of nginx and HAProxy) are recognized by the pattern of the list. The content is the same, so the tag is, too.
 */
const encodedTag =
  /^((?:c?(?:0|[1-9]\d{0,15}))|(?:0|[1-9]\d{0,15})-(?:0|[1-9]\d{0,15})|s[0-9a-f]{32})(?:[-;:+]{1,2}(?:gzip|br|zstd|deflate|compress|bzip2|df))+$/;

const nodeTag = /^(?:(0|[1-9]\d{0,15})(?:-(?:0|[1-9]\d{0,15}))?)$/;
const childrenTags = /^(?:c(?:0|[1-9]\d{0,15})|s[0-9a-f]{32})$/;

/** Reads a conditional header, if it is there. @throws ServiceError BAD_REQUEST */
export function conditionOf(name: 'If-Match' | 'If-None-Match', header: string | undefined): Condition | undefined {
  if (header === undefined || header === '*') return header;
  const single = singleTag.exec(header);
  if (single?.[1] !== undefined) return [single[1]];
  const tags: EntityTag[] = [];
  listedTag.lastIndex = 0;
  while (listedTag.lastIndex < header.length) {
    const found = listedTag.exec(header);
    if (!found) throw malformed(name, header);
    if (found[1] !== undefined) tags.push(encodedTag.exec(found[1])?.[1] ?? found[1]);
  }
  if (tags.length === 0) throw malformed(name, header);
  return tags;
}

function malformed(name: string, header: string): ServiceError {
  const is = header.trim() === '' ? 'is empty' : `is ${header.length > 100 ? `${header.slice(0, 100)}…` : header}`;
  const quotes = /^\s*(W\/)?[\w;-]+\s*$/.test(header)
    ? ' The double quotes are part of a tag, and a shell removes them.'
    : '';
  return new ServiceError(
    'BAD_REQUEST',
    `${name} ${is}; send * or the ETag of an earlier response with its double quotes, such as "42".${quotes}`,
  );
}

/** Refuses conditions that an operation does not evaluate, as the client relies on them. @throws ServiceError BAD_REQUEST */
export function refuseConditions(
  { headers, method }: FastifyRequest,
  ...names: ('If-Match' | 'If-None-Match')[]
): void {
  const found = names.find((name) => headers[name.toLowerCase()] !== undefined);
  if (found) throw new ServiceError('BAD_REQUEST', `${found} is no condition of a ${method} here; leave it out.`);
}

/** Whether an If-None-Match contains the current tag. */
export function isKnown(condition: Condition, tag: EntityTag): boolean {
  // * matches every node that exists.
  return condition === '*' ? tag !== absentTag : condition.includes(tag);
}

/**
 * The condition of a write of one node.
 * @param version the parameter of the query
 * @throws ServiceError BAD_REQUEST for malformed or contradictory conditions, and for tags of children, which say nothing about the data
 */
export function writeConditionOf({ headers, method }: FastifyRequest, version: number | undefined): WriteCondition {
  const ifMatch = conditionOf('If-Match', headers['if-match']);
  const ifNoneMatch = headers['if-none-match'];
  const hasMatch = ifMatch !== undefined || version !== undefined;
  if (ifNoneMatch === undefined && !hasMatch) return { kind: 'none' };
  const tags = ifMatch === undefined || ifMatch === '*' ? undefined : ifMatch;
  const mzxids = tags && mzxidsOf(tags);
  if (ifNoneMatch === undefined) {
    return { kind: 'match', version, mzxids, tags: tags ?? [] };
  }
  if (ifNoneMatch !== '*') {
    throw new ServiceError('BAD_REQUEST', `If-None-Match ${ifNoneMatch}: a ${method} takes only * (create only).`);
  }
  if (!hasMatch) return { kind: 'absent' };
  throw new ServiceError('BAD_REQUEST', 'If-None-Match: * (create only) contradicts If-Match and version.');
}

/** Whether a tag is one of the data, the stat or the node: no node has any other in If-Match. */
export function isNodeTag(tag: EntityTag): boolean {
  return nodeTag.test(tag);
}

/** The mzxids in the tags of the data, and in those of stat and node. @throws ServiceError BAD_REQUEST for tags of children */
function mzxidsOf(tags: readonly EntityTag[]): number[] {
  const child = tags.find((tag) => childrenTags.test(tag));
  if (child !== undefined) {
    throw new ServiceError(
      'BAD_REQUEST',
      `If-Match has "${child}", the tag of a list of children, which does not change with the data; send the ETag of a GET` +
        ' with view=data, view=stat or view=node.',
    );
  }
  return [...new Set(tags.flatMap((tag) => nodeTag.exec(tag)?.[1] ?? []))].map(Number);
}

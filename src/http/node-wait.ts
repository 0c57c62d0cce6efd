// The long poll on a node: GET /v1/nodes with If-None-Match and wait.
import type { FastifyReply } from 'fastify';
import type { Stat } from '../../schemas/common.ts';
import type { Broker } from '../broker/broker.ts';
import type { Interest } from '../broker/watches/watch-match.ts';
import { hasCode, type ServiceError } from '../core/service-error.ts';
import { absentTag, type Condition, type EntityTag, isKnown } from './conditions.ts';

/** What a long poll waits for: the changes that may affect it, and how its tag is read, from the node's stat or by a read of its own. */
export type WaitTarget = { interest: Interest } & (
  | { tagOf: (stat: Stat) => EntityTag }
  | { read: () => Promise<{ zxid: number; tag: EntityTag }> }
);

/** The node, and where it is read. */
interface WaitingNode {
  path: string;
  reads: Pick<Broker['store']['namespace'], 'stat'>;
}

/**
 * Waits until the tag of a view of a node is none of the known tags.
 * @returns the newest zxid and tag; `changed` = false after `waitMs`, if the client has disconnected, or if the broker stops
 */
export async function waitForChange(
  watches: Broker['watches'],
  reply: FastifyReply,
  node: WaitingNode,
  seen: WaitTarget,
  known: Condition,
  waitMs: number,
): Promise<{ changed: boolean; zxid: number; tag: EntityTag }> {
  const deadline = performance.now() + waitMs;
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort());
  for (;;) {
    const { zxid, tag } = await currentTag(node, seen);
    // With *, the wait lasts until the node is deleted.
    const changed = !isKnown(known, tag);
    if (changed) return { changed, zxid, tag };
    const leftMs = deadline - performance.now();
    const what = { path: node.path, interest: seen.interest, after: zxid };
    reply.request.permit?.release();
    if (leftMs <= 0 || !(await watches.nextChange(what, leftMs, gone.signal))) return { changed, zxid, tag };
    // One change may wake thousands of requests: each takes a permit again before it reads.
    await reply.request.acquirePermit();
  }
}

/** The tag as it is now, and the transaction that it reflects. */
async function currentTag({ path, reads }: WaitingNode, seen: WaitTarget): Promise<{ zxid: number; tag: EntityTag }> {
  try {
    if ('read' in seen) return await seen.read();
    const { zxid, stat } = await reads.stat(path);
    return { zxid, tag: seen.tagOf(stat) };
  } catch (error) {
    if (!hasCode(error, 'NO_NODE')) throw error;
    return { zxid: Number((error as ServiceError).fields.zxid), tag: absentTag };
  }
}

// The long poll on a node: GET /v1/nodes with If-None-Match and wait.
import type { FastifyReply } from 'fastify';
import { hasCode, type ServiceError } from '../core/service-error.ts';
import type { Broker } from '../live/broker.ts';
import { type Condition, matchesWeakly } from './conditions.ts';

/**
 * The long poll: waits until the node, or its list of children, no longer has a tag that the client knows.
 * @returns `changed` = false when `waitMs` are over, the client has gone or the broker stops; with the newest zxid and tag
 */
export async function waitForChange(
  broker: Broker,
  reply: FastifyReply,
  path: string,
  view: 'node' | 'children',
  known: Condition,
  waitMs: number,
): Promise<{ changed: boolean; zxid: number; tag: number }> {
  const deadline = performance.now() + waitMs;
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort());
  for (;;) {
    const { zxid, tag } = await currentTag(broker, path, view);
    // * is waited on until the node is gone.
    const changed = !matchesWeakly(known, tag);
    if (changed) return { changed, zxid, tag };
    const leftMs = deadline - performance.now();
    if (leftMs <= 0 || !(await broker.watches.nextChange({ path, view, after: zxid }, leftMs, gone.signal))) {
      return { changed, zxid, tag };
    }
  }
}

/** The tag of a node, or of its list of children; 0 is the tag of what does not exist. */
async function currentTag(
  broker: Broker,
  path: string,
  view: 'node' | 'children',
): Promise<{ zxid: number; tag: number }> {
  try {
    const { zxid, stat } = await broker.store.namespace.stat(path);
    return { zxid, tag: view === 'children' ? stat.pzxid : stat.mzxid };
  } catch (error) {
    if (!hasCode(error, 'NO_NODE')) throw error;
    return { zxid: Number((error as ServiceError).fields.zxid), tag: 0 };
  }
}

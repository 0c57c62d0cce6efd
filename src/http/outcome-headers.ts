// The headers of a response that tell the outcome of a change.
import type { FastifyReply } from 'fastify';

export interface Outcome {
  /** The zxid of the change; undefined if it has none, or if it is not known. */
  zxid?: number | undefined;
  /** Whether an earlier request with the same Idempotency-Key made the change. */
  replayed?: boolean | undefined;
}

/** Sets Weir-Zxid and Idempotency-Replayed, and returns the reply. */
export function setOutcomeHeaders(reply: FastifyReply, { zxid, replayed }: Outcome): FastifyReply {
  if (replayed) reply.header('idempotency-replayed', 'true');
  if (zxid !== undefined) reply.header('weir-zxid', zxid);
  return reply;
}

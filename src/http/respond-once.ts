// Stores whole responses for repeats with the same Idempotency-Key, for operations of more than one script. The script that makes the
// change records it under the key, and the response is added at the end. So a repeat gets the first response, and a repeat in between
// resumes where the first attempt stopped (docs/adr/007).
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { IdempotencyKey } from '../store/idempotency.ts';
import type { StoredResponses } from '../store/stored-responses.ts';
import { idempotencyOf } from './plugins/idempotency.ts';

interface Completed<T> {
  body: T;
  zxid?: number | undefined;
  /** Whether the change was made by an earlier attempt. */
  replayed?: boolean | undefined;
}

/** What an attempt is told: the key to note the change under, and whether an earlier attempt has made it already. */
export interface Attempt {
  idempotency?: IdempotencyKey | undefined;
  isChanged: boolean;
  /** What was kept with that change, if it is text. */
  storedText?: string | undefined;
}

/**
 * Does what a request asks for, or gives the response that an earlier request with the same key got.
 * @param act makes the change; passes the key on to the script that does
 * @throws ServiceError IDEMPOTENCY_KEY_REUSED, TOO_MANY_REQUESTS, and what `act` throws
 */
export async function respondOnce<T>(
  kept: StoredResponses,
  request: FastifyRequest,
  reply: FastifyReply,
  act: (attempt: Attempt) => Promise<Completed<T>>,
): Promise<T> {
  const idempotency = idempotencyOf(request);
  if (!idempotency) return setOutcomeHeaders(reply, await act({ isChanged: false }));
  const found = await kept.find(idempotency);
  if (found.state === 'kept')
    return setOutcomeHeaders(reply, { ...(JSON.parse(found.text) as Completed<T>), replayed: true });
  const storedText = found.state === 'changed' ? found.text : undefined;
  const done = await act({ idempotency, isChanged: found.state === 'changed', storedText });
  await kept.store(idempotency, JSON.stringify({ body: done.body, zxid: done.zxid })).catch((error: unknown) => {
    // The operation succeeded and the client gets the response; a repeat would resume after the change.
    request.log.warn({ err: error }, 'The response to a request with an Idempotency-Key could not be stored');
  });
  return setOutcomeHeaders(reply, done);
}

function setOutcomeHeaders<T>(reply: FastifyReply, { body, zxid, replayed }: Completed<T>): T {
  if (replayed) reply.header('idempotency-replayed', 'true');
  if (zxid !== undefined) reply.header('weir-zxid', zxid);
  return body;
}

// Stores whole responses for repeats with the same Idempotency-Key, for operations that take more than one Redis script. The script that
// makes the change records it under the key, and the response is stored at the end. So a repeat gets the first response; a repeat that
// comes before it is stored resumes where the first attempt stopped (docs/adr/007).
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { decodeDocument } from '../core/stored-document.ts';
import type { IdempotencyKey } from '../store/idempotency.ts';
import type { StoredResponses } from '../store/stored-responses.ts';
import { type Outcome, setOutcomeHeaders } from './outcome-headers.ts';
import { idempotencyOf } from './plugins/idempotency.ts';

interface Completed<T> extends Outcome {
  body: T;
}

/** The input of an attempt: the key under which to record the change, and whether an earlier attempt has made it already. */
interface Attempt {
  idempotency?: IdempotencyKey | undefined;
  isChanged: boolean;
  /** The text that was stored with that change, if any. */
  storedText?: string | undefined;
}

/**
 * Executes a request, or returns the response that an earlier request with the same key got. Sets Weir-Zxid and Idempotency-Replayed.
 * @param bodySchema the schema of the body; a stored body that does not match it is an internal error
 * @param act makes the change; it must pass the key on to the script that makes it
 * @returns the body of the response
 * @throws ServiceError IDEMPOTENCY_KEY_REUSED, TOO_MANY_REQUESTS, and what `act` throws
 */
export async function respondOnce<T>(
  storedResponses: StoredResponses,
  request: FastifyRequest,
  reply: FastifyReply,
  bodySchema: z.ZodType<T>,
  act: (attempt: Attempt) => Promise<Completed<T>>,
): Promise<T> {
  const idempotency = idempotencyOf(request);
  if (!idempotency) return respond(reply, await act({ isChanged: false }));
  const found = await storedResponses.find(idempotency);
  if (found.state === 'stored') return respond(reply, { ...decodeStored(found.text, bodySchema), replayed: true });
  const storedText = found.state === 'changed' ? found.text : undefined;
  const done = await act({ idempotency, isChanged: found.state === 'changed', storedText });
  await storedResponses
    .store(idempotency, JSON.stringify({ body: done.body, zxid: done.zxid }))
    .catch((error: unknown) => {
      // The operation has succeeded, so the client gets its response; a repeat would resume after the change.
      request.log.warn({ err: error }, 'Response to a request with an Idempotency-Key could not be stored');
    });
  return respond(reply, done);
}

function respond<T>(reply: FastifyReply, completed: Completed<T>): T {
  setOutcomeHeaders(reply, completed);
  return completed.body;
}

/** The body is only checked, not parsed: the client gets it as it was, even with fields that another version of the server has added. */
function decodeStored<T>(text: string, bodySchema: z.ZodType<T>): Completed<T> {
  const body = z.custom<T>((value) => bodySchema.safeParse(value).success, 'does not match its schema');
  return decodeDocument('The stored response', text, z.object({ body, zxid: z.int().optional() }));
}

// How a repeated request is recognized: by its Idempotency-Key, and for log appends also by a producer's id, epoch and sequence
// (store/log/batch.ts). docs/adr/007 has the whole design.
import { storedResponseId } from './sealed-response.ts';

/** An Idempotency-Key, and the fingerprint of its request: the same key with another fingerprint is refused. */
export interface IdempotencyKey {
  key: string;
  fingerprint: string;
}

/** A response that a script stores together with its change, so that a repeat of the request gets it again. */
export interface ResponseToStore {
  idempotencyKey: IdempotencyKey;
  response: string;
}

/** How long a response is stored for repeats, ms. */
const idempotencyTtlMs = 10 * 60_000;

/** The limits of stored responses, as `<ttl ms>:<count>:<bytes>` for lua/lib/record-quota.lua. */
export function storedResponseLimits(count: number, bytes: number): string {
  return `${idempotencyTtlMs}:${count}:${bytes}`;
}

/** The arguments of a script on coordination keys: the id of the stored response, and the fingerprint; both '' without a key. */
export function idempotencyArguments(idempotencyKey: IdempotencyKey | undefined): [id: string, fingerprint: string] {
  return idempotencyKey ? [storedResponseId(idempotencyKey.key), idempotencyKey.fingerprint] : ['', ''];
}

/** The arguments of a script on a log: the key itself, the fingerprint, and the limits of stored responses. */
export function logIdempotencyArguments(idempotencyKey: IdempotencyKey | undefined, limits: string): string[] {
  return [idempotencyKey?.key ?? '', idempotencyKey?.fingerprint ?? '', limits];
}

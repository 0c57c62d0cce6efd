// Encrypts stored responses that hold a secret. An Idempotency-Key itself is never in Redis: stored responses are found by a hash of
// it, and only a client that has the key can get a sealed response decrypted (docs/adr/007).
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { ServiceError } from '../core/service-error.ts';

const cipher = 'aes-256-gcm';
const ivBytes = 12;
const tagBytes = 16;

/** The least length of an Idempotency-Key if the response holds a secret: a key that can be guessed would give it away. */
const secretKeyLengthMin = 16;

/** @param name what the client calls the key. @throws ServiceError BAD_REQUEST for a key that is too short for a response with a secret */
export function requireSecretKey(name: string, key: string): void {
  if (key.length >= secretKeyLengthMin) return;
  throw new ServiceError(
    'BAD_REQUEST',
    `${name} has ${key.length} characters; for a response with a secret it must have at least ${secretKeyLengthMin}, and be impossible ` +
      'to guess: every client that sends the same key gets the same response. Use a random UUID.',
  );
}

/** The id under which the response for an Idempotency-Key is stored. */
export function storedResponseId(key: string): string {
  return deriveKey(key, 'record id').toString('base64url');
}

/** Encrypts a response, so that only a repeat with the same Idempotency-Key can read it. */
export function sealResponse(key: string, response: string): string {
  const iv = randomBytes(ivBytes);
  const sealing = createCipheriv(cipher, deriveKey(key, 'sealed reply'), iv);
  const sealed = Buffer.concat([sealing.update(response, 'utf8'), sealing.final()]);
  return Buffer.concat([iv, sealing.getAuthTag(), sealed]).toString('base64url');
}

/** Decrypts the result of sealResponse(). @throws Error if the key is another one, or the text was changed */
export function openResponse(key: string, sealedResponse: string): string {
  const bytes = Buffer.from(sealedResponse, 'base64url');
  const opening = createDecipheriv(cipher, deriveKey(key, 'sealed reply'), bytes.subarray(0, ivBytes));
  opening.setAuthTag(bytes.subarray(ivBytes, ivBytes + tagBytes));
  return Buffer.concat([opening.update(bytes.subarray(ivBytes + tagBytes)), opening.final()]).toString('utf8');
}

/** Each purpose has its own key, so the id of a response reveals nothing of its encryption. The purposes are stored data. */
function deriveKey(key: string, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', key, 'weirkeeper idempotency', purpose, 32));
}

// What Redis keeps for an Idempotency-Key, and how a kept response that holds a secret is encrypted. The key itself is never in
// Redis: records are found by a hash of it, and only who has the key can read a sealed response (docs/adr/007).
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';

const cipher = 'aes-256-gcm';
const ivBytes = 12;
const tagBytes = 16;

/**
 * Requests whose response holds a secret need a key of at least so many characters: a key that can be guessed would give the
 * secret away.
 */
export const secretKeyLengthMin = 16;

/** The name under which the record of an Idempotency-Key is kept. */
export function storedResponseId(key: string): string {
  return deriveKey(key, 'record id').toString('base64url');
}

/** Encrypts a response that holds a secret, so that only a repeat with the same Idempotency-Key can read it. */
export function sealResponse(key: string, reply: string): string {
  const iv = randomBytes(ivBytes);
  const sealing = createCipheriv(cipher, deriveKey(key, 'sealed reply'), iv);
  const sealed = Buffer.concat([sealing.update(reply, 'utf8'), sealing.final()]);
  return Buffer.concat([iv, sealing.getAuthTag(), sealed]).toString('base64url');
}

/** Reads what sealReply() made. @throws if it was made with another key, or changed */
export function openResponse(key: string, sealedReply: string): string {
  const bytes = Buffer.from(sealedReply, 'base64url');
  const opening = createDecipheriv(cipher, deriveKey(key, 'sealed reply'), bytes.subarray(0, ivBytes));
  opening.setAuthTag(bytes.subarray(ivBytes, ivBytes + tagBytes));
  return Buffer.concat([opening.update(bytes.subarray(ivBytes + tagBytes)), opening.final()]).toString('utf8');
}

/** Each purpose has a key of its own, so that the name of a record tells nothing of what encrypts it. */
function deriveKey(key: string, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', key, 'weirkeeper idempotency', purpose, 32));
}

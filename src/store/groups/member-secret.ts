// Creates the secrets of members, and hashes them for storage (core/groups/member-secret.ts says what they are for).
import { createHash, randomBytes } from 'node:crypto';

export function newMemberSecret(): string {
  return randomBytes(24).toString('base64url');
}

/** The hash of a secret, which is all that is stored of it. */
export function hashMemberSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('base64url');
}

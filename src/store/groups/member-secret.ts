// The secrets of members as they are made and stored (core/groups/member-secret.ts says what they are for).
import { createHash, randomBytes } from 'node:crypto';

export function newMemberSecret(): string {
  return randomBytes(24).toString('base64url');
}

/** What is stored of a secret. */
export function hashMemberSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('base64url');
}

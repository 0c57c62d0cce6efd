// Tokens: `weir_<id>_<secret>`, where the secret is 256 random bits. Only the SHA-256 of the whole token is stored: a random secret of
// that length cannot be guessed, so a slow hash would protect nothing and cost each request its time.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

/** What is told of a token to its owner, once, and what is stored of it. */
export interface NewToken {
  token: string;
  id: string;
  /** Hex. */
  sha256: string;
}

const tokenPattern = /^weir_([a-z0-9-]{1,64})_[A-Za-z0-9_-]{43}$/;
const secretBytes = 32;

/** @param id unique among the tokens, of the characters a-z 0-9 - */
export function newToken(id: string): NewToken {
  const token = `weir_${id}_${randomBytes(secretBytes).toString('base64url')}`;
  return { token, id, sha256: hashOf(token).toString('hex') };
}

const derivedIdPattern = /^d-[0-9a-f]{16}$/;

/** @returns a new id of a derived token */
export function newDerivedId(): string {
  return `d-${randomBytes(8).toString('hex')}`;
}

/** Whether an id is that of a derived token. Those of the policy file may not have this form. */
export function isDerivedId(id: string): boolean {
  return derivedIdPattern.test(id);
}

/** The id in a token; undefined if the text is not a token. */
export function tokenIdOf(token: string): string | undefined {
  return tokenPattern.exec(token)?.[1];
}

/** Whether a token has this hash. The comparison takes the same time wherever they differ. */
export function hasHash(token: string, sha256: Buffer): boolean {
  return timingSafeEqual(hashOf(token), sha256);
}

function hashOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

// The Weir-Member header: the secret of a member's incarnation, from the response to its join.
import type { FastifyRequest } from 'fastify';
import type { MemberCredential } from '../core/groups/member-secret.ts';
import { hashMemberSecret } from '../store/groups/member-secret.ts';

/** The secret that a request presents; an empty header is none. */
export function memberSecretOf(request: FastifyRequest): string | undefined {
  const secret = request.headers['weir-member'];
  return secret === undefined || secret === '' ? undefined : String(secret);
}

export function memberCredentialOf(request: FastifyRequest): NonNullable<MemberCredential> {
  const secret = memberSecretOf(request);
  return { secretHash: secret === undefined ? undefined : hashMemberSecret(secret), actsAs: request.actsAs };
}

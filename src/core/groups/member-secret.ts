// Tells the callers that use one member id apart: each join over HTTP that does not continue an earlier one gets a secret,
// which later calls send. Only its hash is stored (store/groups/member-secret.ts).

import { ServiceError } from '../service-error.ts';
import type { GroupMember } from './group-document.ts';

/** The hash of the secret that a caller sends; undefined if the broker itself acts for the member, as for one on a socket. */
export type MemberCredential = { secretHash: string | undefined } | undefined;

/** Earlier secrets of a member in the document: a caller that sends one learns that it was superseded. */
const formerSecretsMax = 5;

/**
 * A member without a secret is on a socket, or joined before there were secrets: no secret is required.
 * @throws ServiceError MEMBER_SUPERSEDED for the secret of an earlier incarnation, FORBIDDEN if it is missing or wrong
 */
export function checkCredential(member: GroupMember, credential: MemberCredential): void {
  if (!credential || (member.secretHash !== undefined && member.secretHash === credential.secretHash)) return;
  const { secretHash } = credential;
  if (secretHash !== undefined && member.formerSecretHashes?.includes(secretHash)) throw joinedAgain(member.memberId);
  if (member.secretHash === undefined) return;
  const what =
    secretHash === undefined ? 'The header Weir-Member is missing' : 'Weir-Member is not the secret of this member';
  throw new ServiceError(
    'FORBIDDEN',
    `${what}: send the memberSecret from the response to the join of '${member.memberId}'. If it is lost, join again without it, ` +
      'which ends the incarnation that has it.',
    { memberId: member.memberId },
  );
}

/**
 * The secrets of a member after a join.
 * @param before the member of its id, if there is one
 * @param presented the hash that the caller sends
 * @param fresh the hash of the secret for a new incarnation, undefined for a socket
 * @throws ServiceError as checkCredential(), if the caller sends a secret
 */
export function secretsOfJoin(
  before: GroupMember | undefined,
  presented: string | undefined,
  fresh: string | undefined,
): { secretHash: string | undefined; formerSecretHashes: string[] | undefined } {
  if (!before) return { secretHash: fresh, formerSecretHashes: undefined };
  const { secretHash, formerSecretHashes } = before;
  if (presented !== undefined) checkCredential(before, { secretHash: presented });
  if (presented !== undefined && presented === secretHash) return { secretHash, formerSecretHashes };
  const former = [...(formerSecretHashes ?? []), ...(secretHash === undefined ? [] : [secretHash])];
  return { secretHash: fresh, formerSecretHashes: former.length > 0 ? former.slice(-formerSecretsMax) : undefined };
}

function joinedAgain(memberId: string): ServiceError {
  return new ServiceError(
    'MEMBER_SUPERSEDED',
    `Member '${memberId}' was joined again by another caller, or by a join that was sent twice; this incarnation has ended. If both are ` +
      'programs of yours, give each a memberId of its own.',
    { memberId },
  );
}

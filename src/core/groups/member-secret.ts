// The member secrets, which distinguish callers that use the same member id. Each join over HTTP that begins a new incarnation
// gets a secret, and later calls of the member send it. Only its hash is stored (store/groups/member-secret.ts).

import { type Actor, mayUse } from '../actor.ts';
import { ServiceError } from '../service-error.ts';
import { type GroupDocument, type GroupMember, memberOf } from './group-document.ts';

/**
 * The hash of the secret that a caller sends, and whose members it may use. The credential is undefined for calls by a broker, as for a
 * member on a socket.
 */
export type MemberCredential = ({ secretHash: string | undefined } & Pick<Actor, 'actsAs'>) | undefined;

/** The number of earlier secret hashes of a member that are stored; a caller that sends one gets MEMBER_SUPERSEDED. */
const formerSecretsMax = 5;

/**
 * Checks the secret of a caller. A member without a secret requires none: it is on a socket, or a version without secrets has
 * stored it.
 * @throws ServiceError MEMBER_SUPERSEDED for the secret of an earlier incarnation; FORBIDDEN if it is missing or wrong, or the member
 *   belongs to another identity
 */
export function checkCredential(member: GroupMember, credential: MemberCredential): void {
  if (credential) checkOwner(member, credential);
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

/** Only the identity that has joined a member acts for it or takes its place, and an admin. @throws ServiceError FORBIDDEN */
export function checkOwner({ memberId, identity }: GroupMember, actor: Pick<Actor, 'actsAs'>): void {
  if (mayUse(actor, identity)) return;
  throw new ServiceError(
    'FORBIDDEN',
    `Member '${memberId}' belongs to another identity than ${actor.actsAs}. Join under another memberId and instanceId.`,
    { memberId },
  );
}

/** Returns the member that sends a request. @throws ServiceError as memberOf() and checkCredential() */
export function callingMember(
  group: Pick<GroupDocument, 'members'>,
  memberId: string,
  credential: MemberCredential,
): GroupMember {
  const member = memberOf(group, memberId);
  checkCredential(member, credential);
  return member;
}

/**
 * The secret hashes of a member after a join.
 * @param before the existing member with this id, if any
 * @param presented the hash of the secret that the caller sends, if any. The caller has checked whose member it is
 * @param fresh the hash of the secret for a new incarnation; undefined for a member on a socket
 * @throws ServiceError as checkCredential(), if the caller sends a secret
 */
export function secretsOfJoin(
  before: GroupMember | undefined,
  presented: string | undefined,
  fresh: string | undefined,
): { secretHash: string | undefined; formerSecretHashes: string[] | undefined } {
  if (!before) return { secretHash: fresh, formerSecretHashes: undefined };
  const { secretHash, formerSecretHashes } = before;
  if (presented !== undefined) checkCredential(before, { secretHash: presented, actsAs: undefined });
  if (presented !== undefined && presented === secretHash) return { secretHash, formerSecretHashes };
  const former = [...(formerSecretHashes ?? []), ...(secretHash === undefined ? [] : [secretHash])];
  return { secretHash: fresh, formerSecretHashes: former.length > 0 ? former.slice(-formerSecretsMax) : undefined };
}

function joinedAgain(memberId: string): ServiceError {
  return new ServiceError(
    'MEMBER_SUPERSEDED',
    `Member '${memberId}' was joined again by another caller, or by a join that was sent twice; this incarnation has ended. If two ` +
      'programs use this memberId, give each its own.',
    { memberId },
  );
}

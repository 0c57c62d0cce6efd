// The request to join a group: what a client sends over HTTP or a WebSocket, and what the service makes of it.
import { randomBytes, randomUUID } from 'node:crypto';
import type { RequestedDuration } from '../../../schemas/duration.ts';
import { rebalanceTimeoutDefaultMs, rebalanceTimeoutMsMin, sessionTimeoutDefaultMs } from '../../../schemas/groups.ts';
import type { Actor } from '../../core/actor.ts';
import { plainAddress } from '../../core/client-address.ts';
import { checkName } from '../../core/groups/group-document.ts';
import type { JoinRequest } from '../../core/groups/group-state.ts';
import { subscriptionOf } from '../../core/groups/group-topics.ts';
import { requestedMs } from '../../core/requested-duration.ts';
import { checkPattern } from './group-patterns.ts';

/** A join as a client asks for it. The service adds the session, and the member id if the client has chosen none. */
export interface Join
  extends Omit<JoinRequest, 'memberId' | 'sessionId' | 'joinedAt' | 'secretHash' | 'presentedSecretHash'> {
  memberId?: string | undefined;
}

/** The fields of a join in the body of a request or the query of a socket. */
interface JoinFields extends Pick<Join, 'memberId' | 'instanceId' | 'clientId' | 'assignor' | 'reset'> {
  topics?: string[] | undefined;
  pattern?: string | undefined;
  sessionTimeout?: RequestedDuration | undefined;
  rebalanceTimeout?: RequestedDuration | undefined;
}

/** Kafka's limits; the lower limit of the session timeout is configured. */
const sessionTimeoutMsMax = 30 * 60_000;
const rebalanceTimeoutMsMax = 60 * 60_000;

/**
 * @param actor who joins
 * @param sessionMinTtlMs the shortest session timeout that is allowed
 * @param remoteAddress of the client; what is no address, as a proxy may send, is left out
 * @throws ServiceError BAD_REQUEST
 */
export function joinOf(fields: JoinFields, actor: Actor, sessionMinTtlMs: number, remoteAddress: string): Join {
  const { topics, pattern, sessionTimeout, rebalanceTimeout, ...rest } = fields;
  return {
    ...rest,
    actor,
    address: plainAddress(remoteAddress),
    subscription: subscriptionOf(topics, pattern),
    sessionTimeoutMs: sessionTimeout
      ? requestedMs('sessionTimeout', sessionTimeout, sessionMinTtlMs)
      : sessionTimeoutDefaultMs,
    rebalanceTimeoutMs: rebalanceTimeout
      ? requestedMs('rebalanceTimeout', rebalanceTimeout, rebalanceTimeoutMsMin)
      : rebalanceTimeoutDefaultMs,
  };
}

/**
 * Adds the ids that the service gives, and brings the timeouts within their limits.
 * @throws ServiceError BAD_REQUEST for a name or a pattern that is not valid
 */
export function joinRequestOf(group: string, join: Join, sessionMinTtlMs: number): JoinRequest {
  checkName('group', group);
  const memberId = join.memberId ?? randomUUID();
  checkName('memberId', memberId);
  if (join.instanceId !== undefined) checkName('instanceId', join.instanceId);
  if ('pattern' in join.subscription) checkPattern(join.subscription.pattern);
  return {
    ...join,
    memberId,
    joinedAt: Date.now(),
    sessionId: randomBytes(8).toString('hex'),
    sessionTimeoutMs: Math.min(Math.max(join.sessionTimeoutMs, sessionMinTtlMs), sessionTimeoutMsMax),
    rebalanceTimeoutMs: Math.min(Math.max(join.rebalanceTimeoutMs, rebalanceTimeoutMsMin), rebalanceTimeoutMsMax),
  };
}

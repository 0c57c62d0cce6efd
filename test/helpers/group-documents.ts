// Shared by tests of group documents: views of topics, and join requests.
import { unrestricted } from '../../src/core/actor.ts';
import type { SubscribedTopic, Subscription } from '../../src/core/groups/group-document.ts';
import type { JoinRequest } from '../../src/core/groups/group-state.ts';
import type { TopicsView } from '../../src/core/groups/group-topics.ts';

/** A view of topics with these partition counts; the id of a topic is its name by default. */
export function topicsViewOf(counts: Record<string, number>, ids: Record<string, string> = {}): TopicsView {
  const infos = new Map<string, SubscribedTopic>(
    Object.entries(counts).map(([name, partitionCount]) => [name, { topicId: ids[name] ?? name, partitionCount }]),
  );
  return {
    get: (topic) => infos.get(topic),
    matching: (pattern) => [...infos.keys()].filter((name) => name.startsWith(pattern)),
  };
}

let sessions = 0;

export function request(memberId: string, subscription: Subscription, more: Partial<JoinRequest> = {}): JoinRequest {
  return {
    memberId,
    sessionId: `s${++sessions}`,
    subscription,
    sessionTimeoutMs: 45_000,
    rebalanceTimeoutMs: 300_000,
    reset: 'latest',
    actor: unrestricted,
    ...more,
  };
}

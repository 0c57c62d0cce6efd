// The topics with their figures, read again while somebody looks, and at once when one is created or deleted.
import type { Topics } from '@weirkeeper/client';
import { type Resource, useResource } from '../live/resource.ts';
import { api } from '../live/session.ts';
import { ValueHistory } from '../live/value-history.ts';
import { useWatch } from '../live/watch.ts';

export type TopicSummary = Topics['topics'][number];

/** A page of the list of the server, and of this one; there are clusters with more. */
const topicsMax = 10_000;
/** Many topics make a large response. */
const [quickMs, slowMs, manyTopics] = [2000, 8000, 500];

const rates = { pointsMax: 60, keysMax: 20_000 };
const incoming = new ValueHistory(rates);
const outgoing = new ValueHistory(rates);

export interface TopicList {
  topics: readonly TopicSummary[];
  hasMore: boolean;
}

/** The topics, as long as the component is shown. */
export function useTopics(): Resource<TopicList> {
  const list = useResource('topics', readTopics, { everyMs: pauseOf(lastCount) });
  useWatch('/brokers/topics', 'children', { transaction: list.reload, resync: () => {} });
  return list;
}

let lastCount = 0;

function pauseOf(count: number): number {
  return count > manyTopics ? slowMs : quickMs;
}

async function readTopics(signal: AbortSignal): Promise<TopicList> {
  const { topics, next } = await api().request<Topics>({
    path: `/v1/topics?view=summary&limit=${topicsMax}`,
    signal,
  });
  for (const { topicId, inPerSec = 0, outPerSec = 0 } of topics) {
    incoming.add(topicId, inPerSec);
    outgoing.add(topicId, outPerSec);
  }
  lastCount = topics.length;
  return { topics, hasMore: next !== undefined };
}

/** The last rates of a topic that the page has seen, the newest last. */
export function ratesOf(topicId: string): { incoming: readonly number[]; outgoing: readonly number[] } {
  return { incoming: incoming.of(topicId), outgoing: outgoing.of(topicId) };
}

/** The lag of the group that is most behind in a topic. */
export function largestLag({ groups = [] }: TopicSummary): number {
  return groups.reduce((largest, { lag }) => Math.max(largest, lag), 0);
}

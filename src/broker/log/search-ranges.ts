// Where a search of records looks: found from what its client asks for, or from the position at which an earlier search has ended.
import { topicTailPartitionsMax } from '../../../schemas/topic-tail.ts';
import { ServiceError } from '../../core/service-error.ts';
import type { Logs } from '../../store/log/logs.ts';
import { checkPartition, type TopicCache, type TopicInfo, unknownTopic } from '../metadata/topic-cache.ts';
import type { LogReader } from './log-reader.ts';
import type { SearchRange } from './record-search.ts';
import { earlierTopic, parsePosition } from './topic-tail.ts';

interface Parts {
  topics: TopicCache;
  logReader: Pick<LogReader, 'offsetAt'>;
  logs: Logs;
}

interface SearchPlace {
  /** Undefined = all. */
  partitions: readonly number[] | undefined;
  /** Search from this moment on, ms since the epoch; undefined = from the end backwards. */
  timestamp: number | undefined;
  /** The `next` of an earlier search; it names all partitions of which something is left. */
  position: string | undefined;
}

/**
 * Finds the part of each partition in which a search looks.
 * @throws ServiceError BAD_REQUEST, UNKNOWN_TOPIC (also for the position of an earlier topic of the name), UNKNOWN_PARTITION;
 *   TOO_MANY_REQUESTS if too many others search by time
 */
export async function searchRanges(
  { topics, logReader, logs }: Parts,
  name: string,
  { partitions, timestamp, position }: SearchPlace,
): Promise<{ topic: TopicInfo; ranges: SearchRange[] }> {
  const resumed = position === undefined ? undefined : parsePosition(position);
  return topics.withTopic(name, async (topic) => {
    const { topicId, partitionCount } = topic;
    if (resumed?.topicId !== undefined && resumed.topicId !== topicId) throw earlierTopic(name, resumed.topicId);
    const all = () => Array.from({ length: partitionCount }, (_, partition) => partition);
    const wanted = resumed ? [...resumed.offsets.keys()] : (partitions ?? all());
    for (const partition of wanted) checkPartition(topic, partition);
    if (wanted.length > topicTailPartitionsMax) {
      throw new ServiceError(
        'BAD_REQUEST',
        `Topic ${name} has ${wanted.length} partitions to search; one search looks into at most ${topicTailPartitionsMax}. Name some with partition.`,
      );
    }
    const bounds = await logs.bounds(wanted.map((partition) => ({ topicId, partition })));
    const ranges = await Promise.all(
      wanted.map(async (partition, index) => {
        const log = bounds[index];
        if (!log) throw unknownTopic(name);
        const { logStartOffset, endOffset } = log;
        const at = resumed?.offsets.get(partition);
        if (timestamp === undefined)
          return { partition, start: logStartOffset, end: Math.min(at ?? endOffset, endOffset) };
        const start = at ?? (await logReader.offsetAt(topic, partition, timestamp)).offset;
        return { partition, start: Math.max(start, logStartOffset), end: endOffset };
      }),
    );
    return { topic, ranges };
  });
}

/** The position of what is left of a search. */
export function positionOf({ topicId }: TopicInfo, rest: readonly SearchRange[], backwards: boolean): string {
  return `${topicId}@${rest.map(({ partition, start, end }) => `${partition}:${backwards ? end : start}`).join(',')}`;
}

// Where the partitions of a topic begin, end, or were at a moment.
import { ServiceError } from '../../core/service-error.ts';
import type { Logs } from '../../store/log/logs.ts';
import type { TopicCache } from '../metadata/topic-cache.ts';
import type { LogReader } from './log-reader.ts';

interface PartitionOffset {
  partition: number;
  offset: number;
  /** With a moment: the timestamp of the record there, ms since the epoch; null if there is none. */
  timestamp?: number | null;
}

/**
 * Finds an offset in each partition of a topic.
 * @param at a number is a moment, ms since the epoch: the first record with this timestamp or a later one
 * @throws ServiceError UNKNOWN_TOPIC; TOO_MANY_REQUESTS if too many others search by time
 */
export async function topicOffsets(
  { topics, logReader, logs }: { topics: TopicCache; logReader: LogReader; logs: Logs },
  topicName: string,
  at: 'earliest' | 'latest' | number,
): Promise<{ topic: string; partitions: PartitionOffset[] }> {
  return topics.withTopic(topicName, async (topic) => {
    const { name, topicId, partitionCount } = topic;
    const all = Array.from({ length: partitionCount }, (_, partition) => ({ topicId, partition }));
    if (typeof at === 'number') {
      const found = await Promise.all(all.map(({ partition }) => logReader.offsetAt(topic, partition, at)));
      const partitions = found.map(({ offset, timestamp = null }, partition) => ({ partition, offset, timestamp }));
      return { topic: name, partitions };
    }
    const bounds = await logs.bounds(all);
    const partitions = bounds.map((log, partition) => {
      if (!log) throw new ServiceError('UNKNOWN_TOPIC', `Topic ${name} was deleted.`, { topic: name });
      return { partition, offset: at === 'earliest' ? log.logStartOffset : log.endOffset };
    });
    return { topic: name, partitions };
  });
}

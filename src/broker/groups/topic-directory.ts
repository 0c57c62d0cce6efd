// Lists topics, with their sizes and rates and the groups that read them, from what this broker knows already: a page costs one read of
// the names, however many topics it has.

import { readableChildren } from '../../access/readable-children.ts';
import { topicsPath } from '../../core/cluster/cluster-nodes.ts';
import { hasCode } from '../../core/service-error.ts';
import type { Namespace } from '../../store/tree/namespace.ts';
import type { LogFigures } from '../log/log-figures.ts';
import type { BrokerDirectory } from '../metadata/broker-directory.ts';
import type { PartitionCache, TopicPartitions } from '../metadata/partition-cache.ts';
import type { TopicCache } from '../metadata/topic-cache.ts';
import type { GroupFigures } from './group-figures.ts';

/** So many groups of a topic are listed, those with the largest lag. */
const groupsOfTopicMax = 100;

interface Parts {
  namespace: Namespace;
  topics: TopicCache;
  partitions: PartitionCache;
  logs: LogFigures;
  groups: GroupFigures;
  brokers: BrokerDirectory;
}

interface TopicsPage {
  topics: TopicPartitions[];
  /** The `after` of the next page, if there is one. */
  next: string | undefined;
  zxid: number;
}

export class TopicDirectory {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /**
   * A page of the topics, by name.
   * @param mayRead whether the caller may see a topic
   * @throws ServiceError TOO_LARGE if too many that it may not see are behind each other
   */
  async page(
    page: { after?: string | undefined; limit: number },
    mayRead: (topic: string) => boolean,
  ): Promise<TopicsPage> {
    const { namespace, topics, partitions } = this.#parts;
    const { children, next, zxid } = await readableChildren(
      (asked) => namespace.children(topicsPath, asked),
      page,
      mayRead,
    );
    const infos = await Promise.all(
      children.map(
        ({ name }) => topics.known(name) ?? partitions.topic(name) ?? topics.get(name).catch(ignoreIfDeleted),
      ),
    );
    return { topics: infos.filter((info) => info !== undefined), next, zxid };
  }

  /** Adds sizes, rates and groups to topics of a page. @param mayUse whether the caller may see a group */
  async summaries(topics: readonly TopicPartitions[], mayUse: (group: string) => boolean) {
    const { logs, groups, brokers, partitions } = this.#parts;
    const [figures, sendsPerSecond] = await Promise.all([groups.read(), brokers.sendsPerSecond(), logs.ensure(topics)]);
    return topics.map(({ name, topicId, partitionCount }) => {
      const { records = null, bytes = null } = logs.topic(topicId) ?? {};
      const readers = figures?.byTopic.get(name) ?? [];
      return {
        name,
        topicId,
        partitions: partitionCount,
        records,
        bytes,
        inPerSec: logs.appendsPerSecond(name),
        outPerSec: sendsPerSecond(name),
        ...partitions.leadersOf(name),
        groups: readers
          .filter(({ group }) => mayUse(group))
          .slice(0, groupsOfTopicMax)
          .map(({ group, sum: lag }) => ({ group, lag })),
      };
    });
  }
}

/** It was deleted meanwhile. */
function ignoreIfDeleted(error: unknown): undefined {
  if (!hasCode(error, 'UNKNOWN_TOPIC')) throw error;
}

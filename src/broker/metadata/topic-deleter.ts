// Finishes the deletion of topics. Their nodes are deleted already, and a marker under /admin/delete_topics names the logs that
// are left; these and the groups' committed offsets for the topic are deleted, as in Kafka. The broker that served the request
// does it at once; every broker looks for markers left by a broker that died. Doing it twice does no harm.
import type { Logger } from 'pino';
import { z } from 'zod';
import { hasCode } from '../../core/service-error.ts';
import { decodeDocument } from '../../core/stored-document.ts';
import type { Store } from '../../store/store.ts';
import { PeriodicTask } from '../periodic-task.ts';

const everyMs = 5000;
const deletionsPath = '/admin/delete_topics';

export const deletionPath = (topic: string): string => `${deletionsPath}/${topic}`;

interface Deletion {
  topicId: string;
  partitions: number;
}

const deletionDocument = z.object({ topic_id: z.string(), partitions: z.int() });

export function encodeDeletion({ topicId, partitions }: Deletion): string {
  return JSON.stringify({ version: 1, topic_id: topicId, partitions });
}

function decodeDeletion(data: Buffer): Deletion {
  const { topic_id, partitions } = decodeDocument('The marker of a deleted topic', data, deletionDocument);
  return { topicId: topic_id, partitions };
}

/** Deletes the logs that the topic's marker names and the committed offsets, then the marker; without a marker does nothing. */
export async function finishDeletion({ namespace, logs, committedOffsets }: Store, topic: string): Promise<void> {
  const path = deletionPath(topic);
  try {
    const { data, stat } = await namespace.get(path);
    const { topicId, partitions } = decodeDeletion(data);
    await Promise.all(Array.from({ length: partitions }, (_, partition) => logs.remove(topicId, partition)));
    await committedOffsets.forgetTopic(topic, topicId);
    await namespace.write([{ op: 'delete', path, mzxid: stat.mzxid }], { privileged: true });
  } catch (error) {
    // Another broker has deleted the marker, or it is that of a later topic of the same name.
    if (!hasCode(error, 'NO_NODE') && !hasCode(error, 'BAD_VERSION')) throw error;
  }
}

export function createTopicDeleter(store: Store, log: Logger): PeriodicTask {
  return new PeriodicTask(
    'topic deleter',
    everyMs,
    async () => {
      for (const topic of await store.namespace.allChildren(deletionsPath)) {
        await finishDeletion(store, topic);
        log.info({ topic }, 'The deletion of a topic was finished');
      }
    },
    log,
  );
}

// Finishes the deletion of topics: their nodes are gone, and a note under /admin/delete_topics says which logs are left. What
// groups have committed for the topic goes with them, as in Kafka. The broker that was asked does it at once; every broker
// looks for notes that a dead one left. Doing it twice does no harm.
import type { Logger } from 'pino';
import { hasCode } from '../../core/service-error.ts';
import type { Store } from '../../store/store.ts';
import { PeriodicTask } from '../periodic-task.ts';

const everyMs = 5000;
const deletionsPath = '/admin/delete_topics';

export const deletionPath = (topic: string): string => `${deletionsPath}/${topic}`;

interface Deletion {
  topicId: string;
  partitions: number;
}

export function encodeDeletion({ topicId, partitions }: Deletion): string {
  return JSON.stringify({ version: 1, topic_id: topicId, partitions });
}

function decodeDeletion(data: Buffer): Deletion {
  const { topic_id, partitions } = JSON.parse(data.toString());
  return { topicId: topic_id, partitions };
}

/** Removes the logs that the note of this topic names and the commits for it, then the note; without one, does nothing. */
export async function finishDeletion({ namespace, logs, committedOffsets }: Store, topic: string): Promise<void> {
  const path = deletionPath(topic);
  try {
    const { data, stat } = await namespace.get(path);
    const { topicId, partitions } = decodeDeletion(data);
    await Promise.all(Array.from({ length: partitions }, (_, partition) => logs.remove(topicId, partition)));
    await committedOffsets.forgetTopic(topic, topicId);
    await namespace.write([{ op: 'delete', path, mzxid: stat.mzxid }], { privileged: true });
  } catch (error) {
    // Another broker was faster, or the note is already that of a later topic of the same name.
    if (!hasCode(error, 'NO_NODE') && !hasCode(error, 'BAD_VERSION')) throw error;
  }
}

export function createTopicDeleter(store: Store, log: Logger): PeriodicTask {
  return new PeriodicTask(
    'deletion of topics',
    everyMs,
    async () => {
      for (const topic of await store.namespace.allChildren(deletionsPath)) {
        await finishDeletion(store, topic);
        log.info({ topic }, 'Finished the deletion of a topic');
      }
    },
    log,
  );
}

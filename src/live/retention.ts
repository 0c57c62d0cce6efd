// Lets logs go of what is outside their limits. A partition's leader keeps house for it, so each broker looks after those
// that it leads; the script itself never takes a record that is inside both limits, whoever calls it (guarantee L5).
import type { Logger } from 'pino';
import { decodePartitionState, partitionStatePath } from '../core/cluster-nodes.ts';
import { hasCode } from '../core/service-error.ts';
import type { Store } from '../store/store.ts';
import type { BrokerRegistration } from './broker-registration.ts';
import { Repeat } from './repeat.ts';
import type { TopicInfo, Topics } from './topics.ts';

/** Retention takes effect within 10 s (design/2-api.md, How soon). */
const everyMs = 5000;
/** How many bounded steps one partition gets in a round, before the others have their turn. */
const stepsMax = 20;

export function createRetention(store: Store, topics: Topics, registration: BrokerRegistration, log: Logger): Repeat {
  /** Whether this broker leads the partition now. */
  async function leads(topic: string, partition: number): Promise<boolean> {
    const { data } = await store.namespace.get(partitionStatePath(topic, partition));
    return decodePartitionState(data, []).leader === registration.brokerId;
  }

  /** @returns whether a partition has more to let go of than it had time for */
  async function keepHouse({ name, topicId, partitionCount, config }: TopicInfo): Promise<boolean> {
    const limits = { retentionMs: config['retention.ms'], retentionBytes: config['retention.bytes'] };
    if (!config['cleanup.policy'].includes('delete')) return false;
    if (limits.retentionMs < 0 && limits.retentionBytes < 0) return false;
    let isBehind = false;
    for (let partition = 0; partition < partitionCount; partition++) {
      if (!(await leads(name, partition))) continue;
      let more = true;
      for (let step = 0; more && step < stepsMax; step++) {
        more = (await store.logs.retain(topicId, partition, limits)).more;
      }
      isBehind ||= more;
    }
    return isBehind;
  }

  const retention = new Repeat(
    'retention',
    everyMs,
    async () => {
      if (!registration.session) return;
      for (const name of topics.names()) {
        try {
          // Who appends fast must not be faster than this: the next round then begins at once.
          if (await keepHouse(await topics.get(name))) retention.trigger();
        } catch (error) {
          // The topic was deleted meanwhile.
          if (!hasCode(error, 'UNKNOWN_TOPIC') && !hasCode(error, 'NO_NODE')) throw error;
        }
      }
    },
    log,
  );
  return retention;
}

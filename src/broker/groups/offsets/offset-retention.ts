// Expires committed offsets after their retention time, and deletes groups without members and offsets, as Kafka does by
// offsets.retention.minutes. The time of an empty group counts from when it became empty; that of a topic without subscribers
// from its last commit.
//
// Every broker looks for such groups and one claims each. The script that deletes checks again, by the clock of Redis and for
// the version of the group.
import type { Logger } from 'pino';
import type { CommittedOffsets } from '../../../store/groups/committed-offsets.ts';
import type { Metrics } from '../../metrics.ts';
import { PeriodicTask } from '../../periodic-task.ts';
import type { GroupStateManager } from '../group-state-manager.ts';

/** Half of the 10 s within which committed offsets expire. */
const everyMs = 5000;
/** A broker that claims a group handles it within this time; else another broker may claim it. */
const claimMs = 5000;
const groupsAtOnce = 100;
/** So that a script does not block the store for long. */
const offsetsAtOnce = 1000;

export function createOffsetRetention(
  offsets: CommittedOffsets,
  states: GroupStateManager,
  options: { offsetsRetentionMs: number },
  metrics: Metrics,
  log: Logger,
): PeriodicTask {
  const { offsetsRetentionMs } = options;
  const expirations = metrics.counter(
    'group_offsets_expired_total',
    'Committed offsets that this broker deleted because they were unused for the retention time.',
  );

  async function expireOffsets(group: string): Promise<void> {
    for (;;) {
      const { version, document } = await states.read(group);
      const kept = Object.values(document?.members ?? {}).flatMap(({ topics }) => topics);
      const { expired, isDeleted } = await offsets.expire(
        group,
        version,
        [...new Set(kept)],
        offsetsRetentionMs,
        offsetsAtOnce,
      );
      expirations.inc(expired);
      if (expired > 0) log.info({ group, offsets: expired }, 'Committed offsets of a group expired');
      if (isDeleted) log.info({ group }, 'A group without members and offsets was deleted');
      if (expired < offsetsAtOnce) return;
    }
  }

  return new PeriodicTask(
    'retention of committed offsets',
    everyMs,
    async () => {
      for (;;) {
        const due = await offsets.claimDue(offsetsRetentionMs, claimMs, groupsAtOnce);
        for (const group of due) await expireOffsets(group);
        if (due.length < groupsAtOnce) return;
      }
    },
    log,
  );
}

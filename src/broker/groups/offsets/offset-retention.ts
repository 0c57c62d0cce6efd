// Expires committed offsets after their retention time, and deletes groups without members and offsets, as Kafka does with
// offsets.retention.minutes. The retention time of an empty group begins when it becomes empty; that of a topic without
// subscribers begins with its last commit.
//
// Every broker searches for such groups, and one broker claims each group. The script that deletes offsets checks again, with
// the clock of Redis and the version of the group.
import type { Logger } from 'pino';
import type { CommittedOffsets } from '../../../store/groups/committed-offsets.ts';
import type { Metrics } from '../../metrics.ts';
import { PeriodicTask } from '../../periodic-task.ts';
import type { GroupStateManager } from '../group-state-manager.ts';

/** Interval of the task, ms: half of the 10 s within which due offsets are deleted. */
const everyMs = 5000;
/** How long a claim on a group is valid, ms. After that another broker may claim the group. */
const claimMs = 5000;
const groupsAtOnce = 100;
/** Most offsets deleted by one script call, so that it does not block the store for long. */
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
    'Committed offsets that this broker deleted after their retention time.',
  );

  async function expireOffsets(group: string): Promise<void> {
    for (;;) {
      const { version, document } = await states.read(group);
      const subscribed = Object.values(document?.members ?? {}).flatMap(({ topics }) => topics);
      const { expired, isDeleted } = await offsets.expire(
        group,
        version,
        [...new Set(subscribed)],
        offsetsRetentionMs,
        offsetsAtOnce,
      );
      expirations.inc(expired);
      if (expired > 0) log.info({ group, offsets: expired }, 'Committed offsets deleted after their retention time');
      if (isDeleted) log.info({ group }, 'Group deleted: it has no members and no committed offsets');
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

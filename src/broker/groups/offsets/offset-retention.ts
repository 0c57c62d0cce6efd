// Takes back committed offsets that nobody has needed for as long as they are kept, and deletes the groups of which nothing
// is left then, as Kafka does by offsets.retention.minutes: those of an empty group since it became empty, those of a
// topic that no member subscribes to any more since they were committed.
//
// Every broker looks for groups that are due; each is claimed by one of them, and what it takes back is checked once more
// in the script that does it, by the store's clock and for the version of the group that was judged.
import type { Logger } from 'pino';
import type { CommittedOffsets } from '../../../store/groups/committed-offsets.ts';
import type { Metrics } from '../../metrics.ts';
import { PeriodicTask } from '../../periodic-task.ts';
import type { GroupStateManager } from '../group-state-manager.ts';

/** Half of the 10 s within which committed offsets expire. */
const everyMs = 5000;
/** Who claims a group deals with it within this time, or another does. */
const claimMs = 5000;
const groupsAtOnce = 100;
/** A script must not hold the store for long. */
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
    'Committed offsets that this broker took back, as nobody had needed them for the retention time.',
  );

  async function lookInto(group: string): Promise<void> {
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
        for (const group of due) await lookInto(group);
        if (due.length < groupsAtOnce) return;
      }
    },
    log,
  );
}

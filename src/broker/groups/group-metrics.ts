// What the operator sees of what this broker does to groups: assignments, and how long groups take to come to rest. How many
// there are and how far they are behind is for all brokers together: cluster-group-metrics.ts.
import { emptyGroup, type GroupDocument } from '../../core/groups/group-document.ts';
import { groupStateName } from '../../core/groups/member-reconciliation.ts';
import type { Metrics } from '../metrics.ts';

export class GroupMetrics {
  /** A member was fenced: it did not let go in time, or made no consume call. */
  readonly fenced;
  /** A join was refused, as the group has no room for it. */
  readonly refused;
  readonly #rebalances;
  readonly #conflicts;
  readonly #settling;

  constructor(metrics: Metrics) {
    this.#rebalances = metrics.counter('group_rebalances_total', 'Assignments of groups that this broker computed.');
    this.#conflicts = metrics.counter(
      'group_conflicts_total',
      'Decisions over groups that had to be made again, as the group had changed meanwhile.',
    );
    this.#settling = metrics.histogram(
      'group_rebalance_seconds',
      'From the change that moved a group until each member had what it shall have; seen by the broker that ended it.',
    );
    this.refused = metrics.counter(
      'group_joins_refused_total',
      'Joins that this broker refused, as the group has as many members, topic names or partitions as it may have.',
    );
    this.fenced = metrics.counter(
      'group_members_fenced_total',
      'Members that this broker took out, as they did not let go in time or made no consume call.',
    );
  }

  /** This broker has taken the group from `before` to `next`. @param movedMs how long it was on the move, if it has ended */
  recordChange(
    before: GroupDocument = emptyGroup(),
    next: GroupDocument = emptyGroup(),
    movedMs: number | undefined,
  ): void {
    const isRebalance = next.targetEpoch > before.targetEpoch;
    if (isRebalance) this.#rebalances.inc();
    if (movedMs !== undefined) this.#settling.observe(movedMs / 1000);
    else if (isRebalance && groupStateName(next) === 'stable') this.#settling.observe(0);
  }

  countConflict(): void {
    this.#conflicts.inc();
  }
}

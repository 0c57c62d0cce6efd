// Metrics of what this broker does to groups: assignments, and how long rebalances take. The number of groups and their lag are
// metrics of the whole cluster: cluster-group-metrics.ts.
import { emptyGroup, type GroupDocument } from '../../core/groups/group-document.ts';
import { groupStateName } from '../../core/groups/member-reconciliation.ts';
import type { Metrics } from '../metrics.ts';

export class GroupMetrics {
  /** Members that were fenced: they did not release in time, or made no consume call. */
  readonly fenced;
  /** Joins that were refused because of the limits of a group. */
  readonly refused;
  readonly #rebalances;
  readonly #conflicts;
  readonly #settling;

  constructor(metrics: Metrics) {
    this.#rebalances = metrics.counter('group_rebalances_total', 'Assignments of groups that this broker computed.');
    this.#conflicts = metrics.counter(
      'group_conflicts_total',
      'Updates of group documents that were computed again after a version conflict.',
    );
    this.#settling = metrics.histogram(
      'group_rebalance_seconds',
      'Duration of rebalances: from the change of a group until each member had its whole assignment. Only on the broker that completed it.',
    );
    this.refused = metrics.counter(
      'group_joins_refused_total',
      'Joins that this broker refused because the group is at its limit of members, topic names or partitions.',
    );
    this.fenced = metrics.counter(
      'group_members_fenced_total',
      'Members that this broker fenced because they did not release partitions in time or made no consume call.',
    );
  }

  /** Records that this broker has updated a group. @param movedMs how long the rebalance took that has ended with this */
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

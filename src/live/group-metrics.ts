// What the operator sees of groups: how many there are in which state, how many members, and how long they take to come to
// rest. It is what this broker has heard of last: nothing is read for it.
import { emptyGroup, type GroupDocument } from '../core/group-document.ts';
import { groupStateName } from '../core/reconcile.ts';
import type { Metrics } from './metrics.ts';

type StateName = ReturnType<typeof groupStateName>;

export class GroupMetrics {
  /** A member was fenced: it did not let go in time, or made no consume call. */
  readonly fenced;
  readonly #groups = new Map<string, { state: StateName; members: number }>();
  readonly #rebalances;
  readonly #conflicts;
  readonly #settling;

  constructor(metrics: Metrics) {
    this.#rebalances = metrics.counter('group_rebalances_total', 'Assignments of groups that this broker computed.');
    this.#conflicts = metrics.counter(
      'group_conflicts_total',
      'Decisions over groups that had to be made again, as the group had changed meanwhile.',
    );
    this.#settling = metrics.seconds(
      'group_rebalance_seconds',
      'From the change that moved a group until each member had what it shall have; seen by the broker that ended it.',
    );
    this.fenced = metrics.counter(
      'group_members_fenced_total',
      'Members that this broker took out, as they did not let go in time or made no consume call.',
    );
    metrics.gauges('groups', 'Consumer groups that this broker knows of.', ['state'], () => {
      const counts: Record<StateName, number> = { empty: 0, assigning: 0, reconciling: 0, stable: 0 };
      for (const { state } of this.#groups.values()) counts[state] += 1;
      return Object.entries(counts).map(([state, value]) => ({ labels: { state }, value }));
    });
    metrics.gauge('group_members', 'Members of the groups that this broker knows of.', () => {
      let count = 0;
      for (const { members } of this.#groups.values()) count += members;
      return count;
    });
  }

  /** This is how the group is now; undefined = there is none. */
  heard(group: string, document: GroupDocument | undefined): void {
    if (!document) this.#groups.delete(group);
    else this.#groups.set(group, { state: groupStateName(document), members: Object.keys(document.members).length });
  }

  /** This broker has taken the group from `before` to `next`. @param movedMs how long it was on the move, if it has ended */
  changed(before: GroupDocument = emptyGroup(), next: GroupDocument = emptyGroup(), movedMs: number | undefined): void {
    const isRebalance = next.targetEpoch > before.targetEpoch;
    if (isRebalance) this.#rebalances.inc();
    if (movedMs !== undefined) this.#settling.observe(movedMs / 1000);
    else if (isRebalance && groupStateName(next) === 'stable') this.#settling.observe(0);
  }

  conflicted(): void {
    this.#conflicts.inc();
  }
}

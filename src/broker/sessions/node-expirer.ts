// Removes the containers and TTL nodes that are due. Every broker does it, so any one that is alive suffices; the script
// decides by the store's clock and by what it finds.
import type { Logger } from 'pino';
import type { Namespace } from '../../store/tree/namespace.ts';
import type { Metrics } from '../metrics.ts';
import { PeriodicTask } from '../periodic-task.ts';

/** Half of the 10 s within which expired containers and TTL nodes are deleted. */
const everyMs = 5000;
const nodesPerStepMax = 200;
/** ZooKeeper keeps a container that never had a child for so long. */
const unusedContainerMs = 5 * 60_000;

export function createNodeExpirer(namespace: Namespace, metrics: Metrics, log: Logger): PeriodicTask {
  const removals = metrics.counter(
    'transient_nodes_removed_total',
    'Containers and TTL nodes that this broker removed.',
  );
  return new PeriodicTask(
    'housekeeper',
    everyMs,
    async () => {
      // Removing a container may empty the one above it: so on until nothing more is due.
      for (;;) {
        const { looked, removed } = await namespace.expireNodes(nodesPerStepMax, unusedContainerMs);
        removals.inc(removed);
        if (looked === 0) return;
      }
    },
    log,
  );
}

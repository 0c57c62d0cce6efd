// Deletes empty containers and expired TTL nodes. Every broker runs it, so one live broker is enough. The script decides, by
// the store's clock and the nodes as it finds them.
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
    'node expirer',
    everyMs,
    async () => {
      // The deletion of a container may empty its parent, so the loop ends only when nothing more is due.
      for (;;) {
        const { checked, deleted } = await namespace.expireNodes(nodesPerStepMax, unusedContainerMs);
        removals.inc(deleted);
        if (checked === 0) return;
      }
    },
    log,
  );
}

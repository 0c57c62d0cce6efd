// The limit on what an identity stores, as far as the logs of its topics count: the controller sums them every few seconds, and every
// broker learns then whose are full. Nodes are counted exactly, in the script that writes them (lua/lib/creators.lua).
import type { Logger } from 'pino';
import type { AccessControl } from '../../access/access-control.ts';
import { ServiceError } from '../../core/service-error.ts';
import type { CreatorTotals, CreatorUpdate } from '../../store/creators.ts';
import type { Store } from '../../store/store.ts';
import { PeriodicTask } from '../periodic-task.ts';
import type { PartitionCache } from './partition-cache.ts';
import type { TopicInfo } from './topic-cache.ts';

/** Guarantees name it: so long, and a sum of all logs, may pass before produce requests over the limit are refused. */
const everyMs = 5000;

interface StoredQuotasParts {
  store: Pick<Store, 'creators' | 'logs'>;
  access: Pick<AccessControl, 'isOn' | 'policy'>;
  partitions: Pick<PartitionCache, 'ofCreators' | 'isComplete'>;
  /** Whether this broker is the controller now. */
  isController(): boolean;
  log: Logger;
}

export class StoredQuotas {
  readonly #parts: StoredQuotasParts;
  readonly #task: PeriodicTask;
  /** The identities that may store nothing more, as read last. */
  #full = new Map<string, CreatorTotals>();

  constructor(parts: StoredQuotasParts) {
    this.#parts = parts;
    this.#task = new PeriodicTask('stored quotas', everyMs, () => this.#refresh(), parts.log);
  }

  start(): void {
    this.#task.start();
  }

  stop(): Promise<void> {
    return this.#task.stop();
  }

  /** Looks at once. */
  trigger(): void {
    this.#task.trigger();
  }

  /** @throws ServiceError QUOTA_EXCEEDED if the identity that created the topic may store nothing more */
  requireRoom({ name, creator }: Pick<TopicInfo, 'name' | 'creator'>): void {
    if (creator === undefined) return;
    const full = this.#full.get(creator);
    if (!full) return;
    const used = full.bytes + full.logBytes;
    const max = full.bytesMax ?? 0;
    throw new ServiceError(
      'QUOTA_EXCEEDED',
      `Topic ${name} counts against ${creator}, which has ${used} stored bytes; its limit is ${max} (limits.storedBytes in the policy). ` +
        'Nothing was written. Delete records, shorten the retention, or have the limit raised.',
      { limit: 'storedBytes', used, max },
    );
  }

  async #refresh(): Promise<void> {
    const { access, store, isController } = this.#parts;
    if (!access.isOn) {
      this.#full.clear();
      return;
    }
    const all: CreatorTotals[] = [];
    for await (const creator of store.creators.all()) all.push(creator);
    if (isController() && all.length > 0) await this.#update(all);
    const isFull = ({ bytes, logBytes, bytesMax }: CreatorTotals) =>
      bytesMax !== undefined && bytes + logBytes >= bytesMax;
    this.#full = new Map(all.filter(isFull).map((creator) => [creator.name, creator]));
  }

  /** Stores, and notes in `all`, the bytes of the logs of each creator, and its limits by the policy of this broker. */
  async #update(all: readonly CreatorTotals[]): Promise<void> {
    const { access, store, partitions } = this.#parts;
    if (!partitions.isComplete) return;
    const logs = [...partitions.ofCreators()].flatMap(({ creator, topicId, partitions: count }) =>
      Array.from({ length: count }, (_, partition) => ({ creator, topicId, partition })),
    );
    const bounds = await store.logs.boundsOfReachable(logs);
    const sums = new Map<string, number>();
    /** Creators of which a log cannot be reached: they keep their last sum. */
    const unknown = new Set<string>();
    for (const [i, { creator }] of logs.entries()) {
      const bound = bounds[i];
      if (bound === 'away') unknown.add(creator);
      else sums.set(creator, (sums.get(creator) ?? 0) + (bound?.bytes ?? 0));
    }
    const updates: CreatorUpdate[] = [];
    for (const creator of all) {
      const limits = access.policy?.limitsOf(creator.name) ?? {};
      if (!unknown.has(creator.name)) creator.logBytes = sums.get(creator.name) ?? 0;
      creator.bytesMax = limits.storedBytes;
      updates.push({ name: creator.name, logBytes: creator.logBytes, limits });
    }
    await store.creators.update(updates);
  }
}
